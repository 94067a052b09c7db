"""Search replica counts: the fewest GPUs that reach an attainment, or the best attainment that GPUs buy."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from operator import add

import numpy as np
from numpy.typing import NDArray

from models.capacity.fleet import FleetModel, Floats
from models.capacity.load import Loads
from models.decision import Attained
from models.plan.smallest import smallest
from models.values import Role

Counted = NDArray[np.int64]
# Says whether counts, at so many GPUs per replica and role, can be placed on the nodes.
Placeable = Callable[[Mapping[Role, int], Mapping[Role, int]], bool]

# Replicas that the search looks beyond what each role needs alone.
_REACH = 16
_EPSILON = 1e-9
# Attainment that a move of GPUs between roles must gain: about what it costs while the moved ones start.
_WORTH_A_MOVE = 0.01
# Fleets that are evaluated together: enough that arrays pay, few enough that they fit into a cache.
_TOGETHER = 8
_AT_MOST = 256


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bound one role's replica count; `high` is inclusive."""

    low: int
    high: int


class FleetSearch:
    """Search the counts of one FleetModel under weighted scenarios."""

    def __init__(self, model: FleetModel, weights: NDArray[np.float64], targets: Mapping[str, float]) -> None:
        """Bind a model to the probabilities of its scenarios, shape (scenarios,), and each class's target.

        A promise that one request alone cannot keep is a layout problem that no count mends: such a class
        aims at its target's share of what an ample fleet would give, and `by_layout` says so.
        """
        self.model, self.weights = model, weights
        # The scenario that stands for the median.
        self.middle = median_scenario(weights)
        self.roles = tuple(model.layouts)
        mass = model.rates * weights[:, None]
        total = mass.sum(axis=0)
        comes = total > 0
        asked = np.array([targets[name] for name in model.names])
        # A class that never comes breaks no promise.
        ceiling = np.where(comes, model.ceiling, 1.0)
        self.by_layout = bool((ceiling < asked - _EPSILON).any())
        aims = np.where(ceiling > asked + _EPSILON, asked, asked * ceiling)
        self.aims = dict(zip(model.names, aims.tolist(), strict=True))
        # What each scenario adds to a class's attainment, and how much it takes.
        self._share = mass / np.where(comes, total, 1.0)
        self._least = np.where(comes, aims, 0.0) - _EPSILON
        self._found: tuple[Mapping[Role, int], Floats] | None = None

    def reaches(self, counts: Mapping[Role, int]) -> bool:
        """Say whether every class reaches its aim with these counts."""
        return bool(self._enough(self.model.attainment(counts)))

    def enough(self, fleets: Sequence[Mapping[Role, int]]) -> list[bool]:
        """Say which fleets reach every class's aim."""
        found: list[bool] = self._enough(self.model.attainment(by_role(fleets))).tolist()
        return found

    def reaches_under(self, loads: Loads, counts: Mapping[Role, int]) -> bool:
        """Say whether counts surely reach every aim under other loads of the same classes.

        Attainment falls with load: a load keeps at least what the lightest scenario keeps that is heavier in
        everything. False where there is none, or where that is not enough to be sure.
        """
        heavier = loads.at_most(self.model.loads)
        if not heavier.any(axis=1).all():
            return False
        attained = self.attainment(counts)[heavier.argmax(axis=1)]
        mass = loads.rate_rps * self.weights[:, None]
        return bool(((mass * attained).sum(axis=0) >= self._least * mass.sum(axis=0)).all())

    def attainment(self, counts: Mapping[Role, int]) -> Floats:
        """Return what a fleet attains, shape (scenarios, classes); the one found last was just evaluated."""
        if self._found is not None and self._found[0] == counts:
            return self._found[1]
        return self.model.attainment(counts)

    def attained(self, fleets: Sequence[Mapping[Role, int]]) -> list[Attained]:
        """Return what each fleet is expected to attain over the scenarios."""
        overall, per_class = self.model.weigh(self.model.attainment(by_role(fleets)), self.weights)
        named = (dict(zip(self.model.names, row, strict=True)) for row in per_class.tolist())
        return [Attained(*both) for both in zip(named, overall.tolist(), strict=True)]

    def lacking(self, attained: Attained) -> str:
        """Name the class that is farthest below its aim, or least above it."""
        return min(attained.attainment, key=lambda name: attained.attainment[name] - self.aims[name])

    def _enough(self, attained: Floats) -> NDArray[np.bool_]:
        enough = np.einsum("...sc,sc->...c", attained, self._share) >= self._least
        return np.asarray(enough.all(axis=-1))

    def alone(self, role: Role) -> int:
        """Return the fewest replicas of `role` that reach every aim while the other role is ample."""
        offered = self.model.busy(role)
        # From what the middle scenario keeps busy to a little more than what the heaviest does.
        first, most = max(int(offered[self.middle]), 1), float(offered.max())
        likely = range(first, max(int(most), first) + max(6, math.ceil(math.sqrt(most))))
        return smallest(lambda counts: self._enough(self.model.alone(role, counts)).tolist(), likely)

    def cheapest(
        self,
        lower: Mapping[Role, int],
        running: Mapping[Role, int] | None = None,
        start_cost: float = 0.0,
        price: Mapping[Role, float] | None = None,
    ) -> dict[Role, int]:
        """Return the counts of least cost at or above `lower` that reach every aim together.

        Roles that suffice alone usually need a replica or two more together, because each spends the
        whole allowance of misses by itself; steps are tried in order of their cost. Cost is GPUs, and
        `start_cost` more for each GPU that is not `running` in its role yet: two fleets of nearly equal
        size must not take turns. Where the result runs, nothing is cheaper (triangle inequality). With
        `price` a role's GPU costs that much instead of 1.
        """
        gpus = tuple(self.model.layouts[role].gpus * (price or {}).get(role, 1.0) for role in self.roles)
        low = tuple(lower[role] for role in self.roles)
        now = tuple((running or lower).get(role, 0) for role in self.roles)
        weight = start_cost if running else 0.0

        def cost(option: tuple[int, ...]) -> float:
            total = 0.0
            for width, least, more, has in zip(gpus, low, option, now, strict=True):
                total += width * (more + weight * max(least + more - has, 0))
            return total

        options = _by_cost(cost, len(self.roles))
        while some := list(islice(options, _TOGETHER)):
            fleets = [dict(zip(self.roles, map(add, low, option), strict=True)) for option in some]
            attained = self.model.attainment(by_role(fleets))
            enough = self._enough(attained)
            if enough.any():
                found = int(enough.argmax())
                self._found = fleets[found], attained[found]
                return fleets[found]
        return {role: lower[role] + _REACH for role in self.roles}

    def best_split(
        self,
        budget_gpus: int | None,
        bounds: Mapping[Role, Bounds],
        tiers: Mapping[str, int],
        placeable: Placeable,
        running: Mapping[Role, int] | None = None,
    ) -> dict[Role, int] | None:
        """Return the counts within a GPU budget that keep most promises, the highest priority first.

        Attainment is compared tier by tier to 0.1 %, then by the share of the work that is served at all,
        then by fewer GPUs. A split that is `running` stays unless another keeps clearly more: GPUs that
        change roles serve nobody while they start. Returns None when not even the floors fit.
        """
        gpus = {role: self.model.layouts[role].gpus for role in self.roles}
        most_gpus = sum(gpus[r] * bounds[r].high for r in self.roles) if budget_gpus is None else budget_gpus
        candidates = _fullest(self.roles, gpus, most_gpus, bounds, placeable)
        if not candidates:
            return None
        merits = self._merits(candidates, tiers)
        best = max(candidates, key=lambda c: merits[tuple(c[r] for r in self.roles)])
        held = tuple((running or {}).get(role, 0) for role in self.roles)
        wanted = tuple(best[role] for role in self.roles)
        if held in merits and _about_as_good(merits[held], merits[wanted], len(held)):
            return dict(zip(self.roles, held, strict=True))
        return best

    def _merits(
        self, fleets: Sequence[Mapping[Role, int]], tiers: Mapping[str, int]
    ) -> dict[tuple[int, ...], tuple[float, ...]]:
        """Return, by the counts of each fleet, what `best_split` compares it by."""
        found: dict[tuple[int, ...], tuple[float, ...]] = {}
        for begin in range(0, len(fleets), _AT_MOST):
            counts = by_role(fleets[begin : begin + _AT_MOST])
            gpus = sum(self.model.layouts[role].gpus * counts[role] for role in self.roles)
            shares = zip(*self._shares(counts, tiers), strict=True)
            fleet_counts = zip(*(counts[role].tolist() for role in self.roles), strict=True)
            for kept, used, each in zip(shares, np.asarray(gpus).tolist(), fleet_counts, strict=True):
                found[each] = (*(round(share, 3) for share in kept), -float(used), *map(float, each))
        return found

    def _shares(self, counts: Mapping[Role, Counted], tiers: Mapping[str, int]) -> Iterator[list[float]]:
        """Yield, per tier and the highest first, the share that each fleet keeps; at last what it serves."""
        waits = self.model.waits(self.model.prefill_count(counts))
        steps = self.model.steps(self.model.decode_count(counts))
        mass = self.model.rates * self.weights[:, None]
        met = mass * self.model.attainment_of(waits, steps)
        for tier in sorted(set(tiers.values()), reverse=True):
            chosen = np.array([tiers.get(name, 0) == tier for name in self.model.names])
            total = float(mass[:, chosen].sum())
            kept = met[..., chosen].sum(axis=(-2, -1))
            yield (kept / total).tolist() if total > 0 else [1.0] * len(kept)
        used = np.maximum(waits.utilisation, steps.utilisation)
        yield (self.weights / np.maximum(used, 1.0)).sum(axis=-1).tolist()


