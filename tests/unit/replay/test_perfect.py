"""Hold the perfect forecast to what is observed later, and headgate's variants to what they stand for."""

from dataclasses import replace

import numpy as np
import pytest

from models.errors import ConfigError
from models.policy import ForecastPolicy
from models.simulation.timescale import TimeScale
from models.simulation.workload import Workload
from models.values import Role, Signal
from planner.contest import HEADGATE, PERFECT, REACTIVE, check_name, contest
from planner.observe.simulated import SimulatedObserver
from planner.policies.perfect import PerfectForecaster
from planner.replay import Stage
from tests import builders
from tests.unit.replay.stages import chat, setup, stage

AMPLE = {Role.PREFILL: 8, Role.DECODE: 2}
GRID_S = 60.0


def perfect(some: Stage, **changes: object) -> PerfectForecaster:
    policy = replace(ForecastPolicy(), **changes)  # type: ignore[arg-type]
    return PerfectForecaster(some.workload, some.scale, policy, ["chat"])


def path(known: PerfectForecaster, now_s: float, signal: Signal = Signal.ARRIVALS) -> tuple[float, ...]:
    return known.forecast(now_s).signals["chat"][signal].paths[0]


def jump(seed: int = 2) -> Workload:
    """Triple the rate after ten minutes of twenty."""
    late = chat(40.0, minutes=10.0, seed=seed)
    late = replace(late, arrival_s=late.arrival_s + 600.0)
    return Workload.merge([chat(20.0, minutes=20.0), late])


@pytest.mark.parametrize("compression", [1.0, 4.0])
def test_each_step_ahead_is_what_an_observer_counts_in_it_later(compression: float) -> None:
    some = stage(jump(), compression=compression)
    scale, fleet = some.scale, some.fleet(AMPLE)
    observer = SimulatedObserver(fleet, scale, ["chat"])
    asked = 5
    foreseen: dict[Signal, tuple[float, ...]] = {}
    seen: dict[Signal, list[float]] = {signal: [] for signal in Signal}
    for minute in range(1, 20):
        now_s = scale.origin_s + GRID_S * minute
        fleet.advance(scale.simulated_s(now_s))
        demand = observer.observe(now_s).demand["chat"]
        if minute == asked:
            foreseen = {signal: path(perfect(some), now_s, signal) for signal in Signal}
        elif minute > asked:
            for signal in Signal:
                seen[signal].append(demand.value(signal) or 0.0)

    assert seen[Signal.ARRIVALS] == pytest.approx(foreseen[Signal.ARRIVALS][: 19 - asked], rel=1e-9)
    for signal in (Signal.PREFILL_TOKENS, Signal.DECODE_TOKENS):
        # An observer takes the mean length from what completed meanwhile: other requests at either end of
        # the minute, which at 300 to 3,600 of them and a spread of 0.66 moves their mean by up to 5 %.
        assert seen[signal] == pytest.approx(foreseen[signal][: 19 - asked], rel=0.05)


def test_ticks_between_two_steps_foresee_the_minutes_from_then_on() -> None:
    workload = Workload.of([0.0, 50.0, 70.0, 100.0, 130.0, 400.0], 1000, 10, class_names=("chat",))
    some = stage(workload)

    ahead = path(perfect(some), 30.0)

    # 30 to 90: two requests; to 150: two more; then none.
    assert ahead[:4] == pytest.approx((2 / 60, 2 / 60, 0.0, 0.0))
    assert path(perfect(some), 30.0, Signal.PREFILL_TOKENS)[0] == pytest.approx(2 * 1000 / 60)
    assert path(perfect(some), 30.0, Signal.DECODE_TOKENS)[1] == pytest.approx(2 * 10 / 60)


def test_tokens_found_in_the_prefix_cache_are_no_demand() -> None:
    workload = Workload.of([0.0, 10.0, 100.0], 1000, 10, cached_tokens=900, class_names=("chat",))

    assert path(perfect(stage(workload)), 0.0, Signal.PREFILL_TOKENS)[0] == pytest.approx(100 / 60)


