"""Propose other layouts: those that keep a promise which the present one cannot, or that save their switch.

A layout is compared over the demand of the whole last day and of the whole forecast, never at one tick: at
no demand may it cost more, on the mean of the day it must save a stated share, and what the switch costs must
come back in a stated time. So two layouts never take turns, and a record says the same from its own line.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from models.artifact import LayoutProfile
from models.capacity.fleet import FleetModel, Floats
from models.capacity.load import Loads
from models.decision import Reshape
from models.mix import RequestMix
from models.observation import Observation
from models.plan.bill import bill, miss_mass
from models.plan.judged import Judged, Pairing, Points
from models.plan.price import PricedSearch
from models.plan.reshaping import reshape
from models.plan.scenarios import Scenarios, scenarios
from models.plan.search import Bounds, FleetSearch
from models.plan.smallest import LIMIT
from models.policy import PlanPolicy
from models.prediction import PAST_LEVELS, Forecast, SignalForecast
from models.values import Role, Signal

# Where one request alone breaks a promise, the lengths seen in one minute may only seem to: it must miss half
# as many again as it may.
_CLEARLY = 1.5
# The search looks 16 replicas beyond its start; so often it starts again from where it ended.
_WIDENINGS = 8
_LEAST_RPS = 1e-6
_SAME = 1e-9


def propose(
    observation: Observation,
    forecast: Forecast,
    layouts: Pairing,
    others: Mapping[Role, Sequence[LayoutProfile]],
    policy: PlanPolicy,
) -> Reshape | None:
    """Return the best change of layouts that is worth its cost, or None.

    `others` are the layouts that could run in place of those of each role. Classes are taken to rise and fall
    together: who rises when the other falls is judged as if the highest of both came at once.
    """
    ahead = scenarios(observation, forecast, policy.classes, policy.ready_horizon_s())
    if ahead is None or not any(others.values()):
        return None
    now = FleetModel(layouts, ahead.loads, policy.router)
    lacking = _lacking(now, policy, _CLEARLY)
    pairings = [pairing for pairing in _pairings(layouts, others) if pairing != layouts]
    points = _points(forecast, ahead)
    if lacking:
        at = points or Points(ahead.loads, ahead.weights)
        able = _able(pairings, ahead, at, policy)
        return None if able is None else reshape(observation, layouts, able, at, policy, None, lacking)
    present = None if points is None else _judge(layouts, points, policy)
    if points is None or present is None:
        return None
    best = _cheaper(present, pairings, points, policy)
    if best is None:
        return None
    found = reshape(observation, layouts, best, points, policy, present, ())
    in_time = found.payback_s is not None and found.payback_s <= policy.reshape.payback_s
    return found if in_time else None


def _able(pairings: Sequence[Pairing], ahead: Scenarios, points: Points, policy: PlanPolicy) -> Judged | None:
    """Return the cheapest pairing with which one request alone keeps every class's promise."""
    able = [p for p in pairings if not _lacking(FleetModel(p, ahead.loads, policy.router), policy, 1.0)]
    judged = [found for pairing in able if (found := _judge(pairing, points, policy)) is not None]
    return min(judged, key=lambda each: points.mean(each.costs), default=None)


def _cheaper(
    present: Judged, pairings: Sequence[Pairing], points: Points, policy: PlanPolicy
) -> Judged | None:
    """Return the pairing of least mean cost that is nowhere dearer than the present one and saves enough."""
    most = points.mean(present.costs) * (1.0 - policy.reshape.least_saving_ratio)
    best = None
    for bound, pairing in _by_bound(present.pairing, pairings, points, policy):
        if bound > most:
            break
        found = _judge(pairing, points, policy, present)
        if found is not None and (mean := points.mean(found.costs)) <= most:
            best, most = found, mean - _SAME
    return best


def _by_bound(
    layouts: Pairing, pairings: Sequence[Pairing], points: Points, policy: PlanPolicy
) -> list[tuple[float, Pairing]]:
    """Return pairings by what they cost at least: GPUs that are always busy, or nobody served."""
    busy: dict[tuple[Role, str], Floats] = {}
    missed = np.full(len(points.weights), np.inf)
    for pairing in pairings:
        for role, layout in pairing.items():
            if (role, layout.key) not in busy:
                model = FleetModel({**layouts, role: layout}, points.loads, policy.router)
                each = np.maximum(model.busy(role), 1.0) * layout.gpus * _price(role, policy)
                busy[role, layout.key] = each
                if policy.by_price:
                    mass = miss_mass(
                        FleetSearch(model, np.ones(len(points.weights)), policy.targets()), policy
                    )
                    missed = mass.sum(axis=-1)
    bounds = []
    for pairing in pairings:
        full = sum((busy[role, layout.key] for role, layout in pairing.items()), np.zeros(()))
        bounds.append((points.mean(np.minimum(full, missed)), pairing))
    return sorted(bounds, key=lambda each: each[0])


