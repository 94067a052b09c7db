"""Ignore a small surplus: releasing a replica for noise costs more than keeping it."""

from models.decision import Reason
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust


def tolerance(proposal: Proposal, context: Context) -> Verdict:
    """Hold a role whose surplus is within the tolerated share of its count; ups always pass."""
    changes = []
    for role, count in proposal.counts.items():
        current = context.current(role)
        slack = context.decide.tolerance_ratio * current
        if role not in proposal.locked and 0 < current - count <= slack:
            share = f"{context.decide.tolerance_ratio:.0%}"
            sentence = f"held at {current}: {current - count} over is within {share}"
            changes.append(Change(role, current, Reason.WITHIN_BAND, sentence))
    return adjust("tolerance", proposal, changes)
