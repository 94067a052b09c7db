"""Let an up arrive before its role goes down again: never two opposite changes in flight."""

from models.decision import Reason
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust


def startup(proposal: Proposal, context: Context) -> Verdict:
    """Hold a down while replicas are starting, for later guards too; an up may be topped up.

    A replica that cannot start (stuck, or past its P99 time to ready) is no change in flight: it may be
    given up, so that its GPUs are free again.
    """
    changes, least = [], {}
    for role, count in proposal.counts.items():
        pool = context.observation.pools[role]
        now_s, p99_s = context.observation.at_s, context.plan.pools[role].startup_p99_s
        coming = pool.in_flight(now_s, p99_s)
        if role in proposal.locked or not coming:
            continue
        least[role] = pool.counted(now_s, p99_s)
        if count < least[role]:
            sentence = f"down to {least[role]} at most: {coming} still starting"
            changes.append(Change(role, least[role], Reason.STARTING, sentence))
    result, adjustments = adjust("startup", proposal, changes)
    return result.at_least(least), adjustments
