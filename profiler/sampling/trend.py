"""Fit what times add up from: the longer of the device's work and the host's, no term below zero."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Solve = Callable[[Floats, Floats, Floats], Floats]

# Rounds of "which of the two is longer where" and refitting; they settle within a few.
_ROUNDS = 6
# Shares of the points, those with the most sequences, that are tried as bound by the host.
_STARTS = (0.15, 0.3, 0.5)
# By what factor the sum of squares must fall for two sides to be believed: noise alone gives a few per cent.
_WORTH = 0.7
# A side is fitted to at least this many points.
_FEWEST = 2
# Below this a term is not there at all.
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Trend:
    """Hold the trend at all points, shape (points,), and how many coefficients above zero make it up."""

    seconds: Floats
    coefficients: int


def fitted(device: Floats, host: Floats, measured: NDArray[np.intp], seconds: Floats, solve: Solve) -> Trend:
    """Return the trend at all points: max(device @ a, host @ b).

    `device` and `host` hold terms of shape (points, terms) that add up; the host works ahead while the device
    is busy, so the longer of the two counts. `seconds` are those of the measured points; errors are relative.
    `solve` takes rows, target and the terms' scales, and returns non-negative coefficients of least squares.
    Points are given to either side in turn until that changes nothing (Magnani & Boyd 2009), from several
    starts. Without a clear gain it is the device alone.
    """

    def side(terms: Floats, rows: NDArray[np.bool_]) -> Trend:
        shares = terms[measured] / seconds[:, None]
        scale = np.maximum(shares.max(axis=0), _TINY)
        solved = solve(shares[rows], np.ones(int(rows.sum())), scale)
        return Trend(terms @ solved, int(np.count_nonzero(solved)))

    def loss(trend: Trend) -> float:
        return float(np.sum((trend.seconds[measured] / seconds - 1.0) ** 2))

    best = side(device, np.ones(len(seconds), dtype=bool))
    least = loss(best) * _WORTH
    # Few tokens per sequence: the device is done soon, and the host is what one waits for.
    eager = np.argsort(-host[measured, -1] / seconds)
    for share in _STARTS:
        on_host = np.zeros(len(seconds), dtype=bool)
        on_host[eager[: max(int(share * len(seconds)), _FEWEST)]] = True
        for _ in range(_ROUNDS):
            if not _FEWEST <= on_host.sum() <= len(seconds) - _FEWEST:
                break
            work, wait = side(device, ~on_host), side(host, on_host)
            both = Trend(np.maximum(work.seconds, wait.seconds), work.coefficients + wait.coefficients)
            if loss(both) < least:
                best, least = both, loss(both)
            again = wait.seconds[measured] > work.seconds[measured]
            if (again == on_host).all():
                break
            on_host = again
    return best
