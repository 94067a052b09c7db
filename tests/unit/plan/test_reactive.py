"""Check the reactive net: it raises what was measured above the forecast, and nothing else."""

from dataclasses import replace

import pytest

from models.observation import LatencyReading, Observation, PoolState, QueueReading, StartingReplica
from models.plan.reactive import outgrown, raised, surges
from models.plan.sizing import size
from models.policy import PlanPolicy
from models.prediction import Forecast
from models.values import Binding, RequestClass, Role, Signal, Slo
from tests.builders import AT_S, forecast, layouts, observation, plan_policy, pool

PREFILL, DECODE = Role.PREFILL, Role.DECODE
RATES = {"pages": 100.0, "email": 20.0}
SLOW = LatencyReading(ttft_p50_s=0.15, ttft_p90_s=0.4)
QUEUE = QueueReading(14, 14 * 8000.0)


def measured(told: Forecast, minutes: tuple[float, ...], name: str = "pages") -> Forecast:
    """Say which arrivals of a class were measured in the last minutes, and as many tokens."""
    signals = told.signals[name]
    ratio = {s: said.paths[2][0] / signals[Signal.ARRIVALS].paths[2][0] for s, said in signals.items()}
    lately = {s: replace(said, latest=tuple(m * ratio[s] for m in minutes)) for s, said in signals.items()}
    return replace(told, signals={**told.signals, name: lately})


def counts(seen: Observation, told: Forecast, plan: PlanPolicy | None = None) -> dict[Role, int]:
    sizing = size(seen, told, layouts(), plan or plan_policy())
    assert sizing is not None
    return sizing.replicas()


@pytest.mark.parametrize("minutes", [(), (300.0,), (300.0, 100.0), (100.0, 300.0), (123.0, 123.9)])
def test_one_minute_above_the_forecast_or_two_within_it_raise_nothing(minutes: tuple[float, ...]) -> None:
    # The 0.995 quantile of the next minute is 124 rps.
    told = measured(forecast(RATES, spread=0.06), minutes)
    assert surges(told) == ()
    assert raised(told, ()) is told
    assert counts(observation(RATES), told) == counts(observation(RATES), forecast(RATES, spread=0.06))


@pytest.mark.parametrize(("queued", "asked_rps"), [(47, None), (48, 460.0)])
def test_one_minute_above_it_counts_where_many_requests_queue(queued: int, asked_rps: float | None) -> None:
    # Four for each of 12 replicas; demand rose from 100 to 280 within the minute, and so to 460 at its end.
    told = measured(forecast(RATES, spread=0.02), (100.0, 280.0))
    seen = observation(RATES, queue=QueueReading(queued, queued * 8000.0))
    expected = forecast(RATES if asked_rps is None else {**RATES, "pages": asked_rps}, spread=0.02)
    assert (surges(told, queued=asked_rps is not None) == ()) is (asked_rps is None)
    assert counts(seen, told) == counts(seen, expected)
    if asked_rps is not None:
        sizing = size(seen, told, layouts(), plan_policy())
        assert sizing is not None
        assert "were 100 and 280 per second in the last minutes" in sizing.roles[PREFILL].sentence


def test_one_minute_just_above_it_raises_nothing_however_many_queue() -> None:
    # The 0.995 quantile of the next minute is 108 rps.
    assert surges(measured(forecast(RATES, spread=0.02), (100.0, 112.0)), queued=True) == ()


def test_of_two_minutes_above_it_the_last_counts_where_requests_queue() -> None:
    told = measured(forecast(RATES, spread=0.02), (200.0, 300.0))
    assert {round(s.value / s.factor) for s in surges(told) if s.signal is Signal.ARRIVALS} == {100}
    assert [s.value for s in surges(told, queued=True) if s.signal is Signal.ARRIVALS] == [300.0]


