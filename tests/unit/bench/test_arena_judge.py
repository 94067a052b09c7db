"""The contest's criteria are evaluated as they are stated, and a recovery is timed as one is."""

from dataclasses import replace

import numpy as np
import pytest

from models.simulation.scorecard import TimelinePoint
from models.simulation.workload import Workload
from tests.bench.arena_frontier import cost_at, dominated
from tests.bench.arena_hpa import TUNINGS, Tried, best
from tests.bench.arena_judge import Cell, judge
from tests.bench.arena_runs import Outcome, Task, mean_to_peak, regained_s
from tests.bench.arena_scenarios import Kind

ORACLE_HOURS = 100.0


def outcome(
    attainment: float, gpu_hours: float, mean_to_peak: float = 0.5, regained: float | None = None
) -> Outcome:
    by_role = {"prefill": gpu_hours / 2, "decode": gpu_hours / 2}
    shape = dict.fromkeys(by_role, mean_to_peak)
    return Outcome(Task("day", 120.0, 0, "any"), attainment, gpu_hours, by_role, shape, regained, 0, 0.0)


def cell(*headgate: Outcome, kind: Kind = Kind.DAY, hpa: float = 130.0, peak: float = 160.0) -> Cell:
    """Judge headgate against an HPA that keeps 99.2 %, an oracle of 100 GPU-hours and a static peak."""
    n = len(headgate)
    return Cell(
        kind,
        120.0,
        60.0,
        120.0,
        headgate,
        [outcome(0.992, hpa)] * n,
        [outcome(0.99, ORACLE_HOURS)] * n,
        [outcome(0.999, peak)] * n,
    )


def verdicts(some: Cell) -> dict[str, bool]:
    return {c.name: c.met for c in judge(some)}


@pytest.mark.parametrize(
    ("attainment", "hours", "broken"),
    [
        (0.99, 115.0, set()),
        (0.9899, 110.0, {"attainment"}),
        (0.995, 115.1, {"oracle"}),
        # 0.90 x 130 = 117 and 0.75 x 160 = 120 GPU-hours.
        (0.995, 118.0, {"oracle", "best HPA"}),
        (0.995, 121.0, {"oracle", "best HPA", "static peak"}),
    ],
)
def test_a_day_is_held_to_attainment_oracle_autoscaler_and_peak(
    attainment: float, hours: float, broken: set[str]
) -> None:
    found = verdicts(cell(outcome(attainment, hours)))
    assert set(found) == {"attainment", "oracle", "best HPA", "static peak"}
    assert {name for name, met in found.items() if not met} == broken


def test_where_demand_is_flat_the_constant_peak_may_be_undercut_by_less() -> None:
    # 1.15 x 0.8 = 0.92 of the peak's 110 GPU-hours is 101.2, though 0.75 of them are 82.5.
    flat = [outcome(0.999, 110.0, mean_to_peak=0.8)]
    assert verdicts(replace(cell(outcome(0.995, 101.0)), peak=flat))["static peak"]
    assert not verdicts(replace(cell(outcome(0.995, 101.3)), peak=flat))["static peak"]


def test_means_over_the_seeds_decide_and_the_seeds_are_counted() -> None:
    found = {c.name: c for c in judge(cell(outcome(0.989, 114.0), outcome(0.993, 117.0)))}
    assert found["attainment"].met
    assert found["attainment"].seeds == (1, 2)
    assert not found["oracle"].met
    assert found["oracle"].seeds == (1, 2)
    assert str(found["oracle"]) == "NOT MET: 1.155 x its GPU-hours, at most 1.15 (1 of 2 seeds)"


def test_a_shock_is_held_to_the_autoscaler_and_to_the_slowest_recovery() -> None:
    # Start-up 120 s, two ticks of 60 s and 120 s to recover: 360 s.
    good = cell(outcome(0.992, 130.0, regained=360.0), kind=Kind.SHOCK)
    assert all(verdicts(good).values())
    dear = cell(outcome(0.992, 130.1, regained=360.0), kind=Kind.SHOCK)
    assert verdicts(dear) == {"attainment": True, "best HPA": False, "promise regained": True}
    late = cell(outcome(1.0, 100.0, regained=0.0), outcome(1.0, 100.0, regained=420.0), kind=Kind.SHOCK)
    assert not verdicts(late)["promise regained"]
    never = cell(outcome(1.0, 100.0), kind=Kind.SHOCK)
    assert not verdicts(never)["promise regained"]


def timeline(attainment: list[float]) -> list[TimelinePoint]:
    return [
        TimelinePoint(60.0 * (i + 1), {"documents": 8.0}, {"documents": share}, {}, {}, {}, 0)
        for i, share in enumerate(attainment)
    ]


def test_a_promise_is_regained_when_every_five_minutes_keep_it_from_then_on() -> None:
    # Broken in minutes 12 to 14 after an onset in minute 10; a single miss later is no break.
    kept = [1.0] * 12 + [0.5, 0.2, 0.6] + [1.0] * 3 + [0.98] + [1.0] * 40
    assert regained_s(timeline(kept), 10) == 300.0
    assert regained_s(timeline([1.0] * 60), 10) == 0.0
    assert regained_s(timeline([1.0] * 10 + [0.9] * 60), 10) is None


def test_a_minute_without_arrivals_neither_breaks_nor_keeps_a_promise() -> None:
    points = timeline([1.0] * 60)
    points[11] = replace(points[11], arrivals_rps={"documents": 0.0}, attainment={"documents": None})
    assert regained_s(points, 10) == 0.0


def test_mean_and_peak_of_work_are_those_of_minutes() -> None:
    # One request of 100 tokens a minute for an hour, and two in ten minutes of it.
    times = np.concatenate((60.0 * np.arange(60), 60.0 * np.arange(20, 30) + 5.0))
    workload = Workload.of(times, 100, 10)
    assert mean_to_peak(workload, workload.isl_tokens) == pytest.approx(70 / 60 / 2)


def test_the_best_setting_is_the_cheapest_that_keeps_the_promise_or_the_one_nearest_to_it() -> None:
    keep = [Tried(TUNINGS[0], 0.989, 90.0), Tried(TUNINGS[1], 0.991, 110.0), Tried(TUNINGS[2], 0.999, 105.0)]
    assert best(keep).tuning == TUNINGS[2]
    assert best([*keep[:1], Tried(TUNINGS[3], 0.95, 50.0)]).tuning == TUNINGS[0]


def test_eight_settings_compete() -> None:
    assert len(set(TUNINGS)) == 8


def test_a_point_is_dominated_between_two_of_the_rival_s_as_well() -> None:
    rival = [(0.98, 90.0), (0.99, 100.0), (0.999, 130.0)]
    assert cost_at(0.985, rival) == pytest.approx(95.0)
    assert cost_at(0.9995, rival) is None
    assert dominated((0.985, 96.0), rival)
    assert not dominated((0.985, 94.0), rival)
    assert not dominated((0.9995, 500.0), rival)
