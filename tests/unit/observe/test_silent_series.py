"""What nobody was heard to say is unknown: a class without series, a queue without a gauge."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from config.metrics import read_metrics
from models.decision import Record
from models.metric_names import MetricNames
from models.observation import QUEUE_GAP, Observation, PoolState
from models.policy import ClassMatch, DecidePolicy, ForecastPolicy, PrometheusPolicy, TickPolicy
from models.prediction import Forecast
from models.values import RequestClass, Role, Slo
from planner.act.dryrun import DryRun
from planner.observe.live import PrometheusObserver, Target
from planner.observe.prometheus import PrometheusServer
from planner.observe.vanished import SEEN_S
from planner.ports import Ports
from planner.record.memory import Memory
from planner.tick import Served, tick
from tests import builders
from tests.unit.observe.http_server import Request, Respond, answering, series, success

NOW_S = 1_700_000_000.0
MODEL = "gpt-oss-120b"
NAMES = read_metrics("dynamo")
STARTED, WAITING = "dynamo_frontend_requests_started_total", "dynamo_frontend_queued_requests"
ISL, OSL = "dynamo_frontend_input_sequence_tokens", "dynamo_frontend_output_sequence_tokens"
PAGES, EMAIL = RequestClass("pages", Slo(ttft_s=0.5, itl_s=0.03)), RequestClass("email", Slo())
MATCHES = [ClassMatch(name, labels={"kind": name}) for name in ("pages", "email")]
POOLS = {Role.PREFILL: 30, Role.DECODE: 10}
MINUTES_15 = [NOW_S - 15.0 * i for i in range(80)][::-1]


class Pools:
    def pools(self, now_s: float) -> Mapping[Role, PoolState]:
        return {role: builders.pool(n) for role, n in POOLS.items()}


class ExpectsAlmostNothing:
    """Forecast a trickle, so that any tick which trusts its observation releases something."""

    def absorb(self, observation: Observation) -> None:
        return

    def forecast(self, now_s: float) -> Forecast:
        return builders.forecast({"pages": 0.5, "email": 0.1}, at_s=now_s)


class Stored:
    """Answer selectors and the search for former targets from samples, as Prometheus does."""

    def __init__(self, *found: dict[str, object], former: Sequence[tuple[str, float]] = ()) -> None:
        self._found = found
        self._former = former

    def __call__(self, request: Request) -> tuple[int, str]:
        query = request.query["query"]
        if query.startswith("count by"):
            assert 'kind="email"' in query
            step_s = float(request.query["step"])
            assert float(request.query["end"]) - float(request.query["start"]) == SEEN_S
            return 200, success(
                [
                    {
                        "metric": {"job": "frontend", "instance": instance},
                        "values": [[at_s - step_s, "1"], [at_s, "1"]],
                    }
                    for instance, at_s in self._former
                ]
            )
        if request.path.endswith("query_range"):
            return 200, success(lengths())
        return 200, success([one for one in self._found if selected(one, query)])


def selected(one: dict[str, object], query: str) -> bool:
    labels = one["metric"]
    assert isinstance(labels, dict)
    name = re.match(r"[a-z_:]+(?={)", query)
    conditions = [("__name__", "=", name.group(0))] if name else []
    conditions += re.findall(r'(\w+)(=~|=|!=)"([^"]*)"', query)
    return all(
        bool(re.fullmatch(value, labels.get(label, ""))) == (sign != "!=")
        for label, sign, value in conditions
    )


def lengths() -> list[object]:
    moments = [NOW_S - 60.0 * i for i in range(11)][::-1]
    count = [(at, 1e4 + 2.0 * (at - NOW_S + 900)) for at in moments]
    found: list[object] = []
    for name, mean in ((ISL, 1000.0), (OSL, 200.0)):
        found.append(series(f"{name}_sum", [(at, n * mean) for at, n in count]))
        found.append(series(f"{name}_count", list(count)))
    return found


def counter(kind: str, instance: str) -> dict[str, object]:
    pairs = [(at, 1e5 + 2.0 * (at - NOW_S + 1200)) for at in MINUTES_15]
    return series(STARTED, list(pairs), kind=kind, instance=instance)


def gauge(value: float, until_s: float = NOW_S, **labels: str) -> dict[str, object]:
    return series(WAITING, [(at, value) for at in MINUTES_15 if at <= until_s], **labels)


def up(instance: str, down_s: tuple[float, float] = (0.0, 0.0), until_s: float = NOW_S) -> dict[str, object]:
    """Answer every scrape until `until_s` but those from the first to the second moment."""
    values = [(at, 0 if down_s[0] <= at < down_s[1] else 1) for at in MINUTES_15 if at <= until_s]
    return series("up", list(values), instance=instance)


def observe(respond: Respond, names: MetricNames = NAMES, matches: Sequence[ClassMatch] = MATCHES) -> Record:
    policy = TickPolicy("shop", ForecastPolicy(), builders.plan_policy([PAGES, EMAIL]), DecidePolicy())
    with answering(respond) as prometheus:
        server = PrometheusServer(PrometheusPolicy(prometheus.url, names.preset, timeout_s=2.0))
        watching = PrometheusObserver(server, names, Target(MODEL, matches, {}), Pools())
        ports = Ports(watching, ExpectsAlmostNothing(), DryRun(), Memory())
        return tick(NOW_S, ports, policy, Served(builders.layouts(), "sha256:0", "0"))


# The series of email ended twenty minutes ago; those of pages are there, from frontend a.
LAST_S = NOW_S - 1200.0
EVER = (0.0, NOW_S + 1.0)
THERE = (counter("pages", "a"), gauge(0.0, instance="a", kind="pages"), up("a"))

UNHEARD: dict[str, tuple[Stored, str]] = {
    "its scrapes fail": (Stored(*THERE, up("b", EVER), former=[("b", LAST_S)]), "instance='b'"),
    "it is no longer scraped": (Stored(*THERE, former=[("b", LAST_S)]), "no longer scraped: job='frontend'"),
    "one of two fails": (
        Stored(*THERE, up("b"), up("c", EVER), former=[("b", LAST_S), ("c", LAST_S - 300)]),
        "not every scrape was answered by job='frontend', instance='c'",
    ),
    "a scrape failed in the window": (
        Stored(*THERE, up("b", (NOW_S - 40, NOW_S - 20)), former=[("b", LAST_S)]),
        "not every scrape was answered",
    ),
    "it began to answer in the window": (
        Stored(*THERE, up("b", (0.0, NOW_S - 30)), former=[("b", LAST_S)]),
        "not every scrape was answered",
    ),
    "it ceased to be scraped in the window": (
        Stored(*THERE, up("b", until_s=NOW_S - 45), former=[("b", LAST_S)]),
        "not every scrape was answered",
    ),
    "only an older one answers": (
        Stored(*THERE, up("b"), up("c", EVER), former=[("b", LAST_S - 86_400), ("c", LAST_S)]),
        "instance='c'",
    ),
    "no label tells its target": (Stored(*THERE, former=[("", LAST_S)]), "instance=''"),
    "it was never seen": (Stored(*THERE), "none in the last week either"),
}


@pytest.mark.parametrize("case", UNHEARD)
def test_a_class_whose_targets_nobody_hears_is_unknown_and_lowers_nothing(case: str) -> None:
    respond, reason = UNHEARD[case]

    record = observe(respond)

    seen = record.observation
    assert seen.demand["email"].arrivals_rps is None
    assert seen.demand["pages"].arrivals_rps == pytest.approx(2.0)
    assert seen.demand_at_s is None
    assert any(gap.what == "demand of email" and reason in gap.reason for gap in seen.gaps), seen.gaps
    assert record.decision.held
    assert dict(record.decision.final) == POOLS


IDLE: dict[str, Stored] = {
    "its own target answers": Stored(*THERE, up("b"), former=[("b", LAST_S)]),
    "its target exports other classes": Stored(*THERE, former=[("a", LAST_S)]),
    "its target shows other series and no up": Stored(*THERE[:2], former=[("a", LAST_S)]),
    "one of two pods is gone": Stored(*THERE, up("b"), former=[("b", LAST_S), ("c", LAST_S)]),
    "a pod was deleted before the window": Stored(
        *THERE, up("b"), up("c", until_s=NOW_S - 300), former=[("b", LAST_S), ("c", LAST_S)]
    ),
    "an older target fails": Stored(
        *THERE, up("b"), up("c", EVER), former=[("b", LAST_S), ("c", LAST_S - 86_400)]
    ),
}


@pytest.mark.parametrize("case", IDLE)
def test_a_class_is_idle_when_those_who_exported_it_still_answer(case: str) -> None:
    record = observe(IDLE[case])

    seen = record.observation
    demand = seen.demand["email"]
    assert (demand.arrivals_rps, demand.prefill_tokens_per_s, demand.decode_tokens_per_s) == (0.0, 0.0, 0.0)
    assert seen.demand_age_s == pytest.approx(0.0)
    assert seen.queue is not None
    assert not record.decision.held
    assert record.decision.final[Role.PREFILL] < POOLS[Role.PREFILL]


BOTH = (counter("pages", "a"), counter("email", "b"), up("a"), up("b"))
EACH = (gauge(3.0, instance="a", kind="pages"), gauge(2.0, instance="b", kind="email"))

UNREAD: dict[str, tuple[Stored, str]] = {
    "no gauge at all": (Stored(*BOTH), f"no samples of {WAITING}"),
    "none from one of the targets": (Stored(*BOTH, EACH[0]), f"no samples of {WAITING} from frontend, b"),
    "one that is old": (
        Stored(*BOTH, EACH[0], gauge(0.0, NOW_S - 120, instance="b", kind="email")),
        f"no samples of {WAITING} from frontend, b",
    ),
    "a class that is unknown": (
        Stored(*THERE, up("b", EVER), former=[("b", LAST_S)]),
        "of email: its demand is unknown",
    ),
}


@pytest.mark.parametrize("case", UNREAD)
def test_a_queue_that_cannot_be_read_is_a_gap_and_not_empty(case: str) -> None:
    respond, reason = UNREAD[case]

    record = observe(respond)

    seen = record.observation
    assert seen.queue is None
    assert [gap.reason for gap in seen.gaps if gap.what == QUEUE_GAP] == [reason]
    assert record.decision.final[Role.PREFILL] == POOLS[Role.PREFILL]


def test_a_queue_is_that_of_all_classes_together() -> None:
    seen = observe(Stored(*BOTH, *EACH)).observation

    assert seen.queue is not None
    assert seen.queue.requests == 5
    assert seen.queue.prefill_tokens == pytest.approx(5000.0)
    assert QUEUE_GAP not in [gap.what for gap in seen.gaps]


def test_an_empty_queue_that_was_read_is_empty() -> None:
    gauges = [gauge(0.0, instance=i, kind=kind) for i, kind in (("a", "pages"), ("b", "email"))]

    seen = observe(Stored(*BOTH, *gauges)).observation

    assert seen.queue is not None
    assert seen.queue.requests == 0
    assert QUEUE_GAP not in [gap.what for gap in seen.gaps]


def test_a_gauge_without_the_label_of_classes_counts_them_all() -> None:
    matches = [ClassMatch("pages"), ClassMatch("email", labels={"kind": "email"})]
    gauges = [gauge(3.0, instance="a"), gauge(2.0, instance="b")]

    seen = observe(Stored(*BOTH, *gauges), matches=matches).observation

    assert seen.queue is not None
    assert seen.queue.requests == 5


def test_where_the_preset_names_no_gauge_nothing_is_missing() -> None:
    seen = observe(Stored(*BOTH), replace(NAMES, waiting=())).observation

    assert seen.queue is None
    assert QUEUE_GAP not in [gap.what for gap in seen.gaps]


def test_a_target_whose_scrapes_fail_still_holds_its_queue() -> None:
    until_s = NOW_S - 180
    silent = counter("email", "b")
    silent["values"] = [pair for pair in silent["values"] if pair[0] <= until_s]  # type: ignore[attr-defined]
    found = (counter("email", "d"), gauge(0.0, instance="d", kind="email"), up("d"))

    seen = observe(
        Stored(
            *THERE,
            *found,
            silent,
            gauge(9.0, until_s, instance="b", kind="email"),
            up("b", (until_s + 1, NOW_S + 1)),
        )
    ).observation

    assert seen.queue is None
    assert [g.reason for g in seen.gaps if g.what == QUEUE_GAP] == [
        f"no samples of {WAITING} from frontend, b"
    ]


def test_requests_of_unknown_length_are_no_empty_queue() -> None:
    stored = Stored(*BOTH, *EACH)

    def respond(request: Request) -> tuple[int, str]:
        return (200, success([])) if request.path.endswith("query_range") else stored(request)

    seen = observe(respond).observation

    assert seen.queue is None
    assert [g.reason for g in seen.gaps if g.what == QUEUE_GAP] == [
        "of pages: the lengths of its requests are unknown; of email: the lengths of its requests are unknown"
    ]


def test_a_server_that_refuses_leaves_the_queue_unknown() -> None:
    seen = observe(lambda _: (401, "")).observation

    assert seen.queue is None
    assert QUEUE_GAP in [gap.what for gap in seen.gaps]