def median_scenario(weights: NDArray[np.float64]) -> int:
    """Return the index of the scenario that stands for the median, of weights that rise with demand."""
    return int(np.searchsorted(np.cumsum(weights), 0.5))


def by_role(fleets: Sequence[Mapping[Role, int]]) -> dict[Role, Counted]:
    """Turn fleets into one array of counts for each role."""
    return {role: np.array([fleet[role] for fleet in fleets]) for role in fleets[0]}


def _about_as_good(held: tuple[float, ...], best: tuple[float, ...], roles: int) -> bool:
    """Say whether no attainment tier, nor the share served, would gain enough to be worth a move."""
    shares = len(held) - 1 - roles
    return all(b - h < _WORTH_A_MOVE for h, b in zip(held[:shares], best[:shares], strict=True))


def _by_cost(cost: Callable[[tuple[int, ...]], float], roles: int) -> Iterator[tuple[int, ...]]:
    """Yield steps per role up to the reach, in order of a cost that rises in each of them."""
    start = (0,) * roles
    seen, waiting = {start}, [(cost(start), 0, start)]
    while waiting:
        _, _, option = heappop(waiting)
        yield option
        for i in range(roles):
            further = (*option[:i], option[i] + 1, *option[i + 1 :])
            if further[i] <= _REACH and further not in seen:
                seen.add(further)
                heappush(waiting, (cost(further), max(further), further))


def _fullest(
    roles: tuple[Role, ...],
    gpus: Mapping[Role, int],
    budget_gpus: int,
    bounds: Mapping[Role, Bounds],
    placeable: Placeable,
) -> list[dict[Role, int]]:
    """List the fullest fleets that can be placed: per count of the first role, the most of the second."""
    first, *rest = roles
    found: list[dict[Role, int]] = []
    for n in range(bounds[first].low, bounds[first].high + 1):
        left = budget_gpus - n * gpus[first]
        if left < 0:
            break
        if not rest:
            found += [{first: n}] if placeable({first: n}, gpus) else []
            continue
        second = rest[0]
        most = min(left // gpus[second], bounds[second].high)
        fitting = (
            {first: n, second: m}
            for m in range(most, bounds[second].low - 1, -1)
            if placeable({first: n, second: m}, gpus)
        )
        found += [fleet for fleet in (next(fitting, None),) if fleet]
    return found