def _price(role: Role, policy: PlanPolicy) -> float:
    if not policy.priced:
        return 1.0
    return next(stock.price_per_gpu_h or 0.0 for stock in policy.stocks if role in stock.roles)


def _judge(
    pairing: Pairing, points: Points, policy: PlanPolicy, present: Judged | None = None
) -> Judged | None:
    """Find the pairing's fleet for each point.

    None where no count keeps the promise at some point, or where it is dearer than the `present` pairing at
    one, or fits no budget that holds the present one there.
    """
    model = FleetModel(pairing, points.loads, policy.router)
    gpus = {role: layout.gpus for role, layout in pairing.items()}
    count = len(points.weights)
    fleets: list[Mapping[Role, int]] = [{}] * count
    costs, taken, fits = np.zeros(count), np.zeros(count), np.zeros(count, dtype=bool)
    # The highest demand first: it tells most layouts apart.
    for at in reversed(range(count)):
        search = FleetSearch(model, np.eye(count)[at], policy.targets())
        fleet = _fleet(search, policy)
        if fleet is None:
            return None
        counts = {role: max(n, policy.pools[role].min_replicas) for role, n in fleet.items()}
        fleets[at] = counts
        taken[at] = sum(gpus[role] * n for role, n in counts.items())
        costs[at] = _cost(counts, search, policy) if policy.priced else taken[at]
        bounded = all(n <= (policy.pools[role].max_replicas or n) for role, n in counts.items())
        fits[at] = bounded and policy.within(counts, gpus) and policy.placeable(counts, gpus)
        if present is not None and (
            costs[at] > present.costs[at] + _SAME or (present.fits[at] and not fits[at])
        ):
            return None
    return Judged(pairing, tuple(fleets), costs, taken, fits)


def _cost(counts: Mapping[Role, int], search: FleetSearch, policy: PlanPolicy) -> float:
    return bill(counts, search.attained([counts])[0].attainment, search, policy).per_h


def _fleet(search: FleetSearch, policy: PlanPolicy) -> Mapping[Role, int] | None:
    """Return the cheapest fleet for a search's only point, free of budgets."""
    if policy.by_price:
        free = {role: Bounds(1, LIMIT) for role in search.roles}
        return PricedSearch(search, policy).cheapest(free, lambda counts: True)
    counts: Mapping[Role, int] = {role: search.alone(role) for role in search.roles}
    for _ in range(_WIDENINGS):
        counts = search.cheapest(counts, price=policy.price_by_role())
        if search.reaches(counts):
            return counts
    return None


def _lacking(model: FleetModel, policy: PlanPolicy, times: float) -> tuple[str, ...]:
    """Name the classes of which one request alone misses more than `times` what it may."""
    targets, comes = policy.targets(), model.rates.sum(axis=0) > 0
    return tuple(
        name
        for name, ceiling, some in zip(model.names, model.ceiling.tolist(), comes.tolist(), strict=True)
        if some and 1.0 - ceiling > times * (1.0 - targets[name]) + 1e-9
    )


def _pairings(layouts: Pairing, others: Mapping[Role, Sequence[LayoutProfile]]) -> list[Pairing]:
    options = [(layouts[role], *others.get(role, ())) for role in layouts]
    return [dict(zip(layouts, each, strict=True)) for each in product(*options)]


def _points(forecast: Forecast, ahead: Scenarios) -> Points | None:
    """Return the demands of the last day and of the forecast; None while the day is not known."""
    rates = []
    for request_class, mix in zip(ahead.loads.classes, ahead.loads.mixes, strict=True):
        signals = forecast.signals[request_class.name]
        if not signals[Signal.ARRIVALS].past_day:
            return None
        rates.append(_demands(signals, mix))
    # From (classes, signals, points) to one array of (points, classes) for each signal.
    by_signal = np.array(rates).transpose(1, 2, 0).copy()
    edges = np.concatenate([[0.0], (np.array(PAST_LEVELS[1:]) + np.array(PAST_LEVELS[:-1])) / 2, [1.0]])
    weights = np.concatenate([[0.0], np.diff(edges), [0.0]])
    return Points(Loads(ahead.loads.classes, ahead.loads.mixes, *by_signal), weights)


def _demands(signals: Mapping[Signal, SignalForecast], mix: RequestMix) -> list[list[float]]:
    """Return arrivals, prefill and decode of one class at each point, as rates of requests."""
    found = [_of(signals[Signal.ARRIVALS], 1.0)]
    for signal, tokens in (
        (Signal.PREFILL_TOKENS, mix.mean_prefill_tokens),
        (Signal.DECODE_TOKENS, mix.mean_osl_tokens),
    ):
        known = signals.get(signal)
        found.append(_of(known, tokens) if known is not None and known.past_day else found[0])
    return found


def _of(signal: SignalForecast, tokens: float) -> list[float]:
    values = (signal.lowest(), *signal.past_day, signal.highest())
    return [max(value / max(tokens, 1e-9), _LEAST_RPS) for value in values]
