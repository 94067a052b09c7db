"""Issue a model's forecasts again from origins in the past, and lay what then happened beside them."""

from dataclasses import dataclass

import numpy as np

from models.forecast.base import Fitted
from models.series import Floats, Series

# Origins lie five minutes apart: closer ones repeat the same evidence, and a fit takes five times as long.
ORIGIN_STEP_S = 300.0
GRID_S = (60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Backtest:
    """Hold point forecasts and actuals, shape (origins, horizons); NaN where unknown or still to come."""

    origins_s: Floats
    horizons_s: Floats
    forecast: Floats
    actual: Floats


def horizons(reach_s: float, step_s: float) -> Floats:
    """Return the horizons that are judged: a coarse grid up to the reach, doubling past an hour."""
    grid = [h for h in GRID_S if step_s <= h < reach_s]
    while grid and grid[-1] >= GRID_S[-1] and 2 * grid[-1] < reach_s:
        grid.append(2 * grid[-1])
    return np.array([*grid, max(np.ceil(reach_s / step_s), 1.0) * step_s])


def origins(until_s: float, count: int) -> Floats:
    """Return `count` origins up to `until_s`, at multiples of ORIGIN_STEP_S since the epoch."""
    last = float(np.floor(until_s / ORIGIN_STEP_S + 1e-9))
    return ORIGIN_STEP_S * (last - np.arange(count - 1, -1, -1, dtype=np.float64))


def roll(model: Fitted, series: Series, origins_s: Floats, horizons_s: Floats) -> Backtest:
    """Predict from each origin and pair it with what was measured in the step that ends at the horizon."""
    end = np.rint((origins_s[:, None] + horizons_s - series.start_s) / series.step_s).astype(np.intp) - 1
    inside = (end >= 0) & (end < len(series))
    slot = np.clip(end, 0, max(len(series) - 1, 0))
    known = inside & series.known[slot]
    actual = np.where(known, series.values[slot], np.nan)
    # Where every horizon is unknown nothing is learned: not asking saves the first days of a short history.
    asked = (origins_s > series.start_s) & known.any(axis=1)
    forecast = np.full(actual.shape, np.nan)
    if asked.any():
        forecast[asked] = model.predict(series, origins_s[asked], horizons_s)
    return Backtest(origins_s, horizons_s, forecast, actual)


def pinball(actual: Floats, quantile: Floats, level: float) -> Floats:
    """Return the pinball loss of a quantile (Gneiting & Raftery 2007); NaN where either is unknown."""
    miss = actual - quantile
    return np.maximum(level * miss, (level - 1.0) * miss)
