"""Read the level of the last few minutes so that neither a gap nor one wild minute moves it."""

import numpy as np
from numpy.typing import NDArray

from models.forecast.moving import Steps
from models.series import Flags, Floats, Series

# A single minute counts for at most this many times what the others suggest, and at least for one part in as
# many. A second one beside it confirms it: a demand that really jumps is believed after two minutes.
CLIP_RATIO = 3.0


def last_steps(recent: Series, origins_s: Floats, count: int) -> tuple[Floats, Flags]:
    """Return values and known flags of the last `count` steps before each origin, latest first.

    Both have the shape (origins, count); what lies outside the series is unknown.
    """
    end = np.rint((origins_s - recent.start_s) / recent.step_s).astype(np.intp)
    steps = end[:, None] - np.arange(1, count + 1)
    inside = (steps >= 0) & (steps < len(recent))
    if len(recent) == 0:
        return np.zeros(steps.shape), inside
    return recent.values.take(steps, mode="clip"), inside & recent.known.take(steps, mode="clip")


def robust_mean(values: Floats, known: Flags, usual: Floats | None = None) -> Floats:
    """Return the mean of the known values of each row, single wild ones clipped; NaN for a row without any.

    `usual` says what each would be on an ordinary day (above 0; by default all the same): a value is wild
    when it stands further from it than CLIP_RATIO times the median of the row does.
    """
    count = known.sum(axis=1)
    expected = np.ones_like(values) if usual is None else usual
    middle = _median(values / expected, known, count)[:, None] * expected
    # A median of zero cannot tell a spike from a start: then every minute counts as it is.
    low, high = middle / CLIP_RATIO, middle * CLIP_RATIO
    lonely = (middle > 0) & (_lonely(known & (values > high)) | _lonely(known & (values < low)))
    clipped = np.where(lonely, np.minimum(np.maximum(values, low), high), values)
    total = np.where(known, clipped, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def window_means(values: Floats, known: Flags, counts: Steps, usual: Floats | None = None) -> Floats:
    """Return the robust mean of the first `counts` columns of each row, shape (rows, windows).

    Rows are read latest first, as `last_steps` gives them. All windows at once cost little more than one.
    """
    rows = (len(values), len(counts), values.shape[1])
    inside = known[:, None] & (np.arange(rows[2]) < counts[:, None])

    def laid_out(each: Floats) -> Floats:
        return np.broadcast_to(each[:, None], rows).reshape(-1, rows[2])

    means = robust_mean(
        laid_out(values), inside.reshape(-1, rows[2]), None if usual is None else laid_out(usual)
    )
    return means.reshape(rows[:2])


def _lonely(wild: Flags) -> Flags:
    """Return which of the wild steps have no wild neighbour."""
    beside = np.zeros_like(wild)
    beside[:, 1:] |= wild[:, :-1]
    beside[:, :-1] |= wild[:, 1:]
    return wild & ~beside


def _median(values: Floats, known: Flags, count: NDArray[np.intp]) -> Floats:
    """Return the median of the known values of each row; 0 for a row without any."""
    ranked = np.sort(np.where(known, values, np.inf), axis=1)
    rows = np.arange(len(values))
    low, high = ranked[rows, np.maximum(count - 1, 0) // 2], ranked[rows, np.maximum(count, 1) // 2]
    return np.where(count > 0, (low + np.where(np.isfinite(high), high, low)) / 2, 0.0)
