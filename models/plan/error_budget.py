"""Spend a promise's error budget over a day: how fast may misses burn it where demand is at its worst?"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.plan.scenarios import Scenarios, tokens_of
from models.plan.search import FleetSearch, median_scenario
from models.plan.sizing import bind
from models.policy import PlanPolicy
from models.values import Role

Floats = NDArray[np.float64]

# Of ten requests nine keep a promise that 99 of 100 must: for less no moment is planned.
MOST_BURN = 10.0
# After a start nobody has seen yet what fleets keep.
MOST_AT_FIRST = 3.0
# The share of the budget that is left to what no usual day shows.
_UNFORESEEN = 0.4
# By how much the logarithm of a burn rate rises in an hour without a loss, and falls in one that loses twice
# what it may; a single bad hour divides it by four at most.
_STEP = 0.2
_WORST = math.log(4.0)
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
    what this fleet attains at each step. Returns a number from 1 to MOST_AT_FIRST: spells only stand in for
    what fleets will keep, which `steered` goes by.
    """
    steps = usual_rps.shape[1]
    even = np.full(steps, 1.0 / steps)
    doubts = [bind(each, layouts, policy).model for each in _doubted(usual_rps.mean(axis=1), ahead)]
    truths = [bind(_demand(each, ahead, even), layouts, policy).model for each in usual_rps]
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

    # What can be asked at all: less than the promise where one request alone breaks it.
    ceiling = np.min([truth.ceiling for truth in truths], axis=0)
    targets = policy.targets()
    stated = np.array([targets[name] for name in truths[0].names])
    goals = np.where(ceiling > stated, 1.0, ceiling) - allowance(policy, truths[0].names)
    return _highest(lambda burn: bool((kept(burn) >= goals - 1e-9).all()))


def allowance(policy: PlanPolicy, names: Sequence[str]) -> Floats:
    """Return the share of each class's requests that may be lost to a burn rate above 1, shape (classes,)."""
    targets = replace(policy, burn_rate=1.0).targets()
    return np.array([(1.0 - targets[name]) * (1.0 - _UNFORESEEN) for name in names])


def lost(
    came: Floats,
    ready: Mapping[Role, int],
    told: Scenarios,
    now: Scenarios,
    layouts: Mapping[Role, LayoutProfile],
    policy: PlanPolicy,
) -> Floats | None:
    """Return the share of each class that was lost where the fleet that was ready met what came.

    `came` is demand per second, shape (3, classes), in the order of Signal; `told` is what was said of this
    time when an order for it was due, `now` holds the lengths that came: where prompts grow within minutes
    those of before would tell of as many more requests, and they wait otherwise.
    An ample fleet is what it is compared with: what one request alone breaks is not lost to a count. `None`
    where more came than the highest scenario said: no burn rate plans for that. Shape (classes,).
    """
    highest = np.stack((told.loads.rate_rps[-1], told.loads.prefill_rps[-1], told.loads.decode_rps[-1]))
    if (came > highest * _tokens(told)).any():
        return None
    model = bind(_demand((came / _tokens(now))[None], now, np.ones(1)), layouts, policy).model
    missing: Floats = np.maximum(model.ceiling - model.attainment(ready)[0], 0.0)
    return missing


def _tokens(ahead: Scenarios) -> Floats:
    """Return what one request of each class counts in each signal, shape (3, classes)."""
    return np.array([list(tokens_of(mix).values()) for mix in ahead.loads.mixes]).T.clip(min=1e-9)


def steered(burn: float, spent: Floats, allowed: Floats) -> float:
    """Return the burn rate for the next hour, given what the last one lost and what it was allowed to.

    Its logarithm moves in proportion to what was left of the allowance, so that in the long run as much is
    lost as is allowed, whatever the demand (as coverage in Gibbs & Candès 2021). The class that lost most
    counts.
    """
    ratio = float(np.max(spent / np.maximum(allowed, 1e-9)))
    return min(max(burn * math.exp(max(_STEP * (1.0 - ratio), -_WORST)), 1.0), MOST_BURN)


def _doubted(usual_rps: Floats, ahead: Scenarios) -> Iterator[Scenarios]:
    """Yield, for each spell's mean, scenarios as far apart as those that are ahead."""
    rates = np.stack((ahead.loads.rate_rps, ahead.loads.prefill_rps, ahead.loads.decode_rps), axis=1)
    median = rates[median_scenario(ahead.weights)]
    ratio = np.where(median > 0, rates / np.where(median > 0, median, 1.0), 1.0)
    for mean in usual_rps:
        yield _demand(ratio * mean, ahead, ahead.weights)


def _demand(rates_rps: Floats, ahead: Scenarios, weights: Floats) -> Scenarios:
    """Make scenarios of rates, shape (scenarios, 3, classes), of the classes and lengths that are ahead."""
    arrivals, prefill, decode = rates_rps.transpose(1, 0, 2)
    loads = replace(ahead.loads, rate_rps=arrivals, prefill_rps=prefill, decode_rps=decode)
    return Scenarios(loads, weights)


def _highest(keeps: Callable[[float], bool]) -> float:
    """Return the highest burn rate that keeps the promise, to a ratio of _FINE."""
    if keeps(MOST_AT_FIRST):
        return MOST_AT_FIRST
    low, high = 1.0, MOST_AT_FIRST
    while high / low > _FINE:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low
