"""Move along an expected shape of demand, from where demand is now.

The forecast is g(t) * m * r + c: g the shape, m its unit (such as the mean of a day), r the recent level over
what the shape says for the same steps, c what is left of the level where the shape is too near zero to be
scaled. All models that learn a shape share this, so that a fit of hours ago follows demand as it is now.
"""

from dataclasses import dataclass

import numpy as np

from models.forecast.base import steps_in
from models.forecast.moving import Steps
from models.forecast.recent import last_steps, window_means
from models.series import Floats, Series

# Share of the unit around which r loses its meaning: what is far below it is noise over noise.
SLACK_RATIO = 0.02
RATIO_BOUNDS = (0.0, 10.0)
MIN_LEVEL_S = 300.0


@dataclass(frozen=True, slots=True)
class Shape:
    """Hold g for each step from `start_s` on, NaN where nothing is expected.

    `level_window_s` bounds the window of the level; a short horizon uses a shorter one, because the latest
    steps say most about the next ones.
    """

    start_s: float
    step_s: float
    values: Floats
    level_window_s: float

    def follow(self, recent: Series, origins_s: Floats, horizons_s: Floats, unit: Floats) -> Floats:
        """Return g(target) * m * r + c, shape (origins, horizons); `unit` is m at each origin."""
        end = self.index(origins_s)
        ahead = np.rint(horizons_s / self.step_s).astype(np.intp)
        lengths_s, window = np.unique(
            np.minimum(level_window(horizons_s), self.level_window_s), return_inverse=True
        )
        counts = np.array([steps_in(length_s, self.step_s) for length_s in lengths_s])
        ratio, rest = self._level(recent, origins_s, end, unit, counts)
        target = self.at(end[:, None] + ahead - 1)
        return np.maximum(target * (unit[:, None] * ratio[:, window]) + rest[:, window], 0.0)

    def index(self, times_s: Floats) -> Steps:
        """Return the steps that begin at these times."""
        return np.rint((times_s - self.start_s) / self.step_s).astype(np.intp)

    def at(self, steps: Steps) -> Floats:
        """Return g of these steps, NaN outside."""
        inside = (steps >= 0) & (steps < len(self.values))
        return np.where(inside, self.values.take(steps, mode="clip"), np.nan)

    def _level(
        self, recent: Series, origins_s: Floats, end: Steps, unit: Floats, counts: Steps
    ) -> tuple[Floats, Floats]:
        """Return r and c, shape (origins, windows), from the steps that both the series and the shape know.

        r = 1 + (level - e) * e / (e + slack)^2 with e what the shape expects: level / e where e counts, 1
        where it is nothing. c = level - e * r, so that now is met exactly. A window has `counts` steps.
        """
        longest = int(counts.max())
        values, known = last_steps(recent, origins_s, longest)
        shape = self.at(end[:, None] - np.arange(1, longest + 1))
        known = known & np.isfinite(shape) & (unit > 0)[:, None]
        usual = np.where(known, shape * unit[:, None], 0.0)
        slack = np.where(unit > 0, SLACK_RATIO * unit, 1.0)[:, None]
        level = window_means(values, known, counts, usual + slack)
        # Latest first, so that a running sum up to a window's length is the sum over the window.
        seen = np.maximum(known.cumsum(axis=1), 1)[:, counts - 1]
        expected = usual.cumsum(axis=1)[:, counts - 1] / seen
        ratio = 1.0 + (level - expected) * expected / (expected + slack) ** 2
        ratio = np.minimum(np.maximum(ratio, RATIO_BOUNDS[0]), RATIO_BOUNDS[1])
        return ratio, level - expected * ratio


def level_window(horizons_s: Floats) -> Floats:
    """Return how much of the past says most about a horizon: 5, 10, 20 minutes and so on, doubling."""
    return np.asarray(MIN_LEVEL_S * 2 ** np.floor(np.log2(np.maximum(horizons_s / MIN_LEVEL_S, 1.0))))
