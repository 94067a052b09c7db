"""Find the quantile of demand that a fleet stands for: up to which it keeps every promise to its target."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.plan.search import FleetSearch
from models.values import Role


def demand_quantile(search: FleetSearch, counts: Mapping[Role, int], levels: Sequence[float]) -> float | None:
    """Return q*, the quantile of the forecast for which one would have sized to get this fleet.

    `levels` are those of the search's scenarios. Between the last level at which every class reaches its aim
    and the first at which one does not, q* lies where their attainment crosses it on a straight line. 0: some
    class misses its aim even at the lowest level; None where the scenarios are not those of the levels.
    """
    if len(levels) != len(search.weights):
        return None
    aims = np.array([search.aims[name] for name in search.model.names])
    comes = search.model.rates > 0
    gaps = np.where(comes, search.attainment(counts) - aims, 0.0).min(axis=-1)
    short = np.flatnonzero(gaps < -1e-9)
    if short.size == 0:
        return levels[-1]
    first = int(short[0])
    if first == 0:
        return 0.0
    kept, missed = max(float(gaps[first - 1]), 0.0), -float(gaps[first])
    return levels[first - 1] + (levels[first] - levels[first - 1]) * kept / (kept + missed)
