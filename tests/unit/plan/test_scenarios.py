"""Check how a forecast becomes loads: the horizon, the levels, the tokens, the recent past."""

from dataclasses import replace

import numpy as np
import pytest

from models.decision import RoleSizing
from models.observation import ClassDemand, QueueReading, StartingReplica
from models.plan.backlog import backlog_rps
from models.plan.scenarios import scenarios
from models.plan.sizing import bind, size
from models.policy import PoolPolicy
from models.prediction import Forecast, SignalForecast
from models.values import Role, Signal
from tests.builders import (
    AT_S,
    EMAIL,
    PAGES,
    PAGES_MIX,
    forecast,
    layouts,
    observation,
    plan_policy,
    pool,
)

LEVELS = (0.1, 0.5, 0.9)
MINUTES = tuple(60.0 * i for i in range(1, 11))


def ramp(start: float, per_minute: float, tokens: float = 1.0, recent: float = 0.0) -> SignalForecast:
    """Make a forecast that rises minute by minute; levels 20 % below and above the middle."""
    middle = [(start + per_minute * i) * tokens for i in range(1, 11)]
    paths = tuple(tuple(v * factor for v in middle) for factor in (0.8, 1.0, 1.2))
    return SignalForecast(LEVELS, MINUTES, paths, "builder", "builder", recent * tokens)


def rising(start: float, per_minute: float, **changes: float) -> Forecast:
    """Forecast pages that rise, with the work of the pages' mix."""
    return Forecast(
        AT_S,
        {
            "pages": {
                Signal.ARRIVALS: ramp(start, per_minute, **changes),
                Signal.PREFILL_TOKENS: ramp(start, per_minute, 8000.0, **changes),
                Signal.DECODE_TOKENS: ramp(start, per_minute, 50.0, **changes),
            }
        },
    )


PAGES_ONLY = observation({"pages": 100.0})


@pytest.mark.parametrize(("until_s", "minute"), [(60, 1), (61, 2), (195, 4), (240, 4), (600, 10), (9999, 10)])
def test_the_peak_holds_the_whole_step_in_which_the_horizon_ends(until_s: float, minute: int) -> None:
    found = scenarios(PAGES_ONLY, rising(100, 10), [PAGES], until_s)
    assert found is not None
    assert found.loads[1][0].rate_rps == pytest.approx(100 + 10 * minute)


def test_levels_weigh_by_the_probability_between_their_midpoints() -> None:
    found = scenarios(PAGES_ONLY, rising(100, 0), [PAGES], 60)
    assert found is not None
    assert np.allclose(found.weights, [0.3, 0.4, 0.3])
    # Less the noise of counting 100 requests a second over a minute.
    assert [load[0].rate_rps for load in found.loads] == pytest.approx([80, 100, 120], rel=2e-3)


def test_work_follows_the_token_forecast_not_the_arrivals() -> None:
    longer = rising(100, 0)
    signals = {**longer.signals["pages"], Signal.PREFILL_TOKENS: ramp(100, 0, 12_000.0)}
    found = scenarios(PAGES_ONLY, Forecast(AT_S, {"pages": signals}), [PAGES], 60)
    assert found is not None
    load = found.loads[1][0]
    assert load.prefill_rps == pytest.approx(150)
    assert (load.rate_rps, load.decode_rps) == pytest.approx((100, 100))


def test_work_that_missed_the_jump_of_its_arrivals_follows_them() -> None:
    # Arrivals triple at once and their model knows; the decode signal's model stayed at the last value.
    signals = {**rising(300, 0).signals["pages"], Signal.DECODE_TOKENS: ramp(100, 0, 50.0)}
    found = scenarios(PAGES_ONLY, Forecast(AT_S, {"pages": signals}), [PAGES], 60)
    assert found is not None
    assert found.loads[1][0].decode_rps == pytest.approx(300)


def test_the_recent_past_raises_a_forecast_that_dips() -> None:
    dip = rising(60, 0, recent=100.0)
    found = scenarios(PAGES_ONLY, dip, [PAGES], 60)
    assert found is not None
    held = found.at_least_recent(dip)
    assert [load[0].prefill_rps for load in held.loads] == pytest.approx([100, 100, 100])


def test_a_class_that_arrives_with_lengths_unknown_stops_the_sizing() -> None:
    unknown = {**PAGES_ONLY.demand, "email": ClassDemand(300.0, None, None)}
    seen = replace(PAGES_ONLY, demand=unknown)
    assert scenarios(seen, rising(100, 0), [PAGES, EMAIL], 60) is None


