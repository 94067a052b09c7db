"""Forecast by regression on the calendar with autoregressive errors.

z(t) = Fourier terms of the local day, of the local week, a holiday + u(t), fitted with Huber's weights so
that an outage does not bend the day (harmonic regression, Hyndman & Athanasopoulos, Forecasting:
Principles and Practice, 10.5). u is the part that demand has of its own: u(t + h) is regressed on the mean
of u over the last minutes, directly for each horizon (Marcellino, Stock & Watson 2006), which needs no filter
over the gaps.
"""

from dataclasses import dataclass

import numpy as np

from models.calendar import DAY_S, PLAIN, Calendar
from models.forecast.base import Fitted, NotYet, steps_in
from models.forecast.logratio import SLACK, Expected, Sample, ahead, expected, sample
from models.forecast.moving import Running, Steps
from models.forecast.recent import last_steps, window_means
from models.forecast.shape import level_window
from models.series import Floats, Series

BIN_S = 300.0
LEAST_DAYS = 2.0
WEEKLY_DAYS = 9.0
DAILY_TERMS, WEEKLY_TERMS = 8, 6
# Means of u over these windows are what is known of it at an origin.
WINDOWS_S = (300.0, 1200.0, 3600.0)
HORIZONS_S = (300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0)
# Huber's bound in standard deviations, and rounds of reweighting.
HUBER, ROUNDS = 1.5, 8
# Deviations up to one standard deviation are expected to fade as they always have, those beyond two are
# carried whole: demand may have changed for good (a redescending weight, Hampel 1974). Half an hour after the
# conversation week doubled, the 0.9 quantile of all models together covers 0.87; with deviations clipped at
# 0.25, which carries nearly all of them, 0.83, and on ordinary days the blend loses 1-2 % more.
FADES, CARRIED = 1.0, 2.0
# Where a step is as long as the longest window, one noisy step is all there is to go by: on hourly BurstGPT
# clipping at 2 misses by 11-20 % less.
USUAL_OF_ONE = 2.0


@dataclass(frozen=True, slots=True)
class FourierRegression:
    """Learn day, week and holidays as waves, and how long a deviation from them lasts."""

    calendar: Calendar = PLAIN
    level_window_s: float = 1200.0

    @property
    def name(self) -> str:
        """The name that reports show."""
        return "AR + Fourier"

    def fit(self, series: Series) -> Fitted | NotYet:
        """Fit waves and persistence; refuse less than two days, or nothing but zeros."""
        learned = sample(series, max(BIN_S, series.step_s))
        if learned.days < LEAST_DAYS:
            return NotYet(
                f"AR + Fourier needs {24 * LEAST_DAYS:.0f} h of history, there are {24 * learned.days:.1f} h"
            )
        if learned.unit <= 0:
            return NotYet("AR + Fourier needs demand above zero")
        weekly = learned.days >= WEEKLY_DAYS
        x = _terms(self.calendar, learned.middle_s, weekly)
        weights, fitted = _robust(x[learned.known], learned.z[learned.known], x)
        middle_s = ahead(series, learned.series.step_s)
        z = np.clip(_terms(self.calendar, middle_s, weekly) @ weights, fitted.min(), fitted.max())
        path = expected(series, middle_s, z, learned.unit, self.level_window_s)
        kept, spread = _persistence(learned, fitted)
        return _Persistent(path, kept, spread)


