"""Turn point forecasts into quantiles that cover what they say, learned from the model's own past errors.

Online conformal prediction, one-sided per level and per horizon. A score is (actual - forecast) / scale; the
band of a level is that quantile of the scores of a rolling window, asked at a level that moves with the
coverage reached so far (adaptive conformal inference, Gibbs & Candès 2021). A score enters only when its
target has been measured, a horizon after the forecast. All of it is recomputed from the history at each
fit: a restart with the same history issues the same bands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.forecast.backtest import Backtest
from models.forecast.base import steps_in
from models.forecast.moving import Steps
from models.series import Floats

# The asked level moves by this much per miss. 0.03 cost 10 % pinball loss at an hour: with feedback an hour
# late the level overshoots. 0.005 costs nothing and lifts coverage at 0.9 by one to two points.
ACI_STEP = 0.005
# The asked level stays within this share of the way to certainty, so that a bad day cannot wind it up.
ACI_REACH = 0.5
# Between two renewals of the bands in the backtest lie two hours, four times what a planner waits.
BLOCK_S = 7200.0
# Until this many scores are in, two hours of them, a prior takes part; from then on the bands are judged.
PRIOR_SCORES = 24
# Prior spread: relative standard deviation at one step, and the horizon at which the variance has doubled.
PRIOR_RATIO = 0.08
PRIOR_DOUBLES_S = 300.0
# Share of the mean demand below which errors stop shrinking with the forecast. A scale nearer to Poisson
# noise, sqrt(forecast * mean), saves 0-2 % of the pinball loss on real traffic; but half an hour after demand
# has doubled its 0.9 quantile covers 0.80, that of a ratio 0.89.
FLOOR_RATIO = 0.05
# No band ends above this many times the highest demand of the backtest or of the path. A class that jumps
# from 20 to 300 requests/s teaches the last value a ratio of 15; at 300 it would ask for a fleet for 4,500.
CEILING_RATIO = 2.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Hold the bands of one model: `scores[i][j]` is the `levels[i]` score quantile at `horizons_s[j]`.

    `issued` are the quantiles at the operating level as the backtest issued them, shape (origins, horizons),
    NaN where they still rested on a prior; `feedback` counts the scores behind the longest horizon. `mean` is
    the demand of the backtest, `None` before any of it was measured, `highest` its highest.
    """

    levels: tuple[float, ...]
    horizons_s: Floats
    scores: Floats
    mean: float | None
    highest: float
    issued: Floats
    feedback: int

    def paths(self, point: Floats, horizons_s: Floats) -> Floats:
        """Return quantiles around a point path of shape (n,), as (levels, n); rising in level, never below 0.

        Between judged horizons the scores are interpolated; past the last they grow with the square root.
        """
        beyond = np.sqrt(np.maximum(horizons_s / self.horizons_s[-1], 1.0))
        score = np.array([np.interp(horizons_s, self.horizons_s, row) for row in self.scores]) * beyond
        paths = point + score * _scale(point, self.mean)
        paths = np.minimum(paths, CEILING_RATIO * max(self.highest, float(point.max())))
        # Sorting across levels is the rearrangement that repairs crossings without losing accuracy
        # (Chernozhukov, Fernández-Val & Galichon 2010).
        return np.sort(np.maximum(paths, 0.0), axis=0)

    def lean(self) -> "Calibration":
        """Return the same bands without the past that they were learned from."""
        return replace(self, issued=self.issued[:0])


def calibrate(
    backtests: Sequence[Backtest], levels: tuple[float, ...], operating: float, window: int
) -> list[Calibration]:
    """Learn the bands of each model from its backtest of at least `window` origins.

    The last `window` scores make the bands. The operating level is issued again for the last `window`
    origins, each from what was known two hours earlier at most. All backtests share origins and horizons.
    """
    asked = np.array(sorted({*levels, operating}))
    horizons_s, models = backtests[0].horizons_s, len(backtests)
    # All models at once, side by side: column i * horizons + j is model i at horizon j.
    every = Backtest(
        backtests[0].origins_s,
        np.tile(horizons_s, models),
        np.hstack([test.forecast for test in backtests]),
        np.hstack([test.actual for test in backtests]),
    )
    known = backtests[0].actual[np.isfinite(backtests[0].actual)]
    mean = float(known.mean()) if known.size else None
    scores, issued, feedback = _learn(every, mean, asked, int(np.searchsorted(asked, operating)), window)
    scores = scores[[int(np.searchsorted(asked, level)) for level in levels]]
    return [
        Calibration(
            levels=levels,
            horizons_s=horizons_s,
            scores=scores[:, part],
            mean=mean,
            highest=float(known.max(initial=0.0)),
            issued=issued[:, part],
            feedback=int(feedback[part][-1]),
        )
        for part in (slice(i * len(horizons_s), (i + 1) * len(horizons_s)) for i in range(models))
    ]