def test_two_minutes_above_it_raise_the_whole_forecast_by_the_lower_of_the_two() -> None:
    told = measured(forecast(RATES, spread=0.02), (280.0, 300.0))
    found = surges(told)
    assert {(s.request_class, s.signal): round(s.factor, 6) for s in found} == {
        ("pages", signal): 2.8 for signal in Signal
    }
    jumped = {**RATES, "pages": 280.0}
    assert counts(observation(RATES), told) == counts(observation(RATES), forecast(jumped, spread=0.02))
    assert raised(told, found).signals["email"] == told.signals["email"]


def test_every_sentence_of_a_raised_need_says_what_was_measured_and_what_was_foreseen() -> None:
    told = measured(forecast(RATES), (280.0, 300.0))
    sizing = size(observation(RATES), told, layouts(), plan_policy())
    assert sizing is not None
    for role, sized in sizing.roles.items():
        words = "arrivals of pages were 280 and 300 per second in the last minutes, the forecast for the next"
        assert words in sized.sentence, role


def test_a_forecast_near_zero_is_raised_to_about_what_came_whatever_its_bands() -> None:
    told = measured(forecast({"pages": 0.001, "email": 20.0}, spread=0.3), (50.0, 60.0))
    paths = raised(told, surges(told)).signals["pages"][Signal.ARRIVALS].paths
    assert [path[0] for path in paths] == sorted(path[0] for path in paths)
    assert paths[2][0] == pytest.approx(50.0)
    assert paths[-1][0] <= 1.5 * 50.0
    none = forecast({"pages": 0.0, "email": 20.0})
    came = {s: replace(said, latest=(50.0, 60.0)) for s, said in none.signals["pages"].items()}
    silent = replace(none, signals={**none.signals, "pages": came})
    assert raised(silent, surges(silent)).signals["pages"][Signal.ARRIVALS].paths[2][0] == 50.0


def test_a_forecast_that_is_not_trusted_gives_way_to_one_look_above_it() -> None:
    doubted = forecast(RATES, fallback="bands rest on a prior")
    seen = {**RATES, "pages": 140.0}
    assert counts(observation(seen), doubted) == counts(observation(seen), forecast(seen))
    assert counts(observation(seen), forecast(RATES)) == counts(observation(RATES), forecast(RATES))
    # Within its bands nothing is news, and what was seen long ago is none.
    assert outgrown(observation({**RATES, "pages": 104.0}), doubted) == ()
    assert outgrown(observation(seen, demand_at_s=AT_S - 90.0), doubted) == ()


def test_raising_never_lowers_a_path() -> None:
    for spread in (0.0, 0.1, 0.2):
        told = measured(forecast(RATES, spread=spread), (190.0, 400.0))
        after = raised(told, surges(told))
        assert after is not told
        for name, signals in told.signals.items():
            for signal, said in signals.items():
                both = zip(said.paths, after.signals[name][signal].paths, strict=True)
                assert all(high >= low for a, b in both for low, high in zip(a, b, strict=True))


def test_a_net_that_is_switched_off_raises_nothing() -> None:
    off = replace(plan_policy(), reactive=False)
    told = measured(forecast(RATES), (280.0, 300.0))
    seen = observation(RATES, latency={"pages": SLOW}, queue=QUEUE)
    assert counts(seen, told, off) == counts(observation(RATES, queue=QUEUE), forecast(RATES), off)


def test_a_p90_near_the_promise_asks_for_more_than_what_serves() -> None:
    seen = observation(RATES, {PREFILL: 12, DECODE: 2}, latency={"pages": SLOW}, queue=QUEUE)
    calm = size(
        observation(RATES, {PREFILL: 12, DECODE: 2}, queue=QUEUE), forecast(RATES), layouts(), plan_policy()
    )
    sizing = size(seen, forecast(RATES), layouts(), plan_policy())
    assert sizing is not None
    assert calm is not None
    assert sizing.roles[PREFILL].target > max(12, calm.roles[PREFILL].target)
    assert sizing.roles[PREFILL].binding is Binding.REACTIVE
    assert "TTFT of pages is 400ms at P90, 300ms promised: 12 ready ask for" in sizing.roles[PREFILL].sentence


