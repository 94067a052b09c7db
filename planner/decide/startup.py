"""Let an up arrive before its role goes down again: never two opposite changes in flight."""

from models.decision import Reason
from models.observation import PoolState
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust


def startup(proposal: Proposal, context: Context) -> Verdict:
    """Hold a down while replicas are starting, for later guards too; an up may be topped up.

    A replica that cannot start (stuck, or past its P99 time to ready) is no change in flight: it may be
    given up, so that its GPUs are free again.
    """
    changes, least = [], {}
    for role, count in proposal.counts.items():
        pool = context.observation.pools[role]
        coming = in_flight(pool, context.observation.at_s, context.plan.pools[role].startup_p99_s)
        if role in proposal.locked or not coming:
            continue
        least[role] = context.current(role) - (len(pool.starting) - coming)
        if count < least[role]:
            sentence = f"down to {least[role]} at most: {coming} still starting"
            changes.append(Change(role, least[role], Reason.STARTING, sentence))
    result, adjustments = adjust("startup", proposal, changes)
    return result.at_least(least), adjustments


def in_flight(pool: PoolState, now_s: float, p99_s: float) -> int:
    """Return how many replicas are on their way and can be expected to arrive."""
    return sum(1 for s in pool.starting if s.stuck is None and now_s - s.since_s <= p99_s)
