"""Two scalers stand for one lease in a real API server; Prometheus is a stand-in on the loopback."""

import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from models.decision import Status
from tests.integration.kube_cluster import Cluster
from tests.integration.running import Runner, Site
from tests.unit.loop.ground import frontend, prepare
from tests.unit.observe.http_server import answering

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

LEASE_S, INTERVAL_S = 3.0, 1.0
# A tick, an attempt at the lease and a busy machine.
SLACK_S = 4.0
ELECTED = ("--lease-duration", "3s")


@pytest.fixture
def site(cluster: Cluster, tmp_path: Path) -> Iterator[Site]:
    with answering(partial(frontend, rps=25.0)) as prometheus:
        made = Site(cluster, cluster.make_namespace(), tmp_path)
        made.pools(4)
        first = tmp_path / "a"
        first.mkdir()
        made.configured(prepare(first, prometheus.url), "act")
        shutil.copytree(first, tmp_path / "b")
        yield made


def run(site: Site, name: str, *arguments: str) -> Runner:
    return Runner(site, site.folder / name / "headgate.yaml", arguments, name)


def test_one_of_two_acts_and_the_other_takes_over_when_it_is_killed(site: Site) -> None:
    with run(site, "a", *ELECTED) as one:
        one.wait("the first leads", one.leads)
        with run(site, "b", *ELECTED) as other:
            other.wait("the second is ready", lambda: other.page("/readyz")[0] == 200)
            one.wait("the first decides", lambda: len(one.records()) >= 3)
            assert "standing by" in other.page("/healthz")[1]
            assert other.records() == []
            assert not other.leads()

            one.end(signal.SIGKILL)
            killed_s = time.monotonic()
            other.wait("the second leads", other.leads)
            other.wait("the second decides", other.records)
            took_s = time.monotonic() - killed_s
            last, first = one.records()[-1], other.records()[0]

            assert took_s < LEASE_S + SLACK_S
            assert first.observation.at_s - last.observation.at_s < LEASE_S + INTERVAL_S + SLACK_S
            # What stood by remembers as much as what led.
            assert set(first.forecast.signals) == set(last.forecast.signals)
            assert set(first.readiness) == set(last.readiness)
            assert site.lease()["leaseTransitions"] == 1


def test_who_is_asked_to_stop_hands_over_at_once(site: Site) -> None:
    with run(site, "a", "--lease-duration", "12s", "--grace", "5s") as one, run(site, "b") as other:
        one.wait("somebody leads", lambda: one.leads() or other.leads(), 70.0)
        first, second = (one, other) if one.leads() else (other, one)
        second.wait("the other is ready", lambda: second.page("/readyz")[0] == 200)

        asked_s = time.monotonic()
        assert first.end() == 0
        second.wait("the other leads", second.leads)

        # Far below the time that a lease is waited for; its attempts are 2 or 4 s apart.
        assert time.monotonic() - asked_s < 4.0 + SLACK_S


def test_it_acts_on_the_cluster_and_tells_of_it_in_events_and_metrics(site: Site) -> None:
    with run(site, "a", *ELECTED) as one:
        one.wait(
            "the cluster is scaled", lambda: site.replicas("decode") != 4 or site.replicas("prefill") != 4
        )
        one.wait("Events are there", site.events)
        applied = [r for r in one.records() if r.outcome.status is Status.APPLIED]
        told = {each["reason"] for each in site.events()}
        page = one.page("/metrics")[1]

    assert applied
    assert told & {"ScaledUp", "ScaledDown"}
    event = next(each for each in site.events() if each["reason"].startswith("Scaled"))
    assert event["involvedObject"]["kind"] == "Deployment"
    assert event["involvedObject"]["uid"]
    assert event["message"].startswith("shop: ")
    assert 'headgate_build_info{version="' in page
    assert 'headgate_api_requests_total{status="200",verb="patch"}' in page
    assert 'headgate_prometheus_requests_total{result="ok"}' in page
    assert 'headgate_tick_duration_seconds_bucket{deployment="shop",le="0.1"}' in page
    assert 'headgate_last_success_timestamp_seconds{deployment="shop"}' in page


def test_a_changed_configuration_is_taken_up_and_a_wrong_one_refused(site: Site) -> None:
    config = site.folder / "a" / "headgate.yaml"
    with run(site, "a", *ELECTED) as one:
        one.wait("it decides", lambda: len(one.records()) >= 2)
        before = one.records()[-1]
        good = config.read_text()

        config.write_text(good.replace("slo:", "slop:"))
        one.wait("the wrong one is refused", lambda: "headgate_config_refused 1.0" in one.page("/metrics")[1])
        one.wait("an Event tells", lambda: any(e["reason"] == "ConfigRefused" for e in site.events()))
        assert one.records()[-1].config_digest == before.config_digest

        # As a ConfigMap is changed: a link is put in the place of the file.
        fresh = config.with_name("fresh.yaml")
        fresh.write_text(good.replace("itl: 30ms", "itl: 40ms"))
        link = config.with_name("link.yaml")
        link.symlink_to(fresh)
        link.replace(config)
        one.wait("the good one counts", lambda: one.records()[-1].config_digest != before.config_digest)
        after = one.records()[-1]
        page = one.page("/metrics")[1]
        assert "headgate_config_refused 0.0" in page
        assert 'headgate_config_reloads_total{result="taken"} 1.0' in page
        # History is gone on with, not read anew: the model is there from the first tick.
        assert set(after.forecast.signals) == set(before.forecast.signals)
        assert one.page("/healthz")[0] == 200


def test_a_prometheus_that_is_gone_fails_neither_probe(site: Site) -> None:
    with answering(partial(frontend, rps=25.0)) as prometheus:
        prepare(site.folder / "a", prometheus.url)
        site.configured(site.folder / "a" / "headgate.yaml", "observe")
        one = run(site, "a", *ELECTED)
        one.__enter__()
        one.wait("it is ready", lambda: one.page("/readyz")[0] == 200)
    try:
        one.wait("counts are held", lambda: any(r.observation.gaps for r in one.records()))
        assert one.page("/healthz")[0] == 200
        assert one.page("/readyz")[0] == 200
    finally:
        one.__exit__()
