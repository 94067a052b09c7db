"""Zeros that demand makes implausible are an outage; zeros that belong to a class are its demand."""

import csv

import numpy as np
import pytest

from models.forecast.base import NotYet
from models.forecast.outages import BELIEVED_S, LONGEST_S, without_outages
from models.forecast.signal import Path, SignalFit, fit_signal, heard, path
from models.policy import ForecastPolicy
from models.series import Floats, Series
from models.simulation.story import Story
from planner.forecasting import Forecasting
from planner.observe.seriesfile import read_series
from tests.components import trace
from tests.demand import (
    DAY_S,
    MINUTES_PER_DAY,
    SUNDAY_S,
    arrivals,
    changed,
    conversation_week,
    diurnal,
    everywhere,
    flat,
    nightly_batch,
    seen,
)

HOUR = 60


def silent(series: Series, from_minute: int, minutes: int) -> Series:
    return changed(series, from_minute, minutes, 0.0)


def doubted(series: Series) -> list[tuple[int, int]]:
    """Return the stretches that are not believed, as step and number of steps."""
    believed, _ = without_outages(series)
    mark = np.diff(np.concatenate(([False], series.known & ~believed.known, [False])).astype(np.int8))
    return [
        (int(a), int(b - a)) for a, b in zip(np.flatnonzero(mark > 0), np.flatnonzero(mark < 0), strict=True)
    ]


@pytest.mark.parametrize("minutes", [1, 3, 45, 5 * HOUR, 14 * HOUR])
@pytest.mark.parametrize("hour", [3, 14, 20])
def test_an_outage_recorded_as_zeros_is_a_gap_to_the_minute(minutes: int, hour: int) -> None:
    at = 3 * MINUTES_PER_DAY + hour * HOUR
    assert doubted(silent(diurnal(7), at, minutes)) == [(at, minutes)]


def test_the_minutes_that_an_outage_cut_in_two_go_with_it() -> None:
    whole = diurnal(5)
    at = 3 * MINUTES_PER_DAY + 600
    cut = changed(changed(silent(whole, at, 20), at - 1, 1, 0.2), at + 20, 1, 0.4)

    assert doubted(cut) == [(at - 1, 22)]


def test_several_outages_of_one_day_are_all_found() -> None:
    series = diurnal(7)
    begins = [4 * MINUTES_PER_DAY + h * HOUR for h in (1, 5, 6, 13)]
    for at in begins:
        series = silent(series, at, 25)

    assert doubted(series) == [(at, 25) for at in begins]


def test_an_outage_at_the_same_hour_on_two_of_many_days_is_no_habit() -> None:
    series = diurnal(10)
    begins = [day * MINUTES_PER_DAY + 600 for day in (4, 6)]
    for at in begins:
        series = silent(series, at, 60)

    assert doubted(series) == [(at, 60) for at in begins]


@pytest.mark.parametrize("days", [2, 3, 7, 14])
def test_a_class_that_rests_by_the_clock_is_believed(days: int) -> None:
    for signals in Story().history(days=days).values():
        for series in signals.values():
            assert doubted(series) == []
    assert doubted(nightly_batch(days, day_rps=0.0)) == []


