"""Whatever Prometheus does, a tick holds or says what is wrong; it never lowers a count."""

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from config.metrics import read_metrics
from models.decision import Record, Status
from models.errors import ObserveError
from models.observation import Observation, PoolState
from models.policy import ClassMatch, DecidePolicy, ForecastPolicy, PrometheusPolicy, TickPolicy
from models.prediction import Forecast
from models.values import RequestClass, Role, Slo
from planner.act.dryrun import DryRun
from planner.observe.live import PrometheusObserver, Target
from planner.observe.prometheus import PrometheusServer
from planner.ports import Ports
from planner.record.memory import Memory
from planner.tick import Served, tick
from tests import builders
from tests.unit.observe.http_server import Answering, Request, Respond, answering, series, success

NOW_S = 1_700_000_000.0
MODEL = "gpt-oss-120b"
NAMES = read_metrics("dynamo")
STARTED = "dynamo_frontend_requests_started_total"
ISL, OSL = "dynamo_frontend_input_sequence_tokens", "dynamo_frontend_output_sequence_tokens"
CHAT = RequestClass("chat", Slo(ttft_s=0.5, itl_s=0.03))
POOLS = {Role.PREFILL: 30, Role.DECODE: 10}


class Pools:
    def pools(self, now_s: float) -> Mapping[Role, PoolState]:
        return {role: builders.pool(n) for role, n in POOLS.items()}


class ExpectsAlmostNothing:
    """Forecast a trickle, so that any tick which trusts it would release nearly everything."""

    def absorb(self, observation: Observation) -> None:
        return

    def forecast(self, now_s: float) -> Forecast:
        return builders.forecast({"chat": 0.5}, at_s=now_s)


def server(url: str, **changes: object) -> PrometheusServer:
    fields: dict[str, object] = {"timeout_s": 0.4, "retries": 1, **changes}
    return PrometheusServer(PrometheusPolicy(url, "dynamo", **fields), sleep=lambda _: None)  # type: ignore[arg-type]


def observer(url: str, **changes: object) -> PrometheusObserver:
    return PrometheusObserver(server(url, **changes), NAMES, Target(MODEL, [ClassMatch("chat")], {}), Pools())


def run(watching: PrometheusObserver) -> Record:
    policy = TickPolicy("shop", ForecastPolicy(), builders.plan_policy([CHAT]), DecidePolicy())
    ports = Ports(watching, ExpectsAlmostNothing(), DryRun(), Memory())
    return tick(NOW_S, ports, policy, Served(builders.layouts(), "sha256:0", "0"))


def counter(until_s: float = NOW_S, rate: float = 2.0, **labels: str) -> dict[str, object]:
    moments = [until_s - 15.0 * i for i in range(60)][::-1]
    return series(STARTED, [(at, 1e5 + rate * (at - NOW_S + 900)) for at in moments], **labels)


def lengths() -> list[object]:
    moments = [NOW_S - 60.0 * i for i in range(11)][::-1]
    found: list[object] = []
    for name, mean in ((ISL, 1000.0), (OSL, 200.0)):
        count = [(at, 1e4 + 2.0 * (at - NOW_S + 900)) for at in moments]
        found.append(series(f"{name}_sum", [(at, n * mean) for at, n in count]))
        found.append(series(f"{name}_count", list(count)))
        found.append(series(f"{name}_bucket", list(count), le="+Inf"))
        found.append(series(f"{name}_bucket", list(count), le="4096.0"))
    return found


def healthy(request: Request) -> tuple[int, str]:
    if request.path.endswith("query_range"):
        return 200, success(lengths())
    waiting = series("dynamo_frontend_queued_requests", [(NOW_S - 15.0 * i, 0) for i in range(60)][::-1])
    return 200, success([] if request.query["query"].startswith("up{") else [counter(), waiting])


def test_the_same_tick_lowers_counts_when_prometheus_is_well() -> None:
    """The ground that the table below stands on: with data this forecast does release."""
    with answering(healthy) as prometheus:
        record = run(observer(prometheus.url))

    assert record.observation.demand["chat"].arrivals_rps == pytest.approx(2.0)
    assert record.observation.demand["chat"].prefill_tokens_per_s == pytest.approx(2000.0)
    assert record.observation.demand["chat"].decode_tokens_per_s == pytest.approx(400.0)
    assert record.decision.final[Role.PREFILL] < POOLS[Role.PREFILL]
    assert record.decision.final[Role.DECODE] < POOLS[Role.DECODE]


def slow(_: Request) -> tuple[int, str]:
    threading.Event().wait(1.2)
    return healthy(_)


def always(status: int, body: str) -> Respond:
    return lambda _: (status, body)


def with_counter(*found: object, warnings: Sequence[str] = ()) -> Respond:
    def respond(request: Request) -> tuple[int, str]:
        if request.path.endswith("query_range"):
            return 200, success(lengths())
        return 200, success(
            [] if request.query["query"].startswith("up{") else list(found), warnings=warnings
        )

    return respond


