"""Make surfaces that never fall: more work takes no less time."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def never_falling(values: Floats) -> Floats:
    """Return the surface nearest to `values`, shape (x, y), that falls along neither axis.

    Nearest in the largest relative deviation: the middle, in logarithms, of the running maximum from below
    and the running minimum from above (Ubhaya 1974). What does not fall already is returned as it is.
    """
    logs = np.log(values)
    above, below = highest_below(logs), lowest_above(logs)
    if np.array_equal(above, below):
        return values
    middle: Floats = np.exp((above + below) / 2)
    return middle


def highest_below(values: Floats) -> Floats:
    """Return at each point the highest value at or before it on both axes, shape (x, y)."""
    return np.maximum.accumulate(np.maximum.accumulate(values, axis=0), axis=1)


def lowest_above(values: Floats) -> Floats:
    """Return at each point the lowest value at or after it on both axes, shape (x, y)."""
    return np.minimum.accumulate(np.minimum.accumulate(values[::-1, ::-1], axis=0), axis=1)[::-1, ::-1]