def test_a_class_that_begins_to_sleep_at_night_is_believed_from_the_fourth_night_on() -> None:
    series = diurnal(14)
    for day in range(7, 14):
        series = silent(series, day * MINUTES_PER_DAY, 6 * HOUR)

    def nights(days: int) -> list[int]:
        seen_so_far = series.window(-np.inf, SUNDAY_S + days * DAY_S)
        return [at // MINUTES_PER_DAY for at, _ in doubted(seen_so_far)]

    assert nights(9) == [7, 8]
    # After the fifth night the latest is what most days beside it say; the first of all stays the exception.
    assert nights(12) == [7, 8, 9]
    assert nights(14) == [7]


def test_a_day_of_the_week_without_work_is_believed_from_the_second_on() -> None:
    """Nobody orders on Sundays from 08:00 to 20:00: other days know nothing of it, other Sundays do."""
    series = diurnal(16)
    for day in (0, 7, 14):
        series = silent(series, day * MINUTES_PER_DAY + 8 * HOUR, 12 * HOUR)

    assert doubted(series) == []


@pytest.mark.parametrize("days", [1, 3, 28])
def test_a_service_that_is_switched_off_for_a_day_or_a_month_had_no_demand(days: int) -> None:
    assert days * DAY_S > LONGEST_S
    assert doubted(silent(diurnal(days + 10), 5 * MINUTES_PER_DAY, days * MINUTES_PER_DAY)) == []


@pytest.mark.parametrize("per_minute", [0.05, 0.3, 1.0, 2.0, 4.0])
def test_the_zeros_of_a_sparse_class_are_chance(per_minute: float) -> None:
    for seed in range(3):
        rates = np.full(7 * MINUTES_PER_DAY, per_minute / 60.0)
        assert doubted(Series.of(arrivals(rates, seed), SUNDAY_S)) == []


def test_an_outage_of_a_sparse_class_is_found_once_chance_cannot_explain_it() -> None:
    rates = np.full(7 * MINUTES_PER_DAY, 4.0 / 60.0)
    series = Series.of(arrivals(rates), SUNDAY_S)
    at = 4 * MINUTES_PER_DAY + 300

    assert doubted(silent(series, at, 2)) == []
    [(begin, length)] = doubted(silent(series, at, 60))
    # A minute beside it that happened to be empty or low cannot be told from it.
    assert begin in range(at - 3, at + 1)
    assert begin + length in range(at + 60, at + 64)


@pytest.mark.parametrize("held_s", [300.0, 900.0])
@pytest.mark.parametrize("per_minute", [0.3, 0.5, 1.0])
def test_history_that_was_read_back_coarsely_is_not_taken_for_even(held_s: float, per_minute: float) -> None:
    """Means of five minutes, held over them: no request in five minutes is chance all the same."""
    rates = np.full(7 * MINUTES_PER_DAY, per_minute / 60.0)
    held = Series.of(arrivals(rates), SUNDAY_S).resample(held_s).resample(60.0)

    assert doubted(held) == []


def test_an_outage_in_history_that_was_read_back_coarsely_is_found() -> None:
    held = diurnal(7).resample(900.0).resample(60.0)
    at = 4 * MINUTES_PER_DAY + 300

    assert doubted(silent(held, at, 45)) == [(at, 45)]


def test_a_class_that_works_by_fits_and_starts_is_believed() -> None:
    """On for half an hour, off for half an hour, never at the same time of day."""
    rng = np.random.default_rng(1)
    on = np.repeat(rng.random(7 * 48) < 0.6, 30)
    assert doubted(Series.of(arrivals(np.where(on, 20.0, 0.0)), SUNDAY_S)) == []


def test_demand_that_fades_away_and_returns_is_believed() -> None:
    minutes = np.arange(3 * MINUTES_PER_DAY)
    for shape in (np.cos(2 * np.pi * minutes / 1440.0), np.cos(2 * np.pi * minutes / 300.0)):
        for rates in (20.0 * np.maximum(shape, 0.0), 20.0 * (1.0 + shape)):
            assert doubted(Series.of(arrivals(rates), SUNDAY_S)) == []


def test_counts_an_hour_are_judged_by_their_own_scatter() -> None:
    """BurstGPT's nights fall to zero in 23 hours: two, three conversations an hour are often none."""
    with trace("burstgpt_hourly_days_0_34.csv").open(newline="") as file:
        counts = [float(row["conversation"]) for row in csv.DictReader(file)]
    assert counts.count(0.0) > 20
    assert doubted(Series.of(counts, step_s=3600.0)) == []


def test_recorded_weeks_without_outages_have_none() -> None:
    assert doubted(conversation_week()) == []
    assert doubted(read_series(trace("nyc_taxi.csv.gz"))[0].series) == []


@pytest.mark.parametrize(
    ("name", "column"),
    [("servegen_m-small_10min_real.csv", "rps"), ("servegen_m-small_1min_synth.csv.gz", "req")],
)
def test_the_empty_windows_of_servegen_are_all_found_and_nothing_else(name: str, column: str) -> None:
    series = read_series(trace(name), [column])[0].series
    believed, _ = without_outages(series)

    assert (series.known & (series.values == 0)).sum() == round(37 * 600 / series.step_s)
    assert np.array_equal(believed.known, series.known & (series.values > 0))


def test_an_outage_costs_a_busy_series_no_more_than_its_minutes() -> None:
    """Prefill tokens: 8,000 a request, so that a value is no count of independent arrivals."""
    tokens = Story().history(days=5)["pages"]
    for series in tokens.values():
        at = 3 * MINUTES_PER_DAY + 15 * HOUR
        assert doubted(silent(series, at, 10)) == [(at, 10)]


# What follows reads the latest minutes as a tick does.


def fitted(series: Series, at_s: float) -> SignalFit:
    made = fit_signal(series, at_s, ForecastPolicy())
    assert not isinstance(made, NotYet), made.reason
    return made


def read(fit: SignalFit, series: Series, at_s: float) -> Path:
    said = path(fit, series.window(at_s - 7200.0, at_s), at_s, 60.0 * np.arange(1.0, 31.0))
    assert said is not None
    return said


def median(said: Path) -> Floats:
    return np.asarray(said.quantiles[ForecastPolicy().levels.index(0.5)])


@pytest.mark.parametrize("minutes", [1, 10, 59])
def test_zeros_of_the_last_minutes_lower_no_forecast(minutes: int) -> None:
    series = diurnal(5)
    end = 4 * MINUTES_PER_DAY + 15 * HOUR
    at_s, fit_s = SUNDAY_S + 60.0 * end, SUNDAY_S + 60.0 * (end - HOUR)
    fit = fitted(series, fit_s)
    said, whole = (read(fit, s, at_s) for s in (silent(series, end - minutes, minutes), series))

    # Said from the level before it: at noon demand moves by 4 % in an hour.
    assert median(said) == pytest.approx(median(whole), rel=0.08)
    assert said.fallback is not None
    assert said.fallback == f"zeros for {minutes}m are taken for an outage"
    assert whole.fallback is None


def test_zeros_are_believed_after_an_hour_and_not_before() -> None:
    series = silent(diurnal(5), 4 * MINUTES_PER_DAY, 120)
    begin_s = SUNDAY_S + 4 * DAY_S
    fit = fitted(series, begin_s)

    assert median(read(fit, series, begin_s + BELIEVED_S)).min() > 5.0
    believed = read(fit, series, begin_s + BELIEVED_S + 60.0)
    assert believed.fallback is None
    assert median(read(fit, series, begin_s + BELIEVED_S + 300.0)).max() == pytest.approx(0.0, abs=0.05)


def test_a_refit_during_an_outage_doubts_it_no_longer_than_an_hour() -> None:
    series = silent(diurnal(5), 4 * MINUTES_PER_DAY, 120)
    begin_s = SUNDAY_S + 4 * DAY_S
    for minutes in (20, 40, 60):
        at_s = begin_s + 60.0 * minutes
        assert median(read(fitted(series, at_s), series, at_s)).min() > 5.0
    at_s = begin_s + 3900.0
    assert median(read(fitted(series, at_s), series, at_s)).max() < 1.0


@pytest.mark.parametrize("minutes", [10, 110, 14 * HOUR])
def test_after_an_outage_forecasts_start_from_demand_and_not_from_zeros(minutes: int) -> None:
    """Three minutes of demand are back; the windows that a level is read from still hold zeros."""
    end = 5 * MINUTES_PER_DAY + 15 * HOUR
    truth = diurnal(6)
    series = silent(truth, end - 3 - minutes, minutes)
    at_s = SUNDAY_S + 60.0 * end
    for fit_s in (SUNDAY_S + 60.0 * (end - HOUR), at_s):
        said, whole = (read(fitted(s, fit_s), s, at_s) for s in (series, truth))
        # Three minutes at 30 requests/s know the level to within 1.4 %, twenty to within 0.5 %.
        assert median(said) == pytest.approx(median(whole), rel=0.08)


def test_a_class_that_goes_to_rest_by_the_clock_is_believed_at_once() -> None:
    series = nightly_batch(5, day_rps=0.0)
    at_s = SUNDAY_S + 4 * DAY_S + 5 * 3600.0 + 120.0
    said = read(fitted(series, at_s - 7200.0), series, at_s)

    assert said.fallback is None
    assert median(said).max() < 15.0


def test_a_declared_silence_is_no_outage() -> None:
    """Minutes in which an event leaves nothing stay what was measured."""
    from models.calendar import Calendar, Event

    end_s = SUNDAY_S + 3 * DAY_S
    window = Event("maintenance", end_s - 1800.0, end_s + 600.0, 0.0)
    series = silent(flat(3, 10.0), 3 * MINUTES_PER_DAY - 30, 30)
    made = fit_signal(series, end_s, ForecastPolicy(calendar=Calendar(events=(window,))))
    assert not isinstance(made, NotYet)

    assert heard(made, series) == series
    said = read(made, series, end_s)
    assert "outage" not in (said.fallback or "")


def test_an_outage_does_not_take_the_recent_peak_away() -> None:
    """Half an hour of zeros is longer than the hold time, whose highest demand is what is held."""
    made = Forecasting(ForecastPolicy(), ["chat"], 600.0)
    made.seed(everywhere(flat(3, 10.0)))
    end_s = SUNDAY_S + 3 * DAY_S
    for i in range(30):
        made.absorb(seen(end_s + 60.0 * (i + 1), 0.0))
    said = made.forecast(end_s + 1800.0)

    assert not said.trusted
    for signal in said.signals["chat"].values():
        assert signal.recent_peak == pytest.approx(10.0)
        assert signal.paths[2] == pytest.approx([10.0] * 30, rel=0.01)
