"""Search the factors at which a clairvoyant path just keeps its promises; each try is a whole replay."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from models.simulation.scorecard import PolicyResult
from models.values import Role
from planner.policies.policy import Policy

# The factor on all loads is searched between these.
FACTORS = (0.2, 2.5)
STEP = 0.93
CLOSE_RATIO = 0.0005
# Promises kept by no more than this above the target are as cheap as they can be told to be.
CLOSE_SHARE = 0.001
MOST_STEPS = 12
# What each role in turn gives up of its factor, for what the others are given: dearest misses differ by role.
TRADES = ((0.99, 1.0), (0.98, 1.01))
MOST_TRADES = 4
# Misses below this share of what is allowed are as good as none.
_NONE = 1e-3

Path = TypeVar("Path", bound=Policy)


class Paths(Protocol[Path]):
    """Build paths by a factor on the load and one more per role, and say what one would cost."""

    def path(self, factor: float, more: Mapping[Role, float] | None = None) -> Path:
        """Build one."""
        ...

    def gpus(self, path: Path) -> float:
        """Say its cost, to compare paths without a replay."""
        ...


def cheapest(
    paths: Paths[Path],
    roles: Sequence[Role],
    run: Callable[[Policy], PolicyResult],
    targets: Mapping[str, float],
) -> PolicyResult:
    """Return the cheapest run found that keeps every class's target; the best where none does.

    First one factor for all roles, by secants on the logarithm of the misses, which is nearly straight; then
    trades between the roles where they promise to be cheaper.
    """
    factor, best = _common(paths, run, targets)
    if spare(best, targets) < 0 or len(roles) < 2:
        return best
    return _traded(paths, roles, run, targets, factor, best)


def _common(
    paths: Paths[Path], run: Callable[[Policy], PolicyResult], targets: Mapping[str, float]
) -> tuple[float, PolicyResult]:
    """Return the smallest factor found that suffices, and its run; the largest where none does."""
    low = high = None
    factor, seen = 1.0, {}
    for _ in range(MOST_STEPS):
        seen[factor] = run(paths.path(factor))
        if spare(seen[factor], targets) >= 0:
            high = factor if high is None else min(high, factor)
        else:
            low = factor if low is None else max(low, factor)
        if high is None:
            if factor >= FACTORS[1]:
                return factor, seen[factor]
            factor = min(factor / STEP**2, FACTORS[1])
            continue
        if spare(seen[high], targets) <= CLOSE_SHARE or high <= FACTORS[0]:
            break
        if low is None:
            factor = max(high * STEP, FACTORS[0])
            continue
        if high - low <= CLOSE_RATIO * high:
            break
        factor = _between(low, high, _loss(seen[low], targets), _loss(seen[high], targets))
    best = max(seen) if high is None else high
    return best, seen[best]


def _between(low: float, high: float, much: float, little: float) -> float:
    """Return where the allowed misses should lie, a tenth of the bracket away from its ends."""
    share = math.log(much / 0.95) / max(math.log(much / little), 1e-9)
    return low + min(max(share, 0.1), 0.9) * (high - low)


def _traded(
    paths: Paths[Path],
    roles: Sequence[Role],
    run: Callable[[Policy], PolicyResult],
    targets: Mapping[str, float],
    factor: float,
    best: PolicyResult,
) -> PolicyResult:
    """Let one role give up what another is given, for as long as that is cheaper and suffices."""
    more = dict.fromkeys(roles, 1.0)
    tried = 0
    refused: set[tuple[Role, tuple[float, float]]] = set()
    while tried < MOST_TRADES:
        cost = paths.gpus(paths.path(factor, more))
        offers = [
            (paths.gpus(paths.path(factor, offered)), role, trade, offered)
            for role in roles
            for trade in TRADES
            if (role, trade) not in refused
            for offered in [{r: more[r] * trade[r is not role] for r in roles}]
        ]
        # The least saving first: it is the likeliest to suffice.
        offers = sorted((o for o in offers if o[0] < cost), key=lambda o: -o[0])
        if not offers:
            break
        _, role, trade, offered = offers[0]
        tried += 1
        result = run(paths.path(factor, offered))
        if spare(result, targets) >= 0 and result.gpu_hours < best.gpu_hours:
            more, best = offered, result
            refused.clear()
        else:
            refused.add((role, trade))
    return best


def _loss(result: PolicyResult, targets: Mapping[str, float]) -> float:
    """Return the misses of the class that is worst off over those that it is allowed."""
    losses = [
        (1.0 - c.slo_attainment) / max(1.0 - targets[c.name], CLOSE_SHARE)
        for c in result.classes
        if c.slo_attainment is not None
    ]
    return max(*losses, _NONE) if losses else _NONE


def spare(result: PolicyResult, targets: Mapping[str, float]) -> float:
    """Return by how much the class that is worst off exceeds its target; below 0 it misses it."""
    margins: Sequence[float] = [
        c.slo_attainment - targets[c.name] for c in result.classes if c.slo_attainment is not None
    ]
    return min(margins, default=0.0)
