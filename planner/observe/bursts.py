"""Measure how bursty arrivals are: the index of dispersion of counts, from windows that are kept."""

from collections import deque

import numpy as np

from models.series import Floats

# Windows that are kept: four hours of half minutes.
KEPT = 480
# As many pairs of windows weigh as much as the assumption that arrivals are Poisson.
PRIOR_PAIRS = 30
# Ca^2 is told in these steps, so that what is only noise of its estimate changes no fleet.
STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
# A pair of windows counts for at most this much: an outage, or a wave of retries after it, is no habit.
_WILD = 40.0


class Bursts:
    """Keep a class's arrivals per window, and tell Ca^2 of them.

    Windows have one length each time they follow each other; one that does not begin where the last ended
    begins a new row. The load's own slow changes are left to the forecast: neighbours are compared, not all
    with the mean.
    """

    def __init__(self) -> None:
        """Start with no window seen."""
        self._counts: deque[float] = deque(maxlen=KEPT)
        # Whether each window follows the one before it.
        self._joined: deque[bool] = deque(maxlen=KEPT)
        self._ended_s: float | None = None
        self._span_s = 0.0

    def add(self, begin_s: float, end_s: float, count: float) -> None:
        """Take in one window; one that began before the last ended is known already."""
        span_s = end_s - begin_s
        if self._ended_s is not None and begin_s < self._ended_s - 0.01 * span_s:
            return
        alike = abs(span_s - self._span_s) <= 0.1 * span_s
        joined = self._ended_s is not None and abs(begin_s - self._ended_s) <= 0.05 * span_s and alike
        self._counts.append(count)
        self._joined.append(joined)
        self._ended_s, self._span_s = end_s, span_s

    @property
    def ended_s(self) -> float | None:
        """The end of the last window that is known."""
        return self._ended_s

    def cv2(self) -> float | None:
        """Return Ca^2 as one of STEPS; `None` before any two windows with arrivals follow each other."""
        counts, joined = np.array(self._counts), np.array(self._joined, dtype=bool)
        measured = dispersion(counts, joined)
        if measured is None:
            return None
        return min(STEPS, key=lambda step: abs(np.log(step / measured)))


def dispersion(counts: Floats, joined: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float | None:
    """Estimate the index of dispersion of arrivals from counts in windows, at least 1; `None` without any.

    Half the mean squared difference of neighbours over their mean (von Neumann 1941): 1 for Poisson arrivals
    whatever their trend, Ca^2 of renewal arrivals over long windows. Rates that themselves wander from
    window to window add to it by their square: what doubling the window adds is taken off. Shrunk to
    Poisson where windows are few.
    """
    one = _ratios(counts, joined)
    if one.size == 0:
        return None
    index = float(one.mean())
    # Neighbouring pairs: c0 + c1 against c2 + c3, where all four follow each other.
    if counts.size >= 4:
        pairs = counts[1:] + counts[:-1]
        whole = joined[1:-2] & joined[2:-1] & joined[3:]
        first, second = pairs[:-2][whole], pairs[2:][whole]
        two = _clipped(first, second)
        if two.size:
            index = min(index, 2.0 * index - float(two.mean()))
    return max((index * one.size + PRIOR_PAIRS) / (one.size + PRIOR_PAIRS), 1.0)


def _ratios(counts: Floats, joined: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    after = joined[1:]
    return _clipped(counts[:-1][after], counts[1:][after])


def _clipped(first: Floats, second: Floats) -> Floats:
    some = first + second > 0
    ratios: Floats = np.minimum((second - first)[some] ** 2 / (first + second)[some], _WILD)
    return ratios
