"""Lay a path over needs that are all known, as an oracle orders them: in time, and no stop for nothing."""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.intp]


def filled(need: Counts, steps: int) -> Counts:
    """Return a need with valleys of fewer than `steps` filled: a morphological closing (Serra 1982)."""
    padded = np.concatenate((np.repeat(need[:1], steps - 1), need, np.repeat(need[-1:], steps - 1)))
    above = np.lib.stride_tricks.sliding_window_view(padded, steps).max(axis=1)
    closed: Counts = np.lib.stride_tricks.sliding_window_view(above, steps).min(axis=1)
    return closed


def ahead(need: Counts, steps: int) -> Counts:
    """Return the highest need of this and the next `steps - 1` intervals."""
    padded = np.concatenate((need, np.repeat(need[-1:], steps - 1)))
    highest: Counts = np.lib.stride_tricks.sliding_window_view(padded, steps).max(axis=1)
    return highest
