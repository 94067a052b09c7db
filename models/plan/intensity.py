"""Take counting noise out of a forecast: capacity models know by themselves that arrivals are random."""

from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from models.mix import RequestMix
from models.prediction import median_level

Floats = NDArray[np.float64]


def intensities(
    rates_rps: Floats, mixes: Sequence[RequestMix], levels: Sequence[float], bin_s: float
) -> Floats:
    """Return quantiles of the intensity of demand, given those of what is counted in bins of `bin_s` seconds.

    `rates_rps` has the shape (classes, 3, levels): arrivals, prefill and decode as rates of requests. What is
    counted varies with the intensity, which is what replicas must follow, and, were that known, by chance
    alone. Queues are computed for random arrivals of random lengths at a given intensity, so that chance
    counted in the forecast as well is paid for twice: at 6 requests/s it makes more than half of the width of
    a band three minutes ahead. The variance of a compound Poisson count, rate / bin x E[L^2] / E[L]^2, is
    taken from the square of each quantile's distance to the median, as variances of independent normal terms
    add up. A quantile never crosses the median, and none moves away from it.
    """
    middle = median_level(levels)
    median = rates_rps[..., middle, None]
    spread = np.array([[1.0, *_squared_lengths(mix)] for mix in mixes])[..., None]
    off = rates_rps - median
    by_chance = _squared_normal(tuple(levels)) * spread * median / bin_s
    left: Floats = median + np.copysign(np.sqrt(np.maximum(off * off - by_chance, 0.0)), off)
    return left


def _squared_lengths(mix: RequestMix) -> tuple[float, float]:
    """Return E[L^2] / E[L]^2 of the prefill work and of the outputs."""
    prefill = sum(a.weight * a.prefill_tokens**2 for a in mix.atoms) / mix.mean_prefill_tokens**2
    return prefill, mix.mean_osl_squared / max(mix.mean_osl_tokens, 1e-9) ** 2


@lru_cache(maxsize=16)
def _squared_normal(levels: tuple[float, ...]) -> Floats:
    """Return the squares of the standard normal's quantiles."""
    return np.array([NormalDist().inv_cdf(level) ** 2 for level in levels])
