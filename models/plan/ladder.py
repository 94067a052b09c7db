"""Find the best fleet for each count of GPUs between a floor and a need, to claim a part of a pool by."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.plan.fleet_plan import Rung
from models.plan.search import Bounds, FleetSearch, Placeable, by_role
from models.values import Role

# Counts of GPUs that are looked at: every one next to the need, where a pool usually ends, and as many spread
# over the rest. Forty rungs divide a pool of 2,000 GPUs among 200 deployments within 0.1 s.
_NEAR, _SPREAD = 20, 20
# Splits between two roles that are compared at first, and again around the best of them. What a split keeps
# rises up to one of them and falls behind it.
_SPLITS = 9
# Replicas of a role that a smaller fleet may have beyond those of the need: GPUs come in whole replicas.
_REACH = 2
_AT_MOST = 256


@dataclass(frozen=True, slots=True)
class _Merit:
    """Compare fleets as sizing does: attainment per tier to 0.1 %, then what is served, then fewer GPUs."""

    tiers: tuple[float, ...]
    served: float
    rung: Rung

    @property
    def order(self) -> tuple[float, ...]:
        """Rise with what is better."""
        return (*self.tiers, self.served, -float(self.rung.gpus))


def find_ladder(
    search: FleetSearch,
    bounds: Mapping[Role, Bounds],
    ceilings: Mapping[Role, int | None],
    tiers: Mapping[str, int],
    placeable: Placeable,
) -> tuple[Rung, ...]:
    """Return fleets that rise in GPUs and in what they keep, from the bounds' `low` to their `high`.

    `high` is the fleet that is needed; a smaller one may hold a little more of one role. Both ends are rungs,
    whatever they keep; counts of GPUs between them that keep no more than fewer do are left out.
    """
    low = {role: b.low for role, b in bounds.items()}
    top = {role: b.high for role, b in bounds.items()}
    space = _Space(search, low, top, ceilings, placeable)
    judge = _Judge(search, tiers, space.widths)
    first, last = space.gpus(low), space.gpus(top)
    ends = judge.of([low, top])
    if first >= last:
        return (ends[0].rung,)
    best = _best(space, judge, _budgets(first, last, min(space.widths.values())))
    rungs, merit = [ends[0].rung], ends[0]
    for found in (*best, ends[1]):
        is_top = found is ends[1]
        better = (found.tiers, found.served) > (merit.tiers, merit.served)
        if found.rung.gpus > rungs[-1].gpus and (better or is_top):
            rungs.append(found.rung)
            merit = found
    return tuple(rungs)


def _budgets(first: int, last: int, unit: int) -> list[int]:
    """Return the counts of GPUs between two fleets that are looked at, rising, the ends left out."""
    inner = range(first + unit, last, unit)
    near = inner[-_NEAR:]
    rest = inner[: len(inner) - len(near)]
    step = -(-len(rest) // _SPREAD) if len(rest) else 1
    return [*rest[::step], *near]


class _Space:
    """Know which fleets there are between floor and need."""

    def __init__(
        self,
        search: FleetSearch,
        low: Mapping[Role, int],
        top: Mapping[Role, int],
        ceilings: Mapping[Role, int | None],
        placeable: Placeable,
    ) -> None:
        self.widths = {role: search.model.layouts[role].gpus for role in search.roles}
        # The widest first: what narrow replicas fill up behind it leaves the fewest GPUs over, so that what
        # a split keeps has no teeth.
        self.roles = tuple(sorted(search.roles, key=lambda role: -self.widths[role]))
        self.low = low
        self._placeable = placeable
        self.high = {}
        for role, count in top.items():
            more, ceiling = count + (_REACH if len(top) > 1 else 0), ceilings.get(role)
            self.high[role] = more if ceiling is None else max(min(more, ceiling), count)

    def gpus(self, fleet: Mapping[Role, int]) -> int:
        return sum(self.widths[role] * n for role, n in fleet.items())

    def span(self, budget: int) -> tuple[int, int]:
        """Return the least and the most replicas of the first role within a budget."""
        first, *rest = self.roles
        others = sum(self.widths[role] * self.low[role] for role in rest)
        return self.low[first], min(self.high[first], (budget - others) // self.widths[first])

    def fullest(self, budget: int, count: int) -> dict[Role, int] | None:
        """Return the fullest fleet within a budget with so many of the first role, if it can be placed."""
        first, *rest = self.roles
        fleet = {first: count}
        for role in rest:
            left = budget - self.widths[first] * count
            fleet[role] = min(left // self.widths[role], self.high[role])
            if fleet[role] < self.low[role]:
                return None
        return fleet if self._placeable(fleet, self.widths) else None


class _Judge:
    """Evaluate fleets, each once."""

    def __init__(self, search: FleetSearch, tiers: Mapping[str, int], widths: Mapping[Role, int]) -> None:
        self._search, self._widths = search, widths
        model = search.model
        self._mass = model.rates * search.weights[:, None]
        classes = np.array([tiers.get(name, 0) for name in model.names])
        self._chosen = [classes == tier for tier in sorted(set(classes.tolist()), reverse=True)]
        self._known: dict[tuple[int, ...], _Merit] = {}

    def of(self, fleets: Sequence[Mapping[Role, int]]) -> list[_Merit]:
        """Return what each fleet keeps."""
        new = {self._key(fleet): fleet for fleet in fleets if self._key(fleet) not in self._known}
        waiting = list(new.values())
        for begin in range(0, len(waiting), _AT_MOST):
            self._evaluate(waiting[begin : begin + _AT_MOST])
        return [self._known[self._key(fleet)] for fleet in fleets]

    def _key(self, fleet: Mapping[Role, int]) -> tuple[int, ...]:
        return tuple(fleet[role] for role in self._search.roles)

    def _evaluate(self, fleets: Sequence[Mapping[Role, int]]) -> None:
        model, counts = self._search.model, by_role(fleets)
        waits, steps = model.waits(model.prefill_count(counts)), model.steps(model.decode_count(counts))
        met = self._mass * model.attainment_of(waits, steps)
        busy = np.maximum(np.maximum(waits.utilisation, steps.utilisation), 1.0)
        served = (self._mass.sum(axis=-1) / busy).sum(axis=-1)
        total = float(self._mass.sum()) or 1.0
        shares = [
            met[..., chosen].sum(axis=(-2, -1)) / (float(self._mass[:, chosen].sum()) or 1.0)
            for chosen in self._chosen
        ]
        for i, fleet in enumerate(fleets):
            kept_rps, served_rps = float(met[i].sum()), float(served[i])
            gpus = sum(self._widths[role] * n for role, n in fleet.items())
            rung = Rung(gpus, kept_rps, dict(fleet), served_rps)
            tiers = tuple(round(float(share[i]), 3) for share in shares)
            self._known[self._key(fleet)] = _Merit(tiers, round(served_rps / total, 3), rung)


def _best(space: _Space, judge: _Judge, budgets: Sequence[int]) -> list[_Merit]:
    """Return the best fleet within each budget: splits spread over the whole span, then around the best."""
    spans = {budget: space.span(budget) for budget in budgets}
    stride = {b: max(-(-(high - low) // (_SPLITS - 1)), 1) for b, (low, high) in spans.items()}
    found = _ask(space, judge, {b: range(low, high + 1, stride[b]) for b, (low, high) in spans.items()})
    first = space.roles[0]
    while any(stride[b] > 1 for b in found):
        around = {}
        for budget, best in found.items():
            low, high = spans[budget]
            middle, step = best.rung.counts[first], stride[budget]
            stride[budget] = max(-(-2 * step // (_SPLITS - 1)), 1) if step > 1 else 1
            around[budget] = range(max(middle - step, low), min(middle + step, high) + 1, stride[budget])
        found = _ask(space, judge, around)
    return [found[budget] for budget in budgets if budget in found]


def _ask(space: _Space, judge: _Judge, tried: Mapping[int, Iterable[int]]) -> dict[int, _Merit]:
    """Return the best of the splits that are tried for each budget; budgets without any are left out."""
    fleets = {
        budget: [fleet for n in counts if (fleet := space.fullest(budget, n)) is not None]
        for budget, counts in tried.items()
    }
    judge.of([fleet for some in fleets.values() for fleet in some])
    return {
        budget: max(judge.of(some), key=lambda merit: merit.order) for budget, some in fleets.items() if some
    }
