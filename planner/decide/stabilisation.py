"""Release only what will not be needed again before a release pays."""

from models.decision import Reason
from models.units import show_duration
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust


def stabilisation(proposal: Proposal, context: Context) -> Verdict:
    """Keep a down at or above the sizing's upper edge, the need over the hold time."""
    if context.sizing is None:
        return proposal, ()
    changes = []
    for role, count in proposal.counts.items():
        current, upper = context.current(role), context.sizing.roles[role].upper
        if role not in proposal.locked and count < current and count < upper:
            kept = min(current, upper)
            hold = show_duration(context.plan.hold_horizon_s())
            changes.append(Change(role, kept, Reason.HOLD, f"kept at {kept}: needed again within {hold}"))
    return adjust("stabilisation", proposal, changes)
