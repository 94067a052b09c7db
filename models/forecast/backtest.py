"""Issue a model's forecasts again from origins in the past, and lay what then happened beside them."""

from dataclasses import dataclass

import numpy as np

from models.forecast.base import Fitted, steps_in
from models.series import Floats, Series

# Origins lie five minutes apart, or a step where that is longer: closer ones repeat the same evidence, and a
# fit takes five times as long.
ORIGIN_STEP_S = 300.0
# Origins looked back on where they lie further apart: with fewer, a handful of errors makes the 0.9 quantile.
LEAST_WINDOW = 288
GRID_S = (60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Backtest:
    """Hold point forecasts and actuals, shape (origins, horizons); NaN where unknown or still to come."""

    origins_s: Floats
    horizons_s: Floats
    forecast: Floats
    actual: Floats

    @property
    def every_s(self) -> float:
        """Seconds from one origin to the next."""
        return spacing(self.origins_s)


def origin_step(step_s: float) -> float:
    """Return how far apart origins lie on a series of this step: a whole number of steps."""
    return steps_in(ORIGIN_STEP_S, step_s) * step_s


def look_back(calibration_s: float, every_s: float) -> int:
    """Return how many origins the bands and the choice look back on: those of `calibration_s`.

    On coarse steps as many as there would be at ORIGIN_STEP_S, up to LEAST_WINDOW, and so a longer time.
    """
    return max(round(calibration_s / every_s), min(round(calibration_s / ORIGIN_STEP_S), LEAST_WINDOW))


def spacing(origins_s: Floats) -> float:
    """Return the seconds between evenly spaced origins; of a single one the usual distance."""
    return float(origins_s[1] - origins_s[0]) if len(origins_s) > 1 else ORIGIN_STEP_S


def horizons(reach_s: float, step_s: float) -> Floats:
    """Return the horizons that are judged: a coarse grid up to the reach, doubling past an hour.

    Each is a whole number of steps, rounded up: on ten-minute steps a quarter of an hour becomes twenty.
    """
    last = max(np.ceil(reach_s / step_s - 1e-9), 1.0) * step_s
    grid = sorted({np.ceil(h / step_s - 1e-9) * step_s for h in GRID_S if step_s <= h < reach_s})
    while grid and grid[-1] >= GRID_S[-1] and 2 * grid[-1] < reach_s:
        grid.append(2 * grid[-1])
    return np.array([*(h for h in grid if h < last), last])


def origins(until_s: float, count: int, every_s: float = ORIGIN_STEP_S, phase_s: float = 0.0) -> Floats:
    """Return `count` origins up to `until_s`, at multiples of `every_s` since the epoch, shifted by a phase.

    The phase is that of a series whose steps do not begin at multiples of their length.
    """
    last = float(np.floor((until_s - phase_s) / every_s + 1e-9))
    return phase_s + every_s * (last - np.arange(count - 1, -1, -1, dtype=np.float64))


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
