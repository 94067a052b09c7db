"""Replicas take five times as long as was stated: the scaler learns it within hours and keeps its promise."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from models.decision import Record
from models.policy import DecidePolicy, ForecastPolicy, PlanPolicy, PoolPolicy, TickPolicy
from models.series import Floats, Series
from models.simulation.workload import Workload
from models.values import Role, Signal
from planner.act.simulated import SimulatedActuator
from planner.forecasting import Forecasting
from planner.learning.time_to_ready import TimeToReady
from planner.observe.simulated import SimulatedObserver
from planner.ports import AsStated, Learner, Ports
from planner.record.line import from_line, to_line
from planner.record.memory import Memory
from planner.replay import Stage
from planner.tick import Served, plan, tick
from tests import builders
from tests.unit.replay.stages import CHAT

pytestmark = pytest.mark.slow

HOUR_S, DAY_S = 3600.0, 86_400.0
MIDNIGHT_S = 1_699_920_000.0
REAL_S, STATED_S = 300.0, 60.0
HOURS, COMPRESSION, TICK_S = 4, 20.0, 60.0
ISL, OSL = 1500, 100
# 60 requests/s of 1,500 tokens need four of these replicas and more, 6 need one.
LAYOUTS = {Role.PREFILL: builders.prefill_layout(30_000.0), Role.DECODE: builders.decode_layout()}


def rates(at_s: NDArray[np.floating]) -> Floats:
    """Ten times the load for 20 minutes of every hour; it takes two minutes to come and to go."""
    since_s = np.mod(at_s - MIDNIGHT_S - 1200.0, HOUR_S)
    found: Floats = 6.0 + 54.0 * np.clip(np.minimum(since_s, 1200.0 - since_s) / 120.0, 0.0, 1.0)
    return found


def workload() -> Workload:
    rng = np.random.default_rng(1)
    minutes_s = MIDNIGHT_S + 60.0 * np.arange(HOURS * 60)
    step_s = 60.0 / COMPRESSION
    counts = rng.poisson(rates(minutes_s + 30.0) * step_s)
    begins = np.repeat(MIDNIGHT_S + step_s * np.arange(minutes_s.size), counts)
    return Workload.of(begins + rng.random(begins.size) * step_s, ISL, OSL, class_names=("chat",))


def history() -> Mapping[str, Mapping[Signal, Series]]:
    """Three days like this one, by the minute."""
    minutes_s = MIDNIGHT_S - 3 * DAY_S + 60.0 * np.arange(3 * 1440)
    rps = np.random.default_rng(2).poisson(rates(minutes_s + 30.0) * 60.0) / 60.0
    sizes = {Signal.ARRIVALS: 1, Signal.PREFILL_TOKENS: ISL, Signal.DECODE_TOKENS: OSL}
    return {"chat": {signal: Series.of(rps * size, minutes_s[0]) for signal, size in sizes.items()}}


def policy(stated_s: float) -> TickPolicy:
    pools = dict.fromkeys(LAYOUTS, PoolPolicy(startup_s=stated_s))
    return TickPolicy("shop", ForecastPolicy(), PlanPolicy((CHAT,), pools), DecidePolicy())


@lru_cache
def records(stated_s: float, learns: bool) -> tuple[tuple[Record, ...], tuple[float, ...]]:
    """Run the ticks on a fleet that needs REAL_S; returns their records and the attainment of each hour."""
    stage = Stage(
        "jumps", workload(), LAYOUTS, (CHAT,), dict.fromkeys(LAYOUTS, REAL_S), compression=COMPRESSION
    )
    fleet, scale, chosen = stage.fleet({Role.PREFILL: 2, Role.DECODE: 1}), stage.scale, policy(stated_s)
    forecaster = Forecasting(chosen.forecast, ["chat"], chosen.plan.hold_horizon_s())
    forecaster.seed(history())
    learner: Learner = TimeToReady(chosen.plan) if learns else AsStated()
    kept = Memory()
    observer = SimulatedObserver(fleet, scale, ["chat"])
    ports = Ports(observer, forecaster, SimulatedActuator(fleet, None), kept, learner)
    for minute in range(1, HOURS * 60):
        now_s = scale.origin_s + TICK_S * minute
        fleet.advance(scale.simulated_s(now_s))
        tick(now_s, ports, chosen, Served(LAYOUTS, "sha256:0", "0"))
    fleet.advance(stage.workload.span_s + 60.0)
    done = np.array(fleet.ledger.finished)
    ttft_s, itl_s, _ = fleet.ledger.latencies(done)
    assert CHAT.slo.ttft_s is not None
    assert CHAT.slo.itl_s is not None
    good = (ttft_s <= CHAT.slo.ttft_s) & (itl_s <= CHAT.slo.itl_s)
    hour = (stage.workload.arrival_s[done] - stage.workload.start_s) * COMPRESSION // HOUR_S
    arrived = (stage.workload.arrival_s - stage.workload.start_s) * COMPRESSION // HOUR_S
    # What is not done counts as missed.
    attained = tuple(float(good[hour == h].sum() / (arrived == h).sum()) for h in range(HOURS))
    return tuple(kept.records), attained


def test_planned_as_stated_every_jump_is_met_too_late() -> None:
    _, attained = records(STATED_S, learns=False)

    assert max(attained) < 0.95


def test_learned_start_ups_keep_the_promise_from_the_second_hour_on() -> None:
    _, attained = records(STATED_S, learns=True)

    assert attained[0] < 0.95
    assert min(attained[1:]) >= 0.99


def test_what_was_learned_is_what_is_true_and_is_said() -> None:
    last = records(STATED_S, learns=True)[0][-1]
    prefill = last.readiness[Role.PREFILL]

    # The looks are a minute apart, and replicas are ordered right after one.
    assert prefill.startup_s == REAL_S
    assert all(each.least_s < REAL_S <= each.most_s <= REAL_S + TICK_S for each in prefill.seen)
    assert prefill.orders >= 10
    assert f"ready within 5m (P90 of {prefill.replicas} replicas" in last.decision.why[Role.PREFILL]
    # No decode replica was ever ordered: nothing is known of them.
    assert last.readiness[Role.DECODE].startup_s == STATED_S
    assert "ready within" not in last.decision.why[Role.DECODE]


def test_stated_truly_nothing_changes() -> None:
    learned, attained = records(REAL_S, learns=True)
    stated, same = records(REAL_S, learns=False)

    assert [r.decision for r in learned] == [r.decision for r in stated]
    assert attained == same
    assert learned[-1].readiness[Role.PREFILL].orders >= 10


def test_every_record_replays_from_its_line() -> None:
    for record in records(STATED_S, learns=True)[0][::13]:
        back = from_line(to_line(record))

        found = plan(back.observation, back.forecast, policy(STATED_S), LAYOUTS, back.readiness)

        assert back == record
        assert found == (record.sizing, record.decision)


def test_without_what_was_learned_a_record_does_not_replay() -> None:
    """The ground that the test above stands on: the sizing depends on it."""
    some = [replace(r, readiness={}) for r in records(STATED_S, learns=True)[0][120:]]

    assert any(plan(r.observation, r.forecast, policy(STATED_S), LAYOUTS)[0] != r.sizing for r in some)