def test_lengths_of_a_nightly_batch_come_from_its_first_minute() -> None:
    night = {
        Signal.ARRIVALS: ramp(-30, 30),
        Signal.PREFILL_TOKENS: ramp(-30, 30, 600.0),
        Signal.DECODE_TOKENS: ramp(-30, 30, 700.0),
    }
    expected = Forecast(AT_S, {**rising(100, 0).signals, "email": night})
    found = scenarios(PAGES_ONLY, expected, [PAGES, EMAIL], 300)
    assert found is not None
    email = found.loads[1][1]
    assert email.mix.mean_isl_tokens == pytest.approx(600)
    assert email.rate_rps == pytest.approx(120)


def test_a_slow_start_orders_for_a_later_load() -> None:
    def target(startup_s: float) -> int:
        pools = dict.fromkeys((Role.PREFILL, Role.DECODE), PoolPolicy(startup_s=startup_s))
        sizing = size(PAGES_ONLY, rising(60, 10), layouts(), plan_policy((PAGES,), pools=pools))
        assert sizing is not None
        return sizing.roles[Role.PREFILL].target

    # At +75 s two minutes count (96 rps at the upper level), at +375 s seven (156 rps).
    assert target(300.0) >= target(1.0) + 4


def test_a_release_waits_for_the_need_over_the_hold_time() -> None:
    # Quick to start, slow to drain: in six minutes the replicas are wanted again.
    pools = dict.fromkeys((Role.PREFILL, Role.DECODE), PoolPolicy(startup_s=1.0, drain_s=500.0))
    sizing = size(PAGES_ONLY, rising(60, 10), layouts(), plan_policy((PAGES,), pools=pools))
    assert sizing is not None
    prefill = sizing.roles[Role.PREFILL]
    assert prefill.upper >= prefill.target + 4


def test_replicas_that_are_starting_count_as_supply_for_a_backlog() -> None:
    policy, queue = plan_policy((PAGES,)), QueueReading(12_000, 12_000 * PAGES_MIX.mean_isl_tokens)

    def extra(starting: int, age_s: float) -> float:
        coming = tuple(StartingReplica(AT_S - age_s) for _ in range(starting))
        state = {
            Role.PREFILL: pool(9, starting=coming, desired=9 + starting),
            Role.DECODE: pool(1),
        }
        seen = observation({"pages": 100.0}, pools=state, queue=queue)
        ahead = scenarios(seen, forecast({"pages": 100.0}), [PAGES], 195)
        assert ahead is not None
        return backlog_rps(seen, bind(ahead, layouts(), policy), policy)

    alone, late, soon = extra(0, 0.0), extra(6, 10.0), extra(6, 110.0)
    assert alone > late > soon


def test_what_leaves_a_queue_is_decoded_as_well() -> None:
    ahead = scenarios(observation({"pages": 100.0}), forecast({"pages": 100.0}), [PAGES], 195)
    assert ahead is not None

    for before, after in zip(ahead.loads, ahead.with_backlog(50.0).loads, strict=True):
        more = 1 + 50.0 / before[0].prefill_rps
        assert after[0].prefill_rps == pytest.approx(before[0].prefill_rps * more)
        assert after[0].decode_rps == pytest.approx(before[0].decode_rps * more)
        # Arrivals are what they were: the queue has been counted among them.
        assert after[0].rate_rps == before[0].rate_rps


def test_a_queue_shows_that_a_jump_above_the_forecast_is_no_noise() -> None:
    policy = plan_policy((PAGES,))
    state = {Role.PREFILL: pool(9), Role.DECODE: pool(1)}

    def extra(measured_rps: float, waiting: int) -> float:
        queue = QueueReading(waiting, waiting * PAGES_MIX.mean_isl_tokens)
        seen = observation({"pages": measured_rps}, pools=state, queue=queue)
        ahead = scenarios(seen, forecast({"pages": 100.0}), [PAGES], 195)
        assert ahead is not None
        return backlog_rps(seen, bind(ahead, layouts(), policy), policy)

    assert extra(200.0, 0) == 0.0
    # The median foresees 100: in 120 s of start-up 100 requests/s more arrive, to be worked off in 120 s.
    assert extra(200.0, 4000) == pytest.approx(extra(100.0, 4000) + 100.0)
    assert extra(50.0, 4000) == extra(100.0, 4000)


def test_replicas_that_work_a_queue_off_are_no_surplus() -> None:
    policy = plan_policy((PAGES,))
    # 20 replicas serve 275 requests/s: the queue will be gone long before a new one is ready.
    state = {Role.PREFILL: pool(20), Role.DECODE: pool(2)}

    def sized(waiting: int) -> RoleSizing:
        queue = QueueReading(waiting, waiting * PAGES_MIX.mean_isl_tokens)
        seen = observation({"pages": 100.0}, pools=state, queue=queue)
        found = size(seen, forecast({"pages": 100.0}), layouts(), policy)
        assert found is not None
        return found.roles[Role.PREFILL]

    idle, busy = sized(0), sized(12_000)
    assert busy.target == idle.target < 20
    assert idle.upper < 12
    # 12,000 requests in 120 s are 100 requests/s more.
    assert busy.upper >= 1.6 * idle.upper
