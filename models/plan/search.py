"""Search replica counts: the fewest GPUs that reach an attainment, or the best attainment that GPUs buy."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from models.capacity.fleet import FleetModel, Steps, Waits
from models.values import Role

# Says whether counts, at so many GPUs per replica and role, can be placed on the nodes.
Placeable = Callable[[Mapping[Role, int], Mapping[Role, int]], bool]

_LIMIT = 65_536
# Replicas that the search looks beyond what each role needs alone.
_REACH = 16
_EPSILON = 1e-9
# Attainment that a move of GPUs between roles must gain: about what it costs while the moved ones start.
_WORTH_A_MOVE = 0.01


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
        self.roles = tuple(model.layouts)
        ceiling = model.weigh(model.attainment_of(*model.ample()), weights)[1]
        self.by_layout = any(ceiling[name] < targets[name] - _EPSILON for name in model.names)
        self.aims = {
            name: targets[name] if ceiling[name] >= targets[name] else targets[name] * ceiling[name]
            for name in model.names
        }

    def reaches(self, counts: Mapping[Role, int]) -> bool:
        """Say whether every class reaches its aim with these counts."""
        return self._enough(
            self.model.waits(self.model.prefill_count(counts)),
            self.model.steps(self.model.decode_count(counts)),
        )

    def _enough(self, waits: Waits, steps: Steps) -> bool:
        per_class = self.model.weigh(self.model.attainment_of(waits, steps), self.weights)[1]
        return all(per_class[name] >= aim - _EPSILON for name, aim in self.aims.items())

    def alone(self, role: Role) -> int:
        """Return the fewest replicas of `role` that reach every aim while the other role is ample."""
        waits, steps = self.model.ample()

        def reaches(n: int) -> bool:
            if role is Role.PREFILL:
                pair = self.model.waits(n), steps
            elif role is Role.DECODE:
                pair = waits, self.model.steps(n)
            else:
                pair = self.model.waits(n), self.model.steps(n)
            return self._enough(*pair)

        return smallest(reaches, start=max(int(self.model.offered(role)), 1))

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
        if self.reaches(lower):
            return dict(lower)
        gpus = tuple(self.model.layouts[role].gpus * (price or {}).get(role, 1.0) for role in self.roles)
        low = tuple(lower[role] for role in self.roles)
        now = tuple((running or lower).get(role, 0) for role in self.roles)
        weight = start_cost if running else 0.0

        def cost(option: tuple[int, ...]) -> float:
            total = 0.0
            for width, least, more, has in zip(gpus, low, option, now, strict=True):
                total += width * (more + weight * max(least + more - has, 0))
            return total

        for option in _by_cost(cost, len(self.roles)):
            counts = {role: lower[role] + more for role, more in zip(self.roles, option, strict=True)}
            if self.reaches(counts):
                return counts
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
        merits = {tuple(c[r] for r in self.roles): self._merit(c, gpus, tiers) for c in candidates}
        best = max(candidates, key=lambda c: merits[tuple(c[r] for r in self.roles)])
        held = tuple((running or {}).get(role, 0) for role in self.roles)
        wanted = tuple(best[role] for role in self.roles)
        if held in merits and _about_as_good(merits[held], merits[wanted], len(held)):
            return dict(zip(self.roles, held, strict=True))
        return best

    def _merit(
        self, counts: Mapping[Role, int], gpus: Mapping[Role, int], tiers: Mapping[str, int]
    ) -> tuple[float, ...]:
        attained = self.model.attainment(counts)
        mass = self.model.rates * self.weights[:, None]
        per_tier = []
        for tier in sorted(set(tiers.values()), reverse=True):
            chosen = np.array([tiers.get(name, 0) == tier for name in self.model.names])
            total = float(mass[:, chosen].sum())
            met = float((mass * attained)[:, chosen].sum())
            per_tier.append(round(met / total, 3) if total > 0 else 1.0)
        used = np.maximum(
            self.model.waits(self.model.prefill_count(counts)).utilisation,
            self.model.steps(self.model.decode_count(counts)).utilisation,
        )
        served = round(float((self.weights / np.maximum(used, 1.0)).sum()), 3)
        cost = sum(gpus[role] * n for role, n in counts.items())
        return (*per_tier, served, -float(cost), *(float(counts[role]) for role in self.roles))


def _about_as_good(held: tuple[float, ...], best: tuple[float, ...], roles: int) -> bool:
    """Say whether no attainment tier, nor the share served, would gain enough to be worth a move."""
    shares = len(held) - 1 - roles
    return all(b - h < _WORTH_A_MOVE for h, b in zip(held[:shares], best[:shares], strict=True))


def smallest(reaches: Callable[[int], bool], start: int = 1) -> int:
    """Return the smallest count from 1 on that reaches, galloping from `start`.

    `reaches` must be monotone. Returns the search limit when nothing up to it does.
    """
    high, step = start, 1
    while not reaches(high):
        if high >= _LIMIT:
            return _LIMIT
        high, step = min(high + step, _LIMIT), step * 2
    low = 0
    if high == start:
        # It held at once: gallop down instead.
        step = 1
        while high > 1 and reaches(max(high - step, 1)):
            high, step = max(high - step, 1), step * 2
        low = max(high - step, 0)
    else:
        low = high - step // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


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
