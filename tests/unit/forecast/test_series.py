"""Hold Series to what it says about wrong input and about time."""

import numpy as np
import pytest

from models.series import Series


def test_a_repeated_timestamp_is_a_correction() -> None:
    assert Series.from_points([60.0, 60.0], [1.0, 5.0], 60.0).at(60.0) == 5.0


def test_points_out_of_order_are_sorted() -> None:
    made = Series.from_points([180.0, 60.0, 120.0], [3.0, 1.0, 2.0], 60.0)

    assert list(made.points()) == [(60.0, 1.0), (120.0, 2.0), (180.0, 3.0)]


def test_a_missing_minute_is_a_gap_and_not_a_zero() -> None:
    made = Series.from_points([0.0, 180.0], [1.0, 1.0], 60.0)

    assert made.gaps() == [(60.0, 180.0)]
    assert made.at(60.0) is None


def test_steps_begin_at_multiples_of_the_step_since_the_epoch() -> None:
    assert Series.from_points([1_700_000_017.0], [1.0], 60.0).start_s == 1_699_999_980.0


def test_infinite_values_and_times_say_nothing() -> None:
    made = Series.from_points([0.0, np.inf, 60.0], [1.0, 2.0, np.inf], 60.0)

    assert list(made.points()) == [(0.0, 1.0)]


def test_a_stray_timestamp_is_refused_before_it_takes_memory() -> None:
    with pytest.raises(ValueError, match="a timestamp is wrong"):
        Series.from_points([0.0, 1.7e9], [1.0, 1.0], 60.0)


@pytest.mark.parametrize(
    ("start_s", "step_s", "values", "known", "said"),
    [
        (float("nan"), 60.0, [1.0], [True], "finite start"),
        (0.0, 0.0, [1.0], [True], "above zero"),
        (0.0, 60.0, [1.0], [True, False], "one length"),
        (0.0, 60.0, [[1.0]], [[True]], "one length"),
    ],
)
def test_what_is_no_series_is_refused(
    start_s: float, step_s: float, values: object, known: object, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Series(start_s, step_s, values, known)  # type: ignore[arg-type]


def test_grids_that_do_not_match_are_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match="resample one"):
        Series.of([1.0], 0.0, 60.0).merge(Series.of([1.0], 30.0, 60.0))


def test_the_arrays_cannot_be_changed_from_outside() -> None:
    given = np.array([1.0, 2.0])
    made = Series.of(given)
    given[0] = 9.0

    assert made.at(0.0) == 1.0
    with pytest.raises(ValueError, match="read-only"):
        made.values[0] = 5.0


def test_appending_nothing_adds_a_gap() -> None:
    made = Series.of([1.0]).append(None).append(float("nan")).append(4.0)

    assert list(made.points()) == [(0.0, 1.0), (60.0, None), (120.0, None), (180.0, 4.0)]
    assert made.last_known() == (180.0, 4.0)


def test_a_finer_step_holds_the_value_at_unix_times() -> None:
    made = Series.of([1.0, np.nan, 3.0], 1_715_472_000.0, 300.0).resample(60.0)

    assert made.start_s == 1_715_472_000.0
    assert made.known.tolist() == [True] * 5 + [False] * 5 + [True] * 5
    assert made.known_values == pytest.approx([1.0] * 5 + [3.0] * 5)


def test_nothing_known_has_no_last_value() -> None:
    assert Series.of([np.nan, np.nan]).last_known() is None
    assert Series.empty().last_known() is None
