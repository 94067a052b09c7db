"""Spend a promise's error budget over a day: how fast may misses burn it where demand is at its worst?"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.capacity.fleet import FleetModel
from models.capacity.load import Loads
from models.plan.scenarios import Scenarios
from models.plan.search import FleetSearch, median_scenario
from models.policy import PlanPolicy
from models.values import Role

Floats = NDArray[np.float64]

# Of five requests four keep a promise that 99 of 100 must: for less no moment is planned.
MOST_BURN = 20.0
# The share of the budget that is left to what no usual day shows.
_UNFORESEEN = 0.4
# Burn rates are told apart to this ratio; between two of them attainment moves by hundredths of a point.
_FINE = 1.08


def burn_rate(
    usual_rps: Floats, ahead: Scenarios, layouts: Mapping[Role, LayoutProfile], policy: PlanPolicy
) -> float:
    """Return the highest burn rate at which every class still keeps its promise over the usual demand.

    A promise to 99 % leaves an error budget of 1 %; a burn rate of 3 spends it three times as fast (Beyer et
    al., The Site Reliability Workbook, 2018, ch. 5). Asking every moment to keep the promise keeps more than
    the promise over a day: replicas come whole, so that a fleet that just suffices misses far less at all
    lower demands which it serves as well, and it must suffice for demand that a forecast thinks possible and
    that seldom comes.

    `usual_rps` is demand as it came, shape (spells, steps, 3, classes): spells of some minutes that stand for
    the day, in steps, with arrivals, prefill and decode as rates of requests. For each spell the fleet is
    chosen as at a tick, for its mean with the same doubt as there is about what is `ahead`; what counts is
    what this fleet attains at each step. Returns a number from 1 to MOST_BURN.
    """
    doubts = [FleetModel(layouts, loads, policy.router) for loads in _doubted(usual_rps.mean(axis=1), ahead)]
    truths = [FleetModel(layouts, _loads(steps, ahead), policy.router) for steps in usual_rps]
    steps = usual_rps.shape[1]
    even = np.full(steps, 1.0 / steps)
    came = usual_rps[:, :, 0].sum(axis=1)

    def kept(burn: float) -> Floats:
        """Return the share of each class that keeps its promise over all spells."""
        aims = replace(policy, burn_rate=burn).targets()
        attained = []
        for doubt, truth in zip(doubts, truths, strict=True):
            search = FleetSearch(doubt, ahead.weights, aims)
            counts = search.cheapest({role: search.alone(role) for role in search.roles})
            attained.append(truth.weigh(truth.attainment(counts), even)[1])
        share: Floats = (came * np.array(attained)).sum(axis=0) / np.maximum(came.sum(axis=0), 1e-9)
        return share

    searches = [FleetSearch(truth, even, policy.targets()) for truth in truths]
    # What can be asked at all: less than the promise where one request alone breaks it.
    goals = np.array([min(s.aims[name] for s in searches) for name in truths[0].names])
    goals += (1.0 - goals) * _UNFORESEEN
    return _highest(lambda burn: bool((kept(burn) >= goals - 1e-9).all()))


def _doubted(usual_rps: Floats, ahead: Scenarios) -> Iterator[Loads]:
    """Yield, for each spell's mean, scenarios as far apart as those that are ahead."""
    rates = np.stack((ahead.loads.rate_rps, ahead.loads.prefill_rps, ahead.loads.decode_rps), axis=1)
    median = rates[median_scenario(ahead.weights)]
    ratio = np.where(median > 0, rates / np.where(median > 0, median, 1.0), 1.0)
    for mean in usual_rps:
        yield _loads(ratio * mean, ahead)


def _loads(rates_rps: Floats, ahead: Scenarios) -> Loads:
    """Make scenarios of rates, shape (scenarios, 3, classes), of the classes and lengths that are ahead."""
    return Loads(ahead.loads.classes, ahead.loads.mixes, *rates_rps.transpose(1, 0, 2))


def _highest(keeps: Callable[[float], bool]) -> float:
    """Return the highest burn rate that keeps the promise, to a ratio of _FINE."""
    if keeps(MOST_BURN):
        return MOST_BURN
    low, high = 1.0, MOST_BURN
    while high / low > _FINE:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low
