"""Hold Series to its grid and to its gaps, whatever comes in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.series import Series

VALUES = st.lists(st.one_of(st.floats(0, 1e6), st.just(float("nan"))), max_size=60)
PARTS = st.tuples(st.integers(-20, 20), VALUES)


def series(part: tuple[int, list[float]], step_s: float = 60.0) -> Series:
    return Series.of(part[1], part[0] * step_s, step_s)


@given(VALUES)
def test_nan_becomes_a_gap_that_holds_zero(values: list[float]) -> None:
    made = Series.of(values)

    assert np.isfinite(made.values).all()
    assert (made.values[~made.known] == 0.0).all()
    assert made.known.tolist() == [bool(np.isfinite(v)) for v in values]


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 100)), max_size=40, unique_by=lambda p: p[0]),
    st.randoms(),
)
def test_the_order_of_points_does_not_matter(points: list[tuple[int, float]], random: object) -> None:
    shuffled = list(points)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert Series.from_points(*_columns(points), 60.0) == Series.from_points(*_columns(shuffled), 60.0)


@given(st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 100)), min_size=1, max_size=40))
def test_every_point_lies_in_the_step_that_holds_its_mean(points: list[tuple[int, float]]) -> None:
    made = Series.from_points(*_columns(points), 60.0)
    latest = dict(points)

    for begin_s, value in made.points():
        inside = [v for t, v in latest.items() if begin_s <= t < begin_s + 60.0]
        assert (value is None) == (not inside)
        if value is not None:
            assert value == pytest.approx(np.mean(inside))


@given(PARTS, PARTS)
def test_a_merge_knows_what_either_knew_and_prefers_the_second(
    first: tuple[int, list[float]], second: tuple[int, list[float]]
) -> None:
    a, b = series(first), series(second)
    merged = a.merge(b)

    for time_s in range(-20 * 60, 90 * 60, 60):
        newer = b.at(time_s)
        assert merged.at(time_s) == (newer if newer is not None else a.at(time_s))


@given(PARTS, st.sampled_from([20.0, 60.0, 300.0, 420.0, 90.0]))
def test_resampling_keeps_the_total_where_all_is_known(part: tuple[int, list[float]], step_s: float) -> None:
    whole = series((part[0], [v for v in part[1] if np.isfinite(v)]))
    coarse = whole.resample(step_s, min_known=0.0)
    known = coarse.known

    # Partly filled steps at the ends hold the mean of their known part; weigh them by it.
    begins, ends = coarse.times_s, coarse.times_s + step_s
    covered = np.minimum(ends, whole.end_s) - np.maximum(begins, whole.start_s)
    assert (coarse.values * np.where(known, covered, 0.0)).sum() == pytest.approx(
        (whole.values * 60.0).sum(), rel=1e-6, abs=1e-6
    )


@given(PARTS)
def test_a_coarse_step_is_a_gap_when_less_than_half_is_known(part: tuple[int, list[float]]) -> None:
    fine = series(part)
    coarse = fine.resample(300.0)

    for begin_s, value in coarse.points():
        inside = [fine.at(begin_s + 60.0 * i) for i in range(5)]
        known = [v for v in inside if v is not None]
        assert (value is None) == (len(known) < 2.5)
        if value is not None:
            assert value == pytest.approx(np.mean(known), rel=1e-6, abs=1e-6)


@given(PARTS, st.integers(-30, 90), st.integers(-30, 90))
def test_a_window_holds_the_steps_that_begin_in_it(
    part: tuple[int, list[float]], first: int, last: int
) -> None:
    whole = series(part)
    cut = whole.window(first * 60.0, last * 60.0)

    expected = [p for p in whole.points() if first * 60.0 <= p[0] < last * 60.0]
    assert list(cut.points()) == expected


@given(PARTS)
def test_gaps_and_known_steps_fill_the_series(part: tuple[int, list[float]]) -> None:
    whole = series(part)

    missing = sum(until_s - from_s for from_s, until_s in whole.gaps())
    assert missing + 60.0 * whole.known.sum() == pytest.approx(60.0 * len(whole))


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [t for t, _ in points], [v for _, v in points]
