"""Hold every role while demand is missing or stale: absence of data is not absence of load."""

from models.decision import Reason
from models.units import show_duration
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust


def freshness(proposal: Proposal, context: Context) -> Verdict:
    """Return the current counts, locked, unless demand is known and a sizing exists.

    Demand that is late but not yet stale still raises counts; it lowers none.
    """
    held = _why_held(context)
    if held is not None:
        reason, sentence = held
        changes = [
            Change(role, context.current(role), reason, sentence)
            for role, count in proposal.counts.items()
            if role not in proposal.locked or count == context.current(role)
        ]
        result, adjustments = adjust("freshness", proposal, changes, say_always=True)
        return result.lock(result.counts), adjustments
    age_s = context.observation.demand_age_s or 0.0
    if age_s <= context.plan.interval_s + context.plan.observation_lag_s:
        return proposal, ()
    sentence = f"not lowered: demand is {show_duration(age_s)} late{_gaps(context)}"
    lowered = [
        role
        for role, count in proposal.counts.items()
        if role not in proposal.locked and count < context.current(role)
    ]
    changes = [Change(role, context.current(role), Reason.STALE, sentence) for role in lowered]
    result, adjustments = adjust("freshness", proposal, changes)
    return result.lock(lowered), adjustments


def _why_held(context: Context) -> tuple[Reason, str] | None:
    age_s, limit_s = context.observation.demand_age_s, context.decide.max_demand_age_s
    if age_s is None:
        return Reason.NO_DEMAND, f"held: no demand is known{_gaps(context)}"
    if age_s > limit_s:
        old = f"{show_duration(age_s)} old, over {show_duration(limit_s)}"
        return Reason.STALE, f"held: demand is {old}{_gaps(context)}"
    if context.sizing is None:
        return Reason.NO_FORECAST, f"held: demand cannot be forecast yet{_gaps(context)}"
    return None


def _gaps(context: Context) -> str:
    gaps = context.observation.gaps
    return f" ({gaps[0].what}: {gaps[0].reason})" if gaps else ""
