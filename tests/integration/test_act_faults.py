"""Whatever the API server does, a tick ends in time, nothing is done twice, and what happened is said."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.decision import Status
from tests import acting
from tests.acting import DECODE, PREFILL, Breaking, StillClock
from tests.integration import dynamo_crds as crds
from tests.integration import kube_apiserver
from tests.integration.faulty_proxy import Cut, Fault, FaultyProxy, refusal
from tests.integration.kube_cluster import Cluster
from tests.integration.test_acting import Stage

pytestmark = pytest.mark.integration

BEFORE, UP = {DECODE: 2}, {DECODE: 3}
READ_S = 0.5


@pytest.fixture
def single(cluster: Cluster) -> Stage:
    crds.install(cluster)
    stage = Stage(cluster, cluster.make_namespace("faults"))
    stage.pool(DECODE, crds.workload("Deployment", "decode", 2, gpus=4))
    return stage


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[FaultyProxy]:
    with FaultyProxy(cluster.url, cluster.folder / "ca.crt").running() as running:
        yield running


@pytest.fixture
def through(single: Stage, proxy: FaultyProxy) -> KubernetesCluster:
    """The account's client, as it looks through the proxy."""
    single.account()
    known = single.cluster.folder / f"{single.namespace}-headgate-{single.accounts}.kubeconfig"
    bent = known.with_suffix(".proxied")
    bent.write_text(known.read_text().replace(single.cluster.url, proxy.url))
    return KubernetesCluster(kubernetes_access(bent), connect_s=READ_S, read_s=READ_S)


def patches(proxy: FaultyProxy) -> int:
    return sum(method == "PATCH" for method, _ in proxy.came)


def test_a_server_that_asks_to_wait_is_obeyed_inside_the_ticks_patience(
    single: Stage, proxy: FaultyProxy, through: KubernetesCluster
) -> None:
    clock = StillClock()
    busy = refusal(429, "too many requests", Retry_After="3")
    busy.method, busy.times = "PATCH", 2
    with proxy.broken(busy):
        outcome = single.act(BEFORE, UP, cluster=through, clock=clock)

    assert outcome.status is Status.APPLIED, outcome.detail
    assert clock.slept == [3.0, 3.0]
    assert single.counts() == UP


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_server_that_asks_to_wait_for_longer_than_a_tick_is_left_to_the_next(
    single: Stage, proxy: FaultyProxy, through: KubernetesCluster, method: str
) -> None:
    clock, begun_s = StillClock(), time.monotonic()
    busy = refusal(429, "too many requests", Retry_After="3600")
    busy.method = method
    with proxy.broken(busy):
        outcome = single.act(BEFORE, UP, cluster=through, clock=clock)

    assert outcome.status is Status.FAILED
    assert "HTTP 429" in outcome.detail
    assert clock.slept == []
    assert time.monotonic() - begun_s < 5.0
    assert single.counts() == BEFORE


def test_an_answer_that_was_lost_after_the_change_is_found_by_reading(
    single: Stage, proxy: FaultyProxy, through: KubernetesCluster
) -> None:
    with proxy.broken(Fault("PATCH", cut=Cut.AFTER)):
        outcome = single.act(BEFORE, UP, cluster=through)

    assert outcome.status is Status.APPLIED
    assert "as reading it again shows" in outcome.detail
    assert patches(proxy) == 1
    assert single.counts() == UP


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PATCH", cut=Cut.BEFORE),
        Fault("PATCH", delay_s=4 * READ_S, status=500),
        Fault("PATCH", status=500),
        Fault("PATCH", status=502, body="<html>bad gateway</html>"),
        Fault("PATCH", status=503),
    ],
    ids=["cut", "slow", "500", "502", "503"],
)
def test_a_change_that_never_arrived_is_reported_and_sent_once(
    single: Stage, proxy: FaultyProxy, through: KubernetesCluster, fault: Fault
) -> None:
    with proxy.broken(fault):
        outcome = single.act(BEFORE, UP, cluster=through)

    assert outcome.status is Status.FAILED
    assert "not applied, as reading it again shows" in outcome.detail
    assert patches(proxy) == 1
    assert single.counts() == BEFORE
    assert single.act(BEFORE, UP, cluster=through).status is Status.APPLIED


