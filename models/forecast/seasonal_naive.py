"""Forecast that demand moves as it did at this time of earlier seasons, from where it is now.

For a season P the profile g(t) is the mean over past seasons k of y(t - kP) / m(t - kP), where y is demand
smoothed over ten minutes on either side and m its mean over the day around it. The forecast is
g(t) * m(now) * r + c: r is the recent level over what the profile says for the same minutes, c what is left
of the level where the profile is too near zero to be scaled (seasonal naive, Hyndman & Athanasopoulos,
Forecasting: Principles and Practice, 5.2, with a level).
"""

from dataclasses import dataclass

import numpy as np

from models.forecast.base import Fitted, NotYet
from models.forecast.moving import Running, Steps, despiked, smoothed
from models.forecast.recent import last_minutes, robust_mean
from models.series import Flags, Floats, Series

DAY_S = 86_400.0
SMOOTH_S = 600.0
# How long after a fit ticks may ask it.
AHEAD_S = DAY_S / 4
# Share of the daily mean around which r loses its meaning: what is far below it is noise over noise.
SLACK_RATIO = 0.02
RATIO_BOUNDS = (0.0, 10.0)
TRIM_FROM = 4
MIN_LEVEL_S = 300.0


@dataclass(frozen=True, slots=True)
class SeasonalNaive:
    """Follow the mean of up to `seasons` past seasons of `season_s`, scaled to the level of the last minutes.

    `level_window_s` bounds the window of the level; a short horizon uses a shorter one, because the latest
    minutes say most about the next ones. `backtest_s` is how far before its end a fit can be asked.
    """

    season_s: float = DAY_S
    level_window_s: float = 1200.0
    seasons: int = 14
    backtest_s: float = 5 * DAY_S

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
        profile = _profile(series, season, self.seasons, first, last)
        if not np.isfinite(profile).any():
            return NotYet(
                f"no {_season_name(self.season_s)} season was measured at the times that matter now"
            )
        daily = Running.of(series.values, series.known).trailing(round(DAY_S / series.step_s))[first:]
        return _Profile(
            series.start_s + first * series.step_s, series.step_s, profile, daily, self.level_window_s
        )


@dataclass(frozen=True, slots=True)
class _Profile:
    """Hold g from `start_s` on and the trailing daily mean at the end of each step up to the fit."""

    start_s: float
    step_s: float
    profile: Floats
    daily: Floats
    level_window_s: float

    def predict(self, recent: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
        """Return g(target) * daily mean * r + c, shape (origins, horizons)."""
        end = np.rint((origins_s - self.start_s) / self.step_s).astype(np.intp)
        daily = self.daily[np.clip(end - 1, 0, len(self.daily) - 1)]
        ahead = np.rint(horizons_s / self.step_s).astype(np.intp)
        out = np.empty((len(origins_s), len(horizons_s)))
        window = np.minimum(_level_window(horizons_s), self.level_window_s)
        for length_s in np.unique(window):
            minutes = max(round(length_s / self.step_s), 1)
            ratio, rest = self._level(recent, origins_s, end, daily, minutes)
            columns = np.flatnonzero(window == length_s)
            target = self._at(end[:, None] + ahead[columns] - 1)
            out[:, columns] = target * (daily * ratio)[:, None] + rest[:, None]
        return np.maximum(out, 0.0)

    def _level(
        self, recent: Series, origins_s: Floats, end: Steps, daily: Floats, minutes: int
    ) -> tuple[Floats, Floats]:
        """Return r and c of each origin, from the minutes that both the series and the profile know.

        r = 1 + (level - e) * e / (e + slack)^2 with e the profile's expectation: level / e where e counts, 1
        where it is nothing. c = level - e * r, so that now is met exactly.
        """
        values, known = last_minutes(recent, origins_s, minutes)
        shape = self._at(end[:, None] - np.arange(1, minutes + 1))
        known = known & np.isfinite(shape) & (daily > 0)[:, None]
        slack = np.where(daily > 0, SLACK_RATIO * daily, 1.0)
        usual = np.where(known, shape * daily[:, None], 0.0)
        level = robust_mean(values, known, usual + slack[:, None])
        expected = usual.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        ratio = 1.0 + (level - expected) * expected / (expected + slack) ** 2
        ratio = np.clip(ratio, *RATIO_BOUNDS)
        return ratio, level - expected * ratio

    def _at(self, steps: Steps) -> Floats:
        inside = (steps >= 0) & (steps < len(self.profile))
        return np.where(inside, self.profile[np.clip(steps, 0, len(self.profile) - 1)], np.nan)


def _profile(series: Series, season: int, seasons: int, first: int, last: int) -> Floats:
    """Return g for the steps first..last, NaN where no season is known; from four seasons on trimmed.

    Reads nothing later than half a day after (target - season), so that no origin sees its own future.
    """
    half_day = round(DAY_S / series.step_s / 2)
    calm, known = _filled(despiked(series.values, series.known), series.known, season)
    running = Running.of(calm, known)
    smooth = smoothed(calm, running, round(SMOOTH_S / series.step_s))
    # The first half day has no whole day around it, and takes the first that is whole.
    daily = running.centred(half_day)
    daily[:half_day] = daily[min(half_day, len(daily) - 1)]
    with np.errstate(invalid="ignore", divide="ignore"):
        shape = np.where(daily > 0, smooth / daily, np.nan)
    steps = np.arange(first, last)
    past = steps - season * np.arange(1, min(seasons, last // season) + 1)[:, None]
    inside = (past >= 0) & (past < len(series))
    layers = np.where(inside, shape[np.clip(past, 0, len(series) - 1)], np.nan)
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


def _level_window(horizons_s: Floats) -> Floats:
    """Return how much of the past says most about a horizon: 5, 10, 20 minutes and so on, doubling."""
    return np.asarray(MIN_LEVEL_S * 2 ** np.floor(np.log2(np.maximum(horizons_s / MIN_LEVEL_S, 1.0))))


def _season_name(season_s: float) -> str:
    return {DAY_S: "day", 7 * DAY_S: "week"}.get(season_s, f"{season_s / 3600:g} h")
