"""Project the proposal onto what may be run: floors and ceilings, GPU budgets, the topology, free GPUs."""

from collections.abc import Callable, Iterator
from functools import partial

from models.decision import Adjustment, Reason
from models.stock import GpuLimit
from models.values import Role
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust


def projection(proposal: Proposal, context: Context) -> Verdict:
    """Return the nearest counts inside every bound; later bounds see what earlier ones changed.

    Over a budget, roles above their sizing go down to it first (the donors, whatever held them above
    it), then ups shrink, pinned ones too. An up waits for GPUs that a donor still occupies. Locked roles
    do not go down. A budget of one kind of hardware concerns the roles that run on it.
    """
    limits, rooms = context.plan.limits(), context.plan.rooms()
    bounds: list[Callable[[Proposal, Context], Iterator[Change]]] = [
        _floors_and_ceilings,
        *(partial(_donors, limit) for limit in limits),
        *(partial(_ups_within_budget, limit) for limit in limits),
        *(partial(_ups_within_free, room) for room in rooms),
        *(partial(_topology, roles) for roles in context.plan.placed_together()),
    ]
    adjustments: tuple[Adjustment, ...] = ()
    for bound in bounds:
        proposal, made = adjust("projection", proposal, bound(proposal, context))
        adjustments += made
    return proposal, adjustments


def _open(proposal: Proposal) -> list[Role]:
    return [role for role in proposal.counts if role not in proposal.locked]


def _floors_and_ceilings(proposal: Proposal, context: Context) -> Iterator[Change]:
    for role in _open(proposal):
        pool, count = context.plan.pools[role], proposal.counts[role]
        floor = min(pool.min_replicas, proposal.most.get(role, pool.min_replicas))
        if count < floor:
            yield Change(role, floor, Reason.FLOOR, f"the floor is {pool.min_replicas}")
        elif pool.max_replicas is not None:
            ceiling = max(pool.max_replicas, proposal.least.get(role, 0))
            if count > ceiling:
                yield Change(role, ceiling, Reason.CEILING, f"the ceiling is {pool.max_replicas}")


def _over(limit: GpuLimit, proposal: Proposal, context: Context) -> int:
    """Return the GPUs by which the proposal exceeds a budget."""
    return -limit.left(proposal.counts, {role: context.gpus(role) for role in proposal.counts})


def _donors(limit: GpuLimit, proposal: Proposal, context: Context) -> Iterator[Change]:
    """Take from roles that hold more than they need, the largest surplus of GPUs first.

    What the others need counts, not what they were granted so far: an up that still waits for these very
    GPUs must not lose them again.
    """
    if context.sizing is None:
        return
    needed = proposal
    for role in _open(proposal):
        target = context.sizing.roles[role].target
        # A role that must not grow takes no GPUs from anybody.
        target = min(target, proposal.most.get(role, target))
        needed = needed.with_count(role, max(proposal.counts[role], target))
    over = _over(limit, needed, context)
    targets = context.sizing.roles

    def surplus(role: Role) -> int:
        return (proposal.counts[role] - targets[role].target) * context.gpus(role)

    donors = [role for role in _open(proposal) if role in limit.roles]
    for role in sorted(donors, key=surplus, reverse=True):
        if over <= 0 or surplus(role) <= 0:
            return
        gpus = context.gpus(role)
        least = max(targets[role].target, proposal.least.get(role, 0))
        give = min(max(proposal.counts[role] - least, 0), -(-over // gpus))
        over -= give * gpus
        after = proposal.counts[role] - give
        yield Change(role, after, Reason.BUDGET, f"gives {give * gpus} GPUs: the budget binds")


def _ups_within_budget(limit: GpuLimit, proposal: Proposal, context: Context) -> Iterator[Change]:
    """Shrink ups until a budget holds; a count that was there before is not taken here."""
    over = _over(limit, proposal, context)
    for role in _by_growth(limit, proposal, context):
        growth = proposal.counts[role] - context.current(role)
        if over <= 0 or growth <= 0:
            continue
        cut = min(growth, -(-over // context.gpus(role)))
        over -= cut * context.gpus(role)
        after = proposal.counts[role] - cut
        yield Change(role, after, Reason.BUDGET, f"the {limit.name} allows {after}")


def _by_growth(limit: GpuLimit, proposal: Proposal, context: Context) -> list[Role]:
    """Return the roles within a budget, the one that grows most first."""
    mine = [role for role in proposal.counts if role in limit.roles]
    return sorted(mine, key=lambda role: _growth(role, proposal, context), reverse=True)


def _growth(role: Role, proposal: Proposal, context: Context) -> float:
    return proposal.counts[role] / max(context.current(role), 1)


def _ups_within_free(room: GpuLimit, proposal: Proposal, context: Context) -> Iterator[Change]:
    """Let ups use only GPUs that nobody occupies: a donor's GPUs are free once it has drained."""
    occupied = {role: _occupying(role, context) for role in proposal.counts}
    free = max(room.left(occupied, {role: context.gpus(role) for role in occupied}), 0)
    # The role that lacks the larger share of its need is served first.
    for role in _by_growth(room, proposal, context):
        current, count = context.current(role), proposal.counts[role]
        if count <= current:
            continue
        granted = min(count - current, free // context.gpus(role))
        free -= granted * context.gpus(role)
        after = current + granted
        yield Change(role, after, Reason.FREEING, f"up to {after} for now: other GPUs are still being freed")


def _occupying(role: Role, context: Context) -> int:
    """Count the replicas that hold GPUs or will: not those that are known to wait for GPUs in vain.

    One that is merely late does hold its GPUs: nobody else can start there.
    """
    pool = context.observation.pools[role]
    coming = sum(1 for replica in pool.starting if replica.stuck is None)
    unborn = max(pool.desired - pool.ready - len(pool.starting), 0)
    return pool.ready + coming + pool.draining + unborn


def _topology(roles: frozenset[Role], proposal: Proposal, context: Context) -> Iterator[Change]:
    """Undo ups that the nodes cannot hold, the smallest replicas first, until the counts can be placed."""
    counts = {role: n for role, n in proposal.counts.items() if role in roles}
    gpus = {role: context.gpus(role) for role in counts}
    ups = [r for r in counts if counts[r] > context.current(r)]
    for role in sorted(ups, key=lambda r: gpus[r]):
        while counts[role] > context.current(role) and not context.plan.placeable(counts, gpus):
            counts[role] -= 1
        if counts[role] != proposal.counts[role]:
            yield Change(role, counts[role], Reason.TOPOLOGY, f"{counts[role]} is what the nodes can hold")
