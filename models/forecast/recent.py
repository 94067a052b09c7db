"""Read the level of the last few minutes so that neither a gap nor one wild minute moves it."""

import numpy as np
from numpy.typing import NDArray

from models.series import Flags, Floats, Series

# A minute counts for at most this many times the median of its window, and at least for one part in as many.
# A demand that really jumps further is believed as soon as half of the window shows it.
CLIP_RATIO = 3.0


def recent_level(recent: Series, origins_s: Floats, minutes: int) -> tuple[Floats, Flags]:
    """Return the mean of the known steps among the last `minutes` before each origin.

    Every step is first clipped to within CLIP_RATIO of the window's median. Returns the levels, shape
    (origins,), NaN where no step is known, and which steps were, shape (origins, minutes), latest first.
    """
    end = np.rint((origins_s - recent.start_s) / recent.step_s).astype(np.intp)
    steps = end[:, None] - np.arange(1, minutes + 1)
    inside = (steps >= 0) & (steps < len(recent))
    if len(recent) == 0:
        return np.full(len(origins_s), np.nan), inside
    steps = np.clip(steps, 0, len(recent) - 1)
    known = inside & recent.known[steps]
    values = recent.values[steps]
    count = known.sum(axis=1)
    middle = _median(values, known, count)[:, None]
    # A median of zero cannot tell a spike from a start: then every minute counts as it is.
    clipped = np.where(middle > 0, np.clip(values, middle / CLIP_RATIO, middle * CLIP_RATIO), values)
    total = np.where(known, clipped, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), known


def _median(values: Floats, known: Flags, count: NDArray[np.intp]) -> Floats:
    """Return the median of the known values of each row; 0 for a row without any."""
    ranked = np.sort(np.where(known, values, np.inf), axis=1)
    rows = np.arange(len(values))
    low, high = ranked[rows, np.maximum(count - 1, 0) // 2], ranked[rows, np.maximum(count, 1) // 2]
    return np.where(count > 0, (low + np.where(np.isfinite(high), high, low)) / 2, 0.0)
