"""Forecast by exponential smoothing with a daily season: alone in importing statsmodels.

ETS(A, Ad, A) on the logarithm, level and damped trend and season weighted by how recent they are (Hyndman,
Koehler, Ord & Snyder, Forecasting with Exponential Smoothing, 2008); the damped trend is Holt-Winters'.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from models.calendar import DAY_S
from models.forecast.base import Fitted, NotYet
from models.forecast.logratio import AHEAD_S, BEFORE_S, Sample, expected, sample
from models.series import Floats, Series

# The season has a state per step: 96 on quarters of an hour, and a fit to three weeks takes 30 ms.
BIN_S = 900.0
LEAST_DAYS = 2.0
# Four weights settle within this many steps of the search; more change the third digit.
SEARCH = 50


@dataclass(frozen=True, slots=True)
class Smoothing:
    """Smooth level, trend and daily season, and follow what they expect from the level of now."""

    level_window_s: float = 1200.0

    @property
    def name(self) -> str:
        """The name that reports show."""
        return "ETS (day)"

    def fit(self, series: Series) -> Fitted | NotYet:
        """Smooth the history; refuse less than two days, or nothing but zeros."""
        bin_s = max(BIN_S, series.step_s)
        learned = sample(series, bin_s)
        if learned.days < LEAST_DAYS:
            return NotYet(
                f"ETS needs {24 * LEAST_DAYS:.0f} h of history, there are {24 * learned.days:.1f} h"
            )
        if learned.unit <= 0:
            return NotYet("ETS needs demand above zero")
        z = _filled(learned)
        steps = int(np.ceil((series.end_s + AHEAD_S - learned.series.end_s) / bin_s))
        back = int(np.ceil(BEFORE_S / bin_s))
        path = _smoothed(z, round(DAY_S / bin_s), steps, back)
        first_s = learned.series.end_s - back * bin_s
        middle_s = np.asarray(first_s + bin_s * (np.arange(len(path)) + 0.5), dtype=np.float64)
        return expected(series, middle_s, path, learned.unit, self.level_window_s)


def _smoothed(z: Floats, season: int, steps: int, back: int) -> Floats:
    """Return what is expected of the next `steps`, and before them of the last `back`, a day ahead of time.

    What was said of the last steps before they were seen would not do: a shift of the level that the model
    has taken in by now would count a second time when the recent level is set against it.
    """
    if np.ptp(z) < 1e-9:
        return np.full(back + steps, z[-1])
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel  # type: ignore[import-untyped, unused-ignore]

    with warnings.catch_warnings():
        # A search that stops early has found weights that are good enough; which is judged by the backtest.
        warnings.simplefilter("ignore")
        model = ETSModel(
            z,
            error="add",
            trend="add",
            damped_trend=True,
            seasonal="add",
            seasonal_periods=season,
            initialization_method="heuristic",
        )
        fit = model.fit(disp=False, maxiter=SEARCH)
        path = np.asarray(fit.forecast(max(steps, season)), dtype=np.float64)
    path = np.concatenate([path[season - back : season], path[:steps]])
    return np.asarray(np.clip(path, z.min() - 1.0, z.max() + 1.0))


def _filled(learned: Sample) -> Floats:
    """Return z with its gaps filled from the day before, or after, or else from what lies around them."""
    z = learned.z.copy()
    season = round(DAY_S / learned.series.step_s)
    for i in range(season, len(z)):
        if np.isnan(z[i]):
            z[i] = z[i - season]
    for i in range(len(z) - season - 1, -1, -1):
        if np.isnan(z[i]):
            z[i] = z[i + season]
    at, known = np.arange(len(z)), np.isfinite(z)
    return np.asarray(np.interp(at, at[known], z[known]))
