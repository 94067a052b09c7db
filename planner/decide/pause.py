"""Respect a person: a paused role keeps its count, a pinned role gets the count that was pinned."""

from models.decision import Reason
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust


def pause(proposal: Proposal, context: Context) -> Verdict:
    """Hold paused roles and set pinned ones; both are locked for later guards."""
    changes = []
    for role in proposal.counts:
        pool = context.observation.pools[role]
        if pool.paused:
            changes.append(Change(role, pool.desired, Reason.PAUSED, f"held at {pool.desired}: paused"))
        elif pool.pinned_replicas is not None:
            pinned = pool.pinned_replicas
            changes.append(Change(role, pinned, Reason.PINNED, f"pinned to {pinned}"))
    result, adjustments = adjust("pause", proposal, changes)
    return result.lock(change.role for change in changes), adjustments
