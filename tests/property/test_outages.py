"""Outages are only ever taken out of what was known, never twice, and never where a class rests."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.forecast.outages import BELIEVED_S, LONGEST_S, without_outages
from models.series import Flags, Series
from tests.demand import MINUTES_PER_DAY, SUNDAY_S, changed, diurnal, with_gap

# Noise is drawn once: what varies is where the zeros lie.
WEEK = diurnal(7)
STEPS = len(WEEK)
HOUR = 60

ANY = st.lists(st.one_of(st.just(0.0), st.just(float("nan")), st.floats(0, 1e9)), max_size=200)
SILENCES = st.lists(
    st.tuples(st.integers(0, STEPS - 1), st.integers(1, 20 * HOUR), st.sampled_from(["zeros", "gap"])),
    max_size=4,
)


def silenced(silences: list[tuple[int, int, str]]) -> Series:
    series = WEEK
    for begin, minutes, kind in silences:
        series = changed(series, begin, minutes, 0.0) if kind == "zeros" else with_gap(series, begin, minutes)
    return series


def taken(series: Series) -> Flags:
    believed, _ = without_outages(series)
    assert believed.start_s == series.start_s
    assert believed.step_s == series.step_s
    assert not (believed.known & ~series.known).any()
    assert np.array_equal(believed.values, np.where(believed.known, series.values, 0.0))
    return np.asarray(series.known & ~believed.known)


@given(ANY, st.sampled_from([60.0, 600.0, 3600.0, 7 * 86_400.0, 37.0]))
def test_any_series_is_survived_and_only_zeros_or_cut_steps_go(values: list[float], step_s: float) -> None:
    series = Series.of(values, SUNDAY_S, step_s)
    gone = taken(series)
    zero = series.known & (series.values == 0)
    beside = np.zeros(len(series), dtype=np.bool_)
    at = np.flatnonzero(series.known)
    lost = zero[at] & gone[at]
    beside[at[1:]] |= lost[:-1]
    beside[at[:-1]] |= lost[1:]

    assert not (gone & ~zero & ~beside).any()


@settings(max_examples=60)
@given(SILENCES)
def test_the_same_history_gives_the_same_gaps_and_no_new_ones_when_asked_again(
    silences: list[tuple[int, int, str]],
) -> None:
    series = silenced(silences)
    once, _ = without_outages(series)

    assert without_outages(series)[0] == once
    # A second look may doubt what the first believed beside a gap, but finds no zeros where none were.
    assert not (taken(once) & (series.values > 0) & (once.values > 10.0)).any()


@settings(max_examples=60)
@given(st.integers(2 * HOUR, STEPS - 3 * HOUR), st.integers(1, 14 * HOUR))
def test_wherever_one_outage_lies_it_is_found_whole(begin: int, minutes: int) -> None:
    minutes = min(minutes, STEPS - begin - 1)
    # Half an hour after midnight of the first day nothing can be compared but the hour before.
    gone = taken(changed(WEEK, begin, minutes, 0.0))

    assert np.flatnonzero(gone).tolist() == list(range(begin, begin + minutes))


@settings(max_examples=40)
@given(st.integers(2 * HOUR, STEPS), st.integers(1, 30 * HOUR))
def test_zeros_that_go_on_are_doubted_for_an_hour_and_then_believed(end: int, minutes: int) -> None:
    minutes = min(minutes, end - 2 * HOUR + 1)
    series = changed(WEEK, end - minutes, minutes, 0.0).window(-np.inf, SUNDAY_S + 60.0 * end)

    assert taken(series).sum() == (minutes if minutes * 60.0 <= BELIEVED_S else 0)


@settings(max_examples=20)
@given(st.integers(2 * HOUR, 3 * MINUTES_PER_DAY), st.integers(1, 3 * MINUTES_PER_DAY))
def test_what_lasts_longer_than_a_long_night_is_real(begin: int, more: int) -> None:
    gone = taken(changed(WEEK, begin, round(LONGEST_S / 60.0) + more, 0.0))

    assert not gone.any()


@settings(max_examples=30)
@given(st.integers(0, 23), st.integers(1, 20), st.integers(2, 7), st.integers(0, 3))
def test_a_daily_rest_is_never_doubted_whenever_it_lies(hour: int, hours: int, days: int, seed: int) -> None:
    series = diurnal(days, seed=seed)
    hour_of_day = np.arange(len(series)) // HOUR % 24
    resting = (hour_of_day - hour) % 24 < hours
    rested = Series(series.start_s, 60.0, np.where(resting, 0.0, series.values), series.known)

    assert not taken(rested).any()