def test_what_is_starting_counts_so_that_nothing_is_ordered_twice() -> None:
    def target(pools: dict[Role, PoolState]) -> int:
        seen = observation(RATES, pools=pools, latency={"pages": SLOW}, queue=QUEUE)
        return counts(seen, forecast(RATES))[PREFILL]

    first = target({PREFILL: pool(12), DECODE: pool(2)})
    coming = PoolState(first, 12, (StartingReplica(AT_S - 30),) * (first - 12))
    assert target({PREFILL: coming, DECODE: pool(2)}) == first


def test_latencies_of_a_queue_that_is_gone_ask_for_no_more_and_let_nothing_go() -> None:
    assert counts(observation(RATES), forecast(RATES))[PREFILL] < 12
    for waiting in (0, 5):
        queue = QueueReading(waiting, waiting * 8000.0)
        seen = observation(RATES, {PREFILL: 12, DECODE: 2}, latency={"pages": SLOW}, queue=queue)
        assert counts(seen, forecast(RATES))[PREFILL] == 12


def test_latencies_of_a_class_of_which_nothing_arrives_hold_nothing() -> None:
    rates = {"pages": 0.0, "email": 20.0}
    seen = observation(rates, latency={"pages": SLOW}, queue=None)
    assert counts(seen, forecast(rates)) == counts(observation(rates, queue=None), forecast(rates))


def test_healthy_latencies_ask_for_nothing() -> None:
    # 113 ms alone, so that 0.23 s is three fifths of the time left for waiting.
    healthy = LatencyReading(ttft_p50_s=0.13, ttft_p90_s=0.23, itl_p90_s=0.02)
    seen = observation(RATES, latency={"pages": healthy}, queue=QUEUE)
    assert counts(seen, forecast(RATES)) == counts(observation(RATES, queue=QUEUE), forecast(RATES))


def test_an_itl_over_the_promise_asks_for_decode() -> None:
    chat = RequestClass("chat", Slo(ttft_s=0.5, itl_s=0.03))
    plan, told = plan_policy([chat]), forecast({"chat": 200.0})
    calm = observation({"chat": 200.0})
    need = counts(calm, told, plan)
    seen = observation({"chat": 200.0}, need, latency={"chat": LatencyReading(itl_p90_s=0.036)})
    after = counts(seen, told, plan)
    assert after[DECODE] == -(-need[DECODE] * 12 // 10)
    assert after[PREFILL] <= need[PREFILL]


def test_a_law_cannot_run_away_where_more_replicas_do_not_help() -> None:
    # Whatever runs, TTFT stays at ten times the promise: some unseen thing is slow.
    stuck = LatencyReading(ttft_p90_s=3.0)
    running, trail = 12, []
    for _ in range(20):
        queue = QueueReading(5 * running, 5 * running * 8000.0)
        seen = observation(RATES, {PREFILL: running, DECODE: 2}, latency={"pages": stuck}, queue=queue)
        without = observation(RATES, {PREFILL: running, DECODE: 2}, queue=queue)
        running = max(running, counts(seen, forecast(RATES))[PREFILL])
        trail.append((running, counts(without, forecast(RATES))[PREFILL]))
    alone = counts(observation(RATES), forecast(RATES))[PREFILL]
    assert trail[-1][0] <= max(1.6 * alone, *(need for _, need in trail))


def test_a_promise_that_one_request_breaks_asks_for_nothing() -> None:
    hopeless = (RequestClass("pages", Slo(ttft_s=0.05), 10), RequestClass("email", Slo()))
    plan = plan_policy(hopeless)
    seen = observation(RATES, latency={"pages": SLOW}, queue=QUEUE)
    assert counts(seen, forecast(RATES), plan) == counts(
        observation(RATES, queue=QUEUE), forecast(RATES), plan
    )