def _learn(
    test: Backtest, mean: float | None, asked: Floats, operating: int, window: int
) -> tuple[Floats, Floats, Steps]:
    """Return score quantiles (levels, columns), quantiles issued (origins, columns) and scores per column."""
    scale = _scale(test.forecast, mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.where(scale > 0, (test.actual - test.forecast) / scale, 0.0)
    score[~np.isfinite(test.actual - test.forecast)] = np.nan
    sample = _Windows.of(score, test.horizons_s, window, test.every_s)
    level = np.broadcast_to(asked, (len(test.horizons_s), len(asked))).copy()
    issued = np.full(score.shape, np.nan)
    # Running sum over rows of (asked - hit), so that any stretch of feedback is one difference.
    owed = np.zeros((len(score) + 1, *level.shape))
    for block, (first, last) in enumerate(zip(sample.begins[:-1], sample.begins[1:], strict=True)):
        q = sample.quantile(block, level[:, operating : operating + 1])[:, 0]
        q[sample.count[block] < PRIOR_SCORES] = np.nan
        issued[first:last] = test.forecast[first:last] + q * scale[first:last]
        rank = sample.rank(block, score[first:last])[..., None]
        owed[first + 1 : last + 1] = np.where(np.isnan(rank), 0.0, asked - (rank <= level)).cumsum(axis=0)
        owed[first + 1 : last + 1] += owed[first]
        level = _adapted(level, asked, owed, first - sample.lag, last - sample.lag)
    scores = sample.quantile(len(sample.begins) - 1, level).T
    return scores, np.maximum(issued, 0.0), sample.count[-1]


def _adapted(level: Floats, asked: Floats, owed: Floats, first: Steps, last: Steps) -> Floats:
    """Move the asked levels by the feedback of rows first..last-1, which differ by horizon: it comes late."""
    horizon = np.arange(len(level))
    arrived = owed[np.maximum(last, 0), horizon] - owed[np.maximum(first, 0), horizon]
    reach = ACI_REACH * np.minimum(asked, 1.0 - asked)
    return np.clip(level + ACI_STEP * arrived, asked - reach, asked + reach)


@dataclass(frozen=True, slots=True)
class _Windows:
    """Hold, per block and horizon, the sorted scores that were known when the block began.

    `begins` are the first rows of the blocks, the last entry the row of the fit itself; `ranked` has the
    shape (blocks, horizons, window) with NaN at the end, `count` says how many are not NaN.
    """

    begins: list[int]
    lag: Steps
    ranked: Floats
    count: Steps
    prior: Floats

    @classmethod
    def of(cls, score: Floats, horizons_s: Floats, window: int, every_s: float) -> "_Windows":
        """Cut the windows out of scores of shape (origins, horizons), whose origins lie `every_s` apart."""
        rows = len(score)
        begins = [*range(max(rows - window, 0), rows - 1, steps_in(BLOCK_S, every_s)), rows - 1]
        lag = np.ceil(horizons_s / every_s - 1e-9).astype(np.intp)
        # Window i of the padded scores ends with row i - 1; the newest score known at row r is r - lag.
        padded = np.concatenate((np.full((window, score.shape[1]), np.nan), score))
        slid = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)
        newest = np.maximum(np.array(begins)[:, None] - lag + 1, 0)
        ranked = np.sort(slid[newest, np.arange(len(lag))], axis=-1)
        spread = PRIOR_RATIO * np.sqrt(1.0 + horizons_s / PRIOR_DOUBLES_S) * np.sqrt(3.0) / np.pi
        return cls(begins, lag, ranked, (~np.isnan(ranked)).sum(axis=-1), spread)

    def quantile(self, block: int, level: Floats) -> Floats:
        """Return the score quantiles at levels of shape (horizons, n): the a*(n + 1)-th of n scores."""
        count = self.count[block][:, None]
        position = np.clip(level * (count + 1) - 1, 0, np.maximum(count - 1, 0))
        low = np.floor(position).astype(np.intp)
        rows = np.arange(len(self.lag))[:, None]
        ranked = self.ranked[block]
        a, b = ranked[rows, low], ranked[rows, np.minimum(low + 1, np.maximum(count - 1, 0))]
        empirical = np.where(count > 0, a + (b - a) * (position - low), 0.0)
        share = self._prior_share(block)[:, None]
        return share * self.prior[:, None] * np.log(level / (1.0 - level)) + (1.0 - share) * empirical

    def rank(self, block: int, score: Floats) -> Floats:
        """Return for scores of shape (rows, horizons) the lowest level whose band covers them."""
        below = np.empty(score.shape)
        for j in range(score.shape[1]):
            below[:, j] = np.searchsorted(self.ranked[block, j, : self.count[block, j]], score[:, j])
        share = self._prior_share(block)
        empirical = (below + 0.5) / (self.count[block] + 1)
        prior = 1.0 / (1.0 + np.exp(-np.clip(score / self.prior, -500.0, 500.0)))
        return np.where(np.isnan(score), np.nan, share * prior + (1.0 - share) * empirical)

    def _prior_share(self, block: int) -> Floats:
        return np.asarray(np.maximum(1.0 - self.count[block] / PRIOR_SCORES, 0.0), dtype=np.float64)


def _scale(forecast: Floats, mean: float | None) -> Floats:
    """Return the unit of the scores: what an error of relative size one means at this level of demand.

    As long as no mean is known the forecast stands in for it.
    """
    level = np.maximum(forecast, 0.0)
    return np.asarray(level + FLOOR_RATIO * (level if mean is None else mean))
