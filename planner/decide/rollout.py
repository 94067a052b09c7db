"""Leave a role alone while its owner replaces pods: counts read during a rollout mislead."""

from models.decision import Reason
from models.values import Role
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
        [Change(r, context.current(r), Reason.ROLLOUT, _sentence(r, context)) for r in rolling],
    )
    return result.lock(rolling), adjustments


def _sentence(role: Role, context: Context) -> str:
    why = context.observation.pools[role].why
    return f"held: rollout in progress{f' ({why})' if why else ''}"