@dataclass(frozen=True, slots=True)
class _Persistent:
    """Hold the path, the weight of each window's deviation per horizon, and the spread of deviations."""

    path: Expected
    kept: Floats
    spread: Floats

    def predict(self, recent: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
        """Return path times exp(u), shape (origins, horizons)."""
        shape, unit = self.path.shape, self.path.unit
        end = shape.index(origins_s)
        deviation = self._deviations(recent, origins_s)
        # A window without a known step says what the next longer one does.
        for i in range(len(WINDOWS_S) - 2, -1, -1):
            deviation[i] = np.where(np.isnan(deviation[i]), deviation[i + 1], deviation[i])
        usual = self._usual(deviation)
        logs = np.log(np.maximum(horizons_s, HORIZONS_S[0]))
        kept = np.stack([np.interp(logs, np.log(HORIZONS_S), row) for row in self.kept.T])
        u = np.einsum("wo,wh->oh", usual, kept) + (deviation - usual)[nearest(horizons_s)].T
        ahead_steps = np.rint(horizons_s / shape.step_s).astype(np.intp)
        e = shape.at(end[:, None] + ahead_steps - 1)
        return np.asarray(np.maximum((e + SLACK) * np.exp(u) - SLACK, 0.0) * unit)

    def _usual(self, deviation: Floats) -> Floats:
        """Return the part of deviations, shape (windows, origins), that is expected to fade."""
        spread = self.spread[:, None]
        if self.path.shape.step_s >= WINDOWS_S[-1]:
            return np.clip(deviation, -USUAL_OF_ONE * spread, USUAL_OF_ONE * spread)
        far = np.abs(deviation) / np.maximum(spread, 1e-12)
        return np.asarray(deviation * np.clip((CARRIED - far) / (CARRIED - FADES), 0.0, 1.0))

    def _deviations(self, recent: Series, origins_s: Floats) -> Floats:
        """Return the log of demand over the path in each of WINDOWS_S, shape (windows, origins)."""
        shape, unit = self.path.shape, self.path.unit
        counts = np.array([steps_in(seconds, recent.step_s) for seconds in WINDOWS_S])
        longest = int(counts[-1])
        values, known = last_steps(recent, origins_s, longest)
        e = shape.at(shape.index(origins_s)[:, None] - np.arange(1, longest + 1))
        known = known & np.isfinite(e)
        usual = np.where(known, e, 0.0) + SLACK
        level = window_means(values / unit + SLACK, known, counts, usual)
        seen = known.cumsum(axis=1)[:, counts - 1]
        mean = np.where(known, usual, 0.0).cumsum(axis=1)[:, counts - 1] / np.maximum(seen, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(seen > 0, np.log(level / mean), np.nan).T)


def nearest(horizons_s: Floats) -> Steps:
    """Return which of WINDOWS_S holds the level that says most about each horizon."""
    return np.where(level_window(horizons_s) < WINDOWS_S[1], 0, 1)


def _terms(calendar: Calendar, times_s: Floats, weekly: bool) -> Floats:
    """Return the regressors, shape (times, terms): a constant, waves of day and week, holidays."""
    local_s = calendar.local_s(times_s)
    day = 2 * np.pi * local_s / DAY_S
    daily = [wave(k * day) for k in range(1, DAILY_TERMS + 1) for wave in (np.sin, np.cos)]
    columns = [np.ones(len(times_s)), *daily]
    if weekly:
        # Days of the week differ in shape as well as in height: weekends have daily waves of their own.
        free = (calendar.weekday(times_s) >= 5).astype(np.float64)
        columns += [wave(k * day / 7) for k in range(1, WEEKLY_TERMS + 1) for wave in (np.sin, np.cos)]
        columns += [free * wave(k * day) for k in range(1, 5) for wave in (np.sin, np.cos)]
        if calendar.holidays:
            rest = calendar.holiday(times_s).astype(np.float64)
            columns += [rest, rest * np.sin(day), rest * np.cos(day)]
    return np.stack(columns, axis=1)


def _robust(x: Floats, z: Floats, everywhere: Floats) -> tuple[Floats, Floats]:
    """Return Huber's weights of the regressors and the fitted z at every step (Huber 1964, reweighted)."""
    weight = np.ones(len(z))
    # A ridge of a thousandth keeps what was never seen, such as a holiday, at no effect.
    ridge = 1e-3 * len(z) * np.eye(x.shape[1])
    ridge[0, 0] = 0.0
    beta: Floats = np.zeros(x.shape[1])
    for _ in range(ROUNDS):
        weighted = x * weight[:, None]
        beta = np.asarray(np.linalg.solve(weighted.T @ x + ridge, weighted.T @ z))
        miss = np.abs(z - x @ beta)
        scale = max(HUBER * 1.4826 * float(np.median(miss)), 1e-9)
        weight = scale / np.maximum(miss, scale)
    return beta, everywhere @ beta


def _persistence(learned: Sample, fitted: Floats) -> tuple[Floats, Floats]:
    """Return how much of each window's deviation is left at each horizon, and the windows' spread."""
    step_s, known = learned.series.step_s, learned.known
    u = np.where(known, learned.z - fitted, 0.0)
    running = Running.of(np.zeros(len(u)), known)
    total = np.concatenate(([0.0], np.cumsum(u)))
    past = []
    for seconds in WINDOWS_S:
        count = steps_in(seconds, step_s)
        high = np.arange(1, len(u) + 1)
        low = np.maximum(high - count, 0)
        seen = running.seen[high] - running.seen[low]
        past.append(np.where(seen > 0, (total[high] - total[low]) / np.maximum(seen, 1), np.nan))
    windows = np.stack(past, axis=1)
    kept = np.zeros((len(HORIZONS_S), len(WINDOWS_S)))
    for j, horizon_s in enumerate(HORIZONS_S):
        lead = steps_in(horizon_s, step_s)
        x, target = windows[:-lead], u[lead:]
        both = np.isfinite(x).all(axis=1) & known[lead:]
        kept[j] = _ridge(x[both], target[both])
    usable = windows[np.isfinite(windows).all(axis=1)]
    middle = np.median(np.abs(usable), axis=0) if len(usable) else np.zeros(len(WINDOWS_S))
    return kept, 1.4826 * middle


def _ridge(x: Floats, target: Floats) -> Floats:
    if len(x) < 10:
        return np.zeros(x.shape[1])
    clip = 3 * 1.4826 * np.median(np.abs(target))
    target = np.clip(target, -clip, clip)
    gram = x.T @ x
    return np.linalg.solve(gram + (1e-3 * np.trace(gram) + 1e-9) * np.eye(x.shape[1]), x.T @ target)