def silent_pod(request: Request) -> tuple[int, str]:
    """One of two frontends stopped answering its scrapes two minutes ago."""
    if request.query["query"].startswith("up{"):
        moments = [NOW_S - 15.0 * i for i in range(60)][::-1]
        up = [(at, 1 if at <= NOW_S - 120 else 0) for at in moments]
        return 200, success([series("up", list(up), instance="b")])
    return with_counter(counter(), counter(until_s=NOW_S - 120, instance="b"))(request)


NOT_FINITE = series(STARTED, [(NOW_S - 15.0 * i, "NaN" if i % 2 else "+Inf") for i in range(60)][::-1])

BAD: dict[str, tuple[Respond, str]] = {
    "slow": (slow, "did not answer within 0.4 s"),
    "500 with a reason": (always(500, '{"status":"error","error":"out of memory"}'), "500: out of memory"),
    "500 without": (always(500, "<html>boom</html>"), "answered 500"),
    "503": (always(503, "Service Unavailable"), "answered 503"),
    "401": (always(401, ""), "answered 401; check prometheus.bearer_token_file"),
    "403": (always(403, "denied"), "answered 403"),
    "404": (always(404, "not found"), "not the base of a Prometheus API"),
    "422": (always(422, '{"status":"error","error":"too many samples"}'), "422: too many samples"),
    "not JSON": (always(200, "<html>login</html>"), "an answer that is not its API's"),
    "cut JSON": (always(200, '{"status":"success","data":{"resu'), "an answer that is not its API's"),
    "a JSON list": (always(200, "[]"), "an answer that is not its API's"),
    "no data": (always(200, '{"status":"success"}'), "an answer that is not its API's"),
    "a scalar": (always(200, '{"status":"success","data":{"result":[1,"2"]}}'), "not its API's"),
    "status error": (always(200, '{"status":"error","error":"bad"}'), "bad"),
    "a value that is no number": (always(200, success([series(STARTED, [(1.0, "x")])])), "not its API's"),
    "empty": (always(200, success([])), f"no samples of {STARTED}"),
    "NaN and infinity": (with_counter(NOT_FINITE), f"no samples of {STARTED}"),
    "stale": (with_counter(counter(until_s=NOW_S - 400)), "samples are missing since 6m40s ago"),
    "late": (with_counter(counter(until_s=NOW_S - 150)), "samples are missing since 2m30s ago"),
    "one sample": (with_counter(series(STARTED, [(NOW_S, 5.0)])), "without missing samples"),
    "one of two pods silent": (silent_pod, "samples are missing since 2m ago"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_answer_holds_and_says_why(case: str) -> None:
    respond, reason = BAD[case]
    with answering(respond) as prometheus:
        record = run(observer(prometheus.url))

    assert dict(record.decision.final) == POOLS
    assert record.decision.held
    assert record.outcome.status is Status.HELD
    assert any(reason in gap.reason for gap in record.observation.gaps), record.observation.gaps


def test_an_absent_prometheus_holds_and_says_where_it_was_looked_for() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        record = run(observer(url))

    assert dict(record.decision.final) == POOLS
    assert record.observation.demand["chat"].arrivals_rps is None
    assert record.observation.gaps[0].reason.startswith(f"Prometheus at {url} cannot be reached")


def test_lengths_that_are_missing_leave_tokens_unknown_and_hold() -> None:
    def respond(request: Request) -> tuple[int, str]:
        return (200, success([])) if request.path.endswith("query_range") else healthy(request)

    with answering(respond) as prometheus:
        record = run(observer(prometheus.url))

    demand = record.observation.demand["chat"]
    assert demand.arrivals_rps == pytest.approx(2.0)
    assert demand.prefill_tokens_per_s is None
    assert any(gap.what == "request lengths of chat" for gap in record.observation.gaps)
    assert dict(record.decision.final) == POOLS
    assert record.decision.held


def test_lengths_of_a_quiet_hour_are_those_seen_before() -> None:
    quiet = threading.Event()

    def respond(request: Request) -> tuple[int, str]:
        if request.path.endswith("query_range") and quiet.is_set():
            return 200, success([])
        return healthy(request)

    with answering(respond) as prometheus:
        watching = observer(prometheus.url)
        watching.observe(NOW_S)
        quiet.set()
        seen = watching.observe(NOW_S)

    assert seen.demand["chat"].prefill_tokens_per_s == pytest.approx(2000.0)
    assert any("ago are used" in gap.reason for gap in seen.gaps)


def test_no_arrivals_are_a_known_zero_even_without_lengths() -> None:
    flat = series(STARTED, [(NOW_S - 15.0 * i, 1e5) for i in range(60)][::-1])

    def respond(request: Request) -> tuple[int, str]:
        if request.path.endswith("query_range"):
            return 200, success([])
        return 200, success([] if request.query["query"].startswith("up{") else [flat])

    with answering(respond) as prometheus:
        seen = observer(prometheus.url).observe(NOW_S)

    demand = seen.demand["chat"]
    assert (demand.arrivals_rps, demand.prefill_tokens_per_s, demand.decode_tokens_per_s) == (0.0, 0.0, 0.0)
    assert seen.demand_age_s == pytest.approx(0.0)


def test_warnings_and_samples_that_are_no_numbers_are_told() -> None:
    spoilt = counter()
    spoilt["values"][3][1] = "NaN"  # type: ignore[index]
    with answering(with_counter(spoilt, warnings=["a store did not answer"])) as prometheus:
        seen = observer(prometheus.url).observe(NOW_S)

    reasons = [gap.reason for gap in seen.gaps]
    assert "warning: a store did not answer" in reasons
    assert "1 were NaN or infinite and were left out" in reasons
    assert seen.demand["chat"].arrivals_rps == pytest.approx(2.0)


def test_completions_stand_in_for_arrivals_and_say_that_they_are_biased() -> None:
    done, inside = "dynamo_frontend_requests_total", "dynamo_frontend_inflight_requests"
    moments = [NOW_S - 15.0 * i for i in range(60)][::-1]
    found = [
        series(done, [(at, 1.5 * (at - NOW_S + 900)) for at in moments]),
        # Half a request a second stays inside: the queue grows.
        series(inside, [(at, 0.5 * (at - NOW_S + 900)) for at in moments]),
    ]
    with answering(with_counter(*found)) as prometheus:
        seen = observer(prometheus.url).observe(NOW_S)

    assert seen.demand["chat"].arrivals_rps == pytest.approx(2.0)
    assert any("late and low while a queue grows" in gap.reason for gap in seen.gaps)


def test_a_passing_fault_is_tried_again() -> None:
    faults = iter([(503, "overloaded")])

    def respond(request: Request) -> tuple[int, str]:
        return next(faults, None) or healthy(request)

    with answering(respond) as prometheus:
        seen = observer(prometheus.url).observe(NOW_S)

    assert seen.demand["chat"].arrivals_rps == pytest.approx(2.0)


def test_a_refusal_is_not_tried_again() -> None:
    with answering(always(401, "")) as prometheus:
        with pytest.raises(ObserveError, match="401"):
            server(prometheus.url, retries=5).instant("up", NOW_S)

        assert len(prometheus.requests) == 1


def test_a_server_that_does_not_answer_costs_one_bounded_wait_per_tick() -> None:
    with answering(slow) as prometheus:
        begin = time.monotonic()
        observer(prometheus.url).observe(NOW_S)
        took_s = time.monotonic() - begin

    # Two attempts of 0.4 s for the first query, and no further query.
    assert took_s < 1.5


def test_the_token_is_read_anew_for_every_query_and_headers_are_sent(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with answering(healthy) as prometheus:
        asked = server(prometheus.url, bearer_token_file=str(token), headers={"X-Scope-OrgID": "shop"})
        for text in ("first\n", "second\n"):
            token.write_text(text)
            asked.instant("up", NOW_S)
        sent = [(r.headers["Authorization"], r.headers["X-Scope-OrgID"]) for r in prometheus.requests]

    assert sent == [("Bearer first", "shop"), ("Bearer second", "shop")]


def test_a_token_that_is_handed_out_goes_with_every_query() -> None:
    tokens = iter(("first", "second"))
    with answering(healthy) as prometheus:
        asked = PrometheusServer(PrometheusPolicy(prometheus.url, "dynamo"), token=lambda: next(tokens))
        asked.instant("up", NOW_S)
        asked.instant("up", NOW_S)
        sent = [r.headers["Authorization"] for r in prometheus.requests]

    assert sent == ["Bearer first", "Bearer second"]


def test_a_token_that_cannot_be_read_is_an_error_that_names_its_file(tmp_path: Path) -> None:
    with answering(healthy) as prometheus:
        asked = server(prometheus.url, bearer_token_file=str(tmp_path / "missing"))
        with pytest.raises(ObserveError, match=r"missing: the bearer token cannot be read"):
            asked.instant("up", NOW_S)


def test_no_secret_reaches_a_message() -> None:
    with answering(always(401, "")) as prometheus:
        asked = server(prometheus.url, headers={"Authorization": "Basic c2VjcmV0"})
        with pytest.raises(ObserveError) as caught:
            asked.instant("up", NOW_S)

    assert "c2VjcmV0" not in str(caught.value)


def test_answering_state_is_what_was_asked() -> None:
    with answering(healthy) as prometheus:
        observer(prometheus.url).observe(NOW_S)

    assert isinstance(prometheus, Answering)
    first = prometheus.requests[0].query
    assert first["query"].endswith('model="gpt-oss-120b"}[900s]')
    assert float(first["time"]) == NOW_S