@pytest.mark.parametrize(
    "fault",
    [Fault(cut=Cut.BEFORE), Fault(delay_s=4 * READ_S), Fault(status=500), Fault(cut=Cut.WITHIN)],
    ids=["down", "slow", "500", "broken off"],
)
def test_a_server_that_cannot_be_read_changes_nothing_and_keeps_no_tick(
    single: Stage, proxy: FaultyProxy, through: KubernetesCluster, fault: Fault
) -> None:
    begun_s = time.monotonic()
    with proxy.broken(fault):
        outcome = single.act(BEFORE, UP, cluster=through)

    assert outcome.status is Status.FAILED
    assert time.monotonic() - begun_s < 5.0
    assert patches(proxy) == 0
    assert single.counts() == BEFORE


def test_a_slow_server_ends_the_tick_when_its_time_is_up(
    cluster: Cluster, single: Stage, through: KubernetesCluster
) -> None:
    single.pool(PREFILL, crds.workload("Deployment", "prefill", 2, gpus=1))
    clock = StillClock()

    def crawl(number: int) -> None:
        clock.at_s += 6.0

    account = Breaking(single.account(), meanwhile=crawl)
    outcome = single.act({PREFILL: 2, DECODE: 2}, {PREFILL: 3, DECODE: 3}, cluster=account, clock=clock)

    assert outcome.status is Status.FAILED
    assert "10 s of this tick are up" in outcome.detail
    assert account.changes == 2


@pytest.mark.parametrize(
    "message",
    [
        "exceeded quota: gpus, requested: requests.nvidia.com/gpu=4, used: 8, limited: 8",
        'admission webhook "guard.example" denied the request: not on Fridays',
    ],
)
def test_a_quota_or_a_webhook_that_refuses_is_quoted(
    single: Stage, proxy: FaultyProxy, through: KubernetesCluster, message: str
) -> None:
    refused = refusal(403, message)
    refused.method = "PATCH"
    with proxy.broken(refused):
        outcome = single.act(BEFORE, UP, cluster=through)

    assert outcome.status is Status.FAILED
    assert message in outcome.detail
    assert "lacks" not in outcome.detail


def test_a_change_that_the_schema_refuses_is_a_failure_and_no_conflict(
    single: Stage, proxy: FaultyProxy, through: KubernetesCluster
) -> None:
    invalid = refusal(422, "spec.replicas: must be at most 2")
    invalid.method = "PATCH"
    with proxy.broken(invalid):
        outcome = single.act(BEFORE, UP, cluster=through)

    assert outcome.status is Status.FAILED
    assert "must be at most 2" in outcome.detail
    assert patches(proxy) == 2


@pytest.mark.slow
def test_a_server_that_was_killed_and_came_back_is_acted_on_again(tmp_path: Path) -> None:
    with kube_apiserver.servers(tmp_path) as running:
        stage = Stage(running.cluster, running.cluster.make_namespace("faults"))
        stage.pool(DECODE, crds.workload("Deployment", "decode", 2, gpus=4))
        account = stage.account()
        actuator = acting.actuator(account, stage.targets)

        running.kill_apiserver()
        assert stage.act(BEFORE, UP, cluster=account).status is Status.FAILED

        running.start_apiserver()
        assert stage.act(BEFORE, UP, cluster=actuator.cluster).status is Status.APPLIED
        assert stage.counts() == UP

        running.pause_etcd()
        begun_s = time.monotonic()
        assert stage.act(UP, {DECODE: 4}, cluster=account).status is Status.FAILED
        assert time.monotonic() - begun_s < 30.0
        running.resume_etcd()
