"""Leave a role alone while its owner replaces pods: counts read during a rollout mislead."""

from models.decision import Reason
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust


def rollout(proposal: Proposal, context: Context) -> Verdict:
    """Hold roles whose rollout is in progress; the other role goes on."""
    rolling = [
        role
        for role in proposal.counts
        if context.observation.pools[role].rollout_in_progress and role not in proposal.locked
    ]
    result, adjustments = adjust(
        "rollout",
        proposal,
        [Change(r, context.current(r), Reason.ROLLOUT, "held: rollout in progress") for r in rolling],
    )
    return result.lock(rolling), adjustments
