"""Forecast that demand moves as it did at this time of earlier seasons, from where it is now.

For a season P the profile g(t) is the mean over past seasons k of y(t - kP) / m(t - kP), where y is demand
smoothed over ten minutes on either side and m its mean over the day around it (seasonal naive, Hyndman &
Athanasopoulos, Forecasting: Principles and Practice, 5.2). The forecast follows g from the level of now.
"""

from dataclasses import dataclass

import numpy as np

from models.calendar import DAY_S, PLAIN, Calendar
from models.forecast.base import Fitted, NotYet
from models.forecast.moving import Running, Steps, despiked, smoothed
from models.forecast.shape import Shape
from models.series import Flags, Floats, Series

SMOOTH_S = 600.0
# How long after a fit ticks may ask it.
AHEAD_S = DAY_S / 4
TRIM_FROM = 4
# A median of three takes out a wild minute. On longer steps it would take out the peak of the day.
DESPIKE_STEP_S = 120.0


@dataclass(frozen=True, slots=True)
class SeasonalNaive:
    """Follow the mean of up to `seasons` past seasons of `season_s`, scaled to the level of the last minutes.

    `level_window_s` bounds the window of the level; `backtest_s` is how far before its end a fit is asked.
    Seasons are cut in the local time of `calendar`; in a season of whole weeks a public holiday follows the
    Sundays before it and teaches no other day.
    """

    season_s: float = DAY_S
    level_window_s: float = 1200.0
    seasons: int = 14
    backtest_s: float = 5 * DAY_S
    calendar: Calendar = PLAIN

    @property
    def name(self) -> str:
        """The name that reports show."""
        return f"seasonal naive ({_season_name(self.season_s)})"

    def fit(self, series: Series) -> Fitted | NotYet:
        """Lay the past seasons over one another; refuse a history shorter than one of them."""
        season = round(self.season_s / series.step_s)
        where = np.flatnonzero(series.known)
        # Without one whole season, and what the level needs before it, no origin could have been judged.
        needed = season + round(self.level_window_s / series.step_s)
        seen = int(where[-1] - where[0]) + 1 if where.size else 0
        if seen < needed:
            return NotYet(
                f"a {_season_name(self.season_s)} season needs {needed * series.step_s / 3600:.1f} h "
                f"of history, there are {seen * series.step_s / 3600:.1f} h"
            )
        first = max(len(series) - round(self.backtest_s / series.step_s), 0)
        last = len(series) + round(min(AHEAD_S, self.season_s / 2) / series.step_s)
        past = self._past(series, season, np.arange(first, last))
        profile = _profile(series, season, past)
        if not np.isfinite(profile).any():
            return NotYet(
                f"no {_season_name(self.season_s)} season was measured at the times that matter now"
            )
        daily = Running.of(series.values, series.known).trailing(round(DAY_S / series.step_s))[first:]
        start_s = series.start_s + first * series.step_s
        return _Profile(Shape(start_s, series.step_s, profile, self.level_window_s), daily)

    def _past(self, series: Series, season: int, steps: Steps) -> Steps:
        """Return the steps that say what to expect of each step, -1 for none, shape (seasons, steps)."""
        times_s = _times(series, steps)
        count = min(self.seasons, max(int(steps[-1]) // season, 1))
        past = steps - season * np.arange(1, count + 1)[:, None]
        rest, weekly = self.calendar.holiday(times_s), self.season_s % (7 * DAY_S) == 0
        if weekly and rest.any():
            days = self.calendar.weekday(times_s) + 1
            sunday = steps - np.rint(days * DAY_S / series.step_s).astype(np.intp)
            past = np.where(rest, sunday - season * np.arange(count)[:, None], past)
        if self.calendar.timezone != "UTC":
            ahead = self.calendar.offset_s(times_s) - self.calendar.offset_s(_times(series, past))
            past = past + np.rint(ahead / series.step_s).astype(np.intp)
        past = np.where(past < len(series), past, -1)
        if weekly and self.calendar.holidays:
            other = self.calendar.holiday(_times(series, past))
            past = np.where(other & (~other & (past >= 0)).any(axis=0), -1, past)
        return past


@dataclass(frozen=True, slots=True)
class _Profile:
    """Hold g, and the trailing daily mean at the end of each step up to the fit."""

    shape: Shape
    daily: Floats

    def predict(self, recent: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
        """Return g(target) * daily mean * r + c, shape (origins, horizons)."""
        end = self.shape.index(origins_s)
        daily = self.daily.take(end - 1, mode="clip")
        return self.shape.follow(recent, origins_s, horizons_s, daily)


def _profile(series: Series, season: int, past: Steps) -> Floats:
    """Return g from the past steps of each, NaN where none is known; from four seasons on trimmed.

    Reads nothing later than half a day after (target - season), so that no origin sees its own future.
    """
    half_day = round(DAY_S / series.step_s / 2)
    values = despiked(series.values, series.known) if series.step_s <= DESPIKE_STEP_S else series.values
    calm, known = _filled(values, series.known, season)
    running = Running.of(calm, known)
    smooth = smoothed(calm, running, round(SMOOTH_S / series.step_s))
    # The first half day has no whole day around it, and takes the first that is whole.
    daily = running.centred(half_day)
    daily[:half_day] = daily[min(half_day, len(daily) - 1)]
    with np.errstate(invalid="ignore", divide="ignore"):
        shape = np.where(daily > 0, smooth / daily, np.nan)
    layers = np.where(past >= 0, shape[np.maximum(past, 0)], np.nan)
    count = np.isfinite(layers).sum(axis=0)
    total = np.nansum(layers, axis=0)
    low = np.where(np.isfinite(layers), layers, np.inf).min(axis=0)
    high = np.where(np.isfinite(layers), layers, -np.inf).max(axis=0)
    trim = count >= TRIM_FROM
    with np.errstate(invalid="ignore"):
        mean = np.where(trim, total - low - high, total) / np.maximum(np.where(trim, count - 2, count), 1)
    return np.where(count > 0, np.maximum(mean, 0.0), np.nan)


def _filled(values: Floats, known: Flags, season: int) -> tuple[Floats, Flags]:
    """Return the series with its gaps filled from the season before.

    A gap must not change which seasons the profile is made of from one minute to the next: the level would be
    read from some and the target from others.
    """
    values, known = values.copy(), known.copy()
    for begin in range(season, len(values), season):
        end = min(begin + season, len(values))
        before = slice(begin - season, end - season)
        gap = ~known[begin:end] & known[before]
        values[begin:end][gap] = values[before][gap]
        known[begin:end] |= gap
    return values, known


def _times(series: Series, steps: Steps) -> Floats:
    return np.asarray(series.start_s + series.step_s * steps, dtype=np.float64)


def _season_name(season_s: float) -> str:
    return {DAY_S: "day", 7 * DAY_S: "week"}.get(season_s, f"{season_s / 3600:g} h")
