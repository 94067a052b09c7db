"""Go down one step at a time: a mistake then costs one step, and its effect can be watched."""

import math

from models.decision import Reason
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust


def rate(proposal: Proposal, context: Context) -> Verdict:
    """Bound a down to one step, the larger of a count and a share of the pool; ups are not bounded."""
    changes = []
    for role, count in proposal.counts.items():
        current = context.current(role)
        step = max(context.decide.max_step_down, math.ceil(context.decide.step_down_ratio * current))
        if role not in proposal.locked and count < current - step:
            sentence = f"down by {step} to {current - step} for now"
            changes.append(Change(role, current - step, Reason.STEP, sentence))
    return adjust("rate", proposal, changes)
