from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.render.misses import CALM_S, worst_misses
from models.render.timeline import (
    MOST_POINTS,
    attainment_columns,
    gather,
    held_columns,
    load_columns,
    state_columns,
    thinning,
    ttft_columns,
)
from models.simulation.scorecard import TimelinePoint
from models.values import Role
from tests.unit.render.report_values import NOON_S, PAGES, replay_result

RESULT = replay_result(("headgate", "hpa"))
HEADGATE = RESULT.policies[0]


def point(minute: int, met: float | None, rps: float = 10.0, **changes: object) -> TimelinePoint:
    value = TimelinePoint(
        at_s=NOON_S + 60 * minute,
        arrivals_rps={"pages": rps},
        attainment={"pages": met},
        ready={Role.PREFILL: 2, Role.DECODE: 1},
        starting={},
        draining={},
        queued_requests=0,
    )
    return replace(value, **changes)  # type: ignore[arg-type]


@given(st.integers(1, 5000))
def test_thinning_keeps_every_point_once_and_in_order(count: int) -> None:
    points = [point(i, 1.0) for i in range(count)]

    runs = gather(points)

    assert [p for run in runs for p in run] == points
    assert len(runs) <= MOST_POINTS


def test_thinning_hides_no_peak_and_no_miss() -> None:
    held = held_columns(RESULT).values["headgate"]["headgate"]
    ttft = ttft_columns(RESULT).values["hpa"]["hpa"]
    truth = max(
        sum((p.ready[r] + p.starting[r] + p.draining[r]) * RESULT.gpus_per_replica[r] for r in p.ready)
        for p in HEADGATE.timeline
    )

    assert max(v for v in held if v is not None) == truth
    assert max(v for v in ttft if v is not None) == pytest.approx(
        1e3 * max(p.ttft_p95_s or 0 for p in RESULT.policies[1].timeline), rel=1e-3
    )
    assert thinning(RESULT).startswith("Each point gathers 3 intervals of 60 s")


def test_the_states_of_a_thinned_point_belong_to_one_moment() -> None:
    states = state_columns(RESULT).values["headgate"]
    held = held_columns(RESULT).values["headgate"]["headgate"]

    summed = [sum(v for v in moment if v is not None) for moment in zip(*states.values(), strict=True)]
    assert summed == held


def test_thinned_load_keeps_all_arrivals() -> None:
    load = load_columns(HEADGATE).values["load"]["pages"]
    # The last run may be shorter; the day divides by three here.
    total = sum(v for v in load if v is not None) * 3
    # Four significant digits a point.
    assert total == pytest.approx(sum(p.arrivals_rps["pages"] for p in HEADGATE.timeline), rel=5e-4)


def test_attainment_is_weighted_by_arrivals_and_absent_without_any() -> None:
    points = (point(1, 1.0, rps=30.0), point(2, 0.5, rps=10.0))
    busy = replace(RESULT, policies=(replace(HEADGATE, timeline=points * 400),))
    quiet = replace(RESULT, policies=(replace(HEADGATE, timeline=(point(1, None, rps=0.0),)),))

    assert attainment_columns(busy).values["headgate"]["pages"][0] == 87.5
    assert attainment_columns(quiet).values["headgate"]["pages"] == [None]


def test_misses_gather_into_spells_the_costliest_first() -> None:
    calm = int(CALM_S / 60) + 5
    points = (
        point(1, 0.9),
        point(2, 1.0),
        point(3, 0.8, starting={Role.PREFILL: 1}),
        *(point(3 + i, 1.0) for i in range(1, calm)),
        point(3 + calm, 0.0, queued_requests=70, ready={Role.PREFILL: 40, Role.DECODE: 1}),
    )
    result = replace(RESULT, classes=(PAGES,), policies=(replace(HEADGATE, timeline=points),))

    worst, first = worst_misses(result, result.policies[0])

    assert worst.missed_requests == pytest.approx(600)
    assert worst.attainment == 0.0
    assert worst.circumstance == "the budget of 44 GPUs was used up; up to 70 requests waited"
    assert first.missed_requests == pytest.approx(180)
    assert (first.start_s, first.end_s) == (NOON_S, NOON_S + 180)
    assert first.circumstance == "prefill replicas were starting"


def test_a_class_without_a_promise_misses_nothing() -> None:
    points = tuple(
        replace(point(i, 0.0), arrivals_rps={"email": 5.0}, attainment={"email": 0.0}) for i in (1, 2)
    )
    result = replace(RESULT, policies=(replace(HEADGATE, timeline=points),))

    assert worst_misses(result, result.policies[0]) == ()