def test_it_has_no_doubt_and_holds_nothing_of_the_past() -> None:
    some = stage()
    said = perfect(some).forecast(some.workload.start_s + 60.0)

    for each in said.signals["chat"].values():
        assert len(set(each.paths)) == 1
        assert len(each.paths) == len(each.levels)
        assert (each.recent_peak, each.fallback) == (0.0, None)
    assert said.trusted


def test_a_class_without_requests_is_foreseen_as_none() -> None:
    some = stage()
    known = PerfectForecaster(some.workload, some.scale, ForecastPolicy(), ["chat", "mail"])

    assert set(known.forecast(some.workload.start_s).signals["mail"][Signal.ARRIVALS].paths[0]) == {0.0}


def test_the_end_of_a_recording_is_no_lull() -> None:
    some = stage(chat(30.0, minutes=10.0))
    end_s = some.workload.end_s

    for left_s in (150.0, 61.0, 59.0, 1.0, 0.0):
        ahead = path(perfect(some), end_s - left_s)
        # 1,800 requests a minute: 10 % is four times their spread.
        assert ahead == pytest.approx([30.0] * len(ahead), rel=0.1)
        assert len(set(ahead[3:])) == 1


def test_it_reaches_as_far_as_is_asked_and_never_less() -> None:
    some = stage()
    known = perfect(some, reach_s=600.0)
    lengths = []
    for ahead_s in (0.0, 1230.0, 300.0):
        known.reach(ahead_s, 0.0)
        lengths.append(len(path(known, some.workload.start_s)))

    assert lengths == [10, 21, 21]


def test_a_workload_shorter_than_a_step_is_still_forecast() -> None:
    workload = Workload.of([0.0, 1.0], 1000, 10, class_names=("chat",))

    ahead = perfect(stage(workload)).forecast(0.5).signals["chat"][Signal.ARRIVALS]

    assert np.isfinite(ahead.paths[0]).all()


def test_with_foresight_replicas_are_there_when_demand_jumps_and_without_they_are_late() -> None:
    some = stage(jump())
    results = {r.policy: r for r in contest([REACTIVE, PERFECT], some, setup(), jobs=1)}

    def worst(name: str) -> float:
        return min(p.attainment["chat"] or 0.0 for p in results[name].timeline)

    assert worst(PERFECT) > 0.97
    assert worst(REACTIVE) < 0.9


def test_without_its_forecast_headgate_sizes_for_the_last_value_and_says_so() -> None:
    told = setup()
    some = stage(chat(20.0, minutes=6.0))
    off = replace(told, policy=replace(told.policy, forecast=replace(told.policy.forecast, enabled=False)))

    reactive = contest([REACTIVE], some, told, jobs=1)[0]
    switched_off = contest([HEADGATE], some, off, jobs=1)[0]

    assert reactive.policy == REACTIVE
    assert [p.ready for p in reactive.timeline] == [p.ready for p in switched_off.timeline]
    assert reactive.gpu_hours == switched_off.gpu_hours


@pytest.mark.parametrize("name", ["headgate-perfec", "headgate_reactive", "perfect", "reactive"])
def test_a_variant_that_there_is_not_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match="headgate-reactive, headgate-perfect"):
        check_name(name, tuple(builders.layouts()))


def test_time_of_the_story_is_kept_where_traffic_is_compressed() -> None:
    workload = Workload.of([100.0, 101.0, 125.0, 160.0], 1000, 10, class_names=("chat",))
    known = PerfectForecaster(workload, TimeScale(100.0, 6.0), ForecastPolicy(), ["chat"])

    # A minute of the story is ten seconds of traffic.
    assert path(known, 100.0)[:3] == pytest.approx((0.1, 0.0, 0.1))
