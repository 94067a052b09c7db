"""Find why each count is what it is: the constraint that sets it, and what its neighbours would attain."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.decision import Attained
from models.plan.need import Need
from models.plan.search import FleetSearch
from models.policy import PlanPolicy
from models.values import Binding, Role


@dataclass(frozen=True, slots=True)
class Reasons:
    """Say, per role, what sets its count, which class it is set for, and what one fewer and one more attain.

    `here` is what the fleet itself attains. `fewer` has no entry for a role of one replica.
    """

    limits: Mapping[Role, Binding]
    classes: Mapping[Role, str]
    here: Attained
    fewer: Mapping[Role, Attained]
    more: Mapping[Role, Attained]


def find_reasons(search: FleetSearch, need: Need, policy: PlanPolicy, without_queue: FleetSearch) -> Reasons:
    """Ask of the fleet that can be afforded: why not one fewer, why not one more?

    `without_queue` is the search for the same demand without what waits already.
    """
    counts = need.affordable
    less = {role: {**counts, role: n - 1} for role, n in counts.items() if n > 1}
    more = [{**counts, role: n + 1} for role, n in counts.items()]
    here, *beside = search.attained([counts, *less.values(), *more])
    fewer = dict(zip(less, beside, strict=False))
    lacking = {role: search.lacking(fewer.get(role, here)) for role in counts}
    further = dict(zip(counts, beside[len(less) :], strict=True))
    return Reasons(_limits(search, need, policy, without_queue), lacking, here, fewer, further)


def _limits(
    search: FleetSearch, need: Need, policy: PlanPolicy, without_queue: FleetSearch
) -> dict[Role, Binding]:
    """Name the constraint that sets each count: a bound, or what one replica fewer would break."""
    bounds = {role: _bound(role, search, need, policy) for role in search.roles}
    limits = {role: bound for role, bound in bounds.items() if bound is not None}
    less = {r: {**need.together, r: need.together[r] - 1} for r in search.roles if r not in limits}
    if less:
        limits |= search.model.bindings(less)
    if without_queue is not search:
        limits |= {role: Binding.BACKLOG for role in less if without_queue.reaches(less[role])}
    return limits


def _bound(role: Role, search: FleetSearch, need: Need, policy: PlanPolicy) -> Binding | None:
    wanted, together = need.wanted[role], need.together[role]
    if need.cut_by is not None and need.affordable[role] < wanted:
        return need.cut_by
    if search.by_layout:
        return Binding.LAYOUT
    if wanted > together or (wanted == 1 and together == 1):
        return Binding.FLOOR
    if wanted < together:
        return Binding.CEILING if wanted == policy.pools[role].max_replicas else Binding.BUDGET
    return None
