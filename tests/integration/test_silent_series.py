"""Tell an idle class from one that nobody hears, and an unread queue, on a real Prometheus."""

from collections.abc import Iterator, Mapping

import pytest

from config.metrics import read_metrics
from models.observation import QUEUE_GAP, Observation, PoolState
from models.policy import ClassMatch, PrometheusPolicy
from models.values import Role
from planner.observe.live import PrometheusObserver, Target
from planner.observe.preflight import missing_series
from planner.observe.prometheus import PrometheusServer
from tests import builders
from tests.integration.openmetrics import MODEL, STARTED, WAITING
from tests.integration.prometheus_server import load, serving

pytestmark = [pytest.mark.integration, pytest.mark.timeout(100)]

NOW_S = 1_715_475_600
MOMENTS = range(NOW_S - 3600, NOW_S + 1, 15)
# Both frontends of email began anew twenty minutes ago; that of letters never answered again.
ENDED_S = NOW_S - 1200


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    folder = tmp_path_factory.mktemp("silent")
    text = folder / "samples.txt"
    text.write_text("\n".join(_lines()) + "\n# EOF\n")
    load([text], folder / "data")
    with serving(folder / "data", folder) as url:
        yield PrometheusServer(PrometheusPolicy(url, "dynamo"))


def _lines() -> Iterator[str]:
    yield "# TYPE up gauge"
    for instance in ("pages.0", "email.0", "letters.0"):
        for at in MOMENTS:
            answers = instance != "letters.0" or at <= ENDED_S
            yield f'up{{job="frontend",instance="{instance}"}} {int(answers)} {at}'
    yield f"# TYPE {STARTED.removesuffix('_total')} counter"
    for kind in ("pages", "email", "letters"):
        for i, at in enumerate(MOMENTS):
            if kind == "pages" or at <= ENDED_S:
                yield f"{STARTED}{{{_labels(kind)}}} {30 * i} {at}"
    yield f"# TYPE {WAITING} gauge"
    for at in MOMENTS:
        yield f"{WAITING}{{{_labels('pages')}}} 0 {at}"


def _labels(kind: str) -> str:
    return f'job="frontend",instance="{kind}.0",model="{MODEL}",kind="{kind}"'


class Pools:
    def pools(self, now_s: float) -> Mapping[Role, PoolState]:
        return {role: builders.pool(1) for role in (Role.PREFILL, Role.DECODE)}


def target(*kinds: str) -> Target:
    return Target(MODEL, [ClassMatch(kind, labels={"kind": kind}) for kind in kinds], {})


def observe(server: PrometheusServer, *kinds: str) -> Observation:
    return PrometheusObserver(server, read_metrics("dynamo"), target(*kinds), Pools()).observe(NOW_S)


def test_a_class_whose_target_answers_is_idle(server: PrometheusServer) -> None:
    seen = observe(server, "pages", "email")

    assert seen.demand["pages"].arrivals_rps == pytest.approx(2.0)
    assert seen.demand["email"].arrivals_rps == 0.0


def test_a_class_whose_target_fails_is_unknown_and_so_is_the_queue(server: PrometheusServer) -> None:
    seen = observe(server, "pages", "letters")

    assert seen.demand["letters"].arrivals_rps is None
    assert seen.demand_at_s is None
    reasons = [gap.reason for gap in seen.gaps if gap.what == "demand of letters"]
    assert reasons[-1].startswith("not every scrape was answered by job='frontend', instance='letters.0'")
    assert seen.queue is None
    assert QUEUE_GAP in [gap.what for gap in seen.gaps]


def test_the_check_at_start_misses_the_queue_only_where_no_class_tells_it(server: PrometheusServer) -> None:
    names = read_metrics("dynamo")

    told = missing_series(server, names, target("pages", "email"), NOW_S)
    untold = missing_series(server, names, target("email"), NOW_S)

    assert QUEUE_GAP not in [gap.what for gap in told]
    assert [gap.reason for gap in untold if gap.what == QUEUE_GAP] == [
        f"no {WAITING}: a backlog is not seen, only forecast"
    ]
