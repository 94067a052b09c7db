"""Bring demand to a scale on which models learn: logarithms of ratios, on steps of some minutes.

z = log(y / m + SLACK) with m the mean of what was measured: a day of twice the demand lies as far above as
one of half lies below, a spike of ten times weighs as four of 1.8, and zeros stay finite.
"""

from dataclasses import dataclass

import numpy as np

from models.forecast.moving import despiked
from models.forecast.seasonal_naive import DESPIKE_STEP_S
from models.forecast.shape import Shape
from models.series import Flags, Floats, Series

SLACK = 0.05
# How long after a fit it can be asked: a day until the next in a backtest, six hours of ticks, and as much
# ahead of these; before it, what the level of the last steps needs.
BEFORE_S = 4 * 3600.0
AHEAD_S = 48 * 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Hold z on even steps, shape (n,), NaN in gaps; `unit` is m, `series` the same as demand."""

    series: Series
    z: Floats
    unit: float

    @property
    def known(self) -> Flags:
        """Which steps were measured."""
        return self.series.known

    @property
    def days(self) -> float:
        """Days from the first to the last known step."""
        where = np.flatnonzero(self.known)
        return float(where[-1] - where[0] + 1) * self.series.step_s / 86_400.0 if where.size else 0.0

    @property
    def middle_s(self) -> Floats:
        """The middle of each step."""
        return self.series.times_s + self.series.step_s / 2


def sample(series: Series, bin_s: float) -> Sample:
    """Return a series as z, averaged over `bin_s` where its steps are shorter, wild minutes left out."""
    calm = series
    if series.step_s <= DESPIKE_STEP_S:
        calm = Series(series.start_s, series.step_s, despiked(series.values, series.known), series.known)
    if series.step_s < bin_s:
        calm = calm.resample(bin_s)
    unit = float(calm.known_values.mean()) if calm.known.any() else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(calm.known & (unit > 0), np.log(calm.values / unit + SLACK), np.nan)
    return Sample(calm, z, unit)


def ahead(series: Series, bin_s: float) -> Floats:
    """Return the middles of the steps for which a fit to `series` says what it expects."""
    first, last = np.floor((series.end_s - BEFORE_S) / bin_s), np.ceil((series.end_s + AHEAD_S) / bin_s)
    return np.asarray(bin_s * (np.arange(first, last) + 0.5), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Expected:
    """Follow an expected path from the level of now; `unit` is what its ratios are of."""

    shape: Shape
    unit: float

    def predict(self, recent: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
        """Return the path scaled to the recent level, shape (origins, horizons)."""
        return self.shape.follow(recent, origins_s, horizons_s, np.full(len(origins_s), self.unit))


def expected(series: Series, middle_s: Floats, z: Floats, unit: float, level_window_s: float) -> Expected:
    """Turn a path of z at some moments into expected demand on the steps of the series."""
    first = np.ceil((middle_s[0] - series.end_s) / series.step_s)
    last = np.floor((middle_s[-1] - series.end_s) / series.step_s)
    start_s = series.end_s + series.step_s * float(first)
    times_s = start_s + series.step_s * (np.arange(int(last - first)) + 0.5)
    ratio = np.maximum(np.exp(np.interp(times_s, middle_s, z)) - SLACK, 0.0)
    return Expected(Shape(start_s, series.step_s, ratio, level_window_s), unit)
