"""Hold every role while demand is missing or stale: absence of data is not absence of load."""

from models.decision import Reason
from models.units import show_duration
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust


def freshness(proposal: Proposal, context: Context) -> Verdict:
    """Return the current counts, locked, unless demand is recent and a sizing exists."""
    age_s = context.observation.demand_age_s
    limit_s = context.decide.max_demand_age_s
    if age_s is None:
        reason, sentence = Reason.NO_DEMAND, f"held: no demand is known{_gaps(context)}"
    elif age_s > limit_s:
        sentence = (
            f"held: demand is {show_duration(age_s)} old, over {show_duration(limit_s)}{_gaps(context)}"
        )
        reason = Reason.STALE
    elif context.sizing is None:
        reason, sentence = Reason.NO_FORECAST, f"held: demand cannot be forecast yet{_gaps(context)}"
    elif age_s > context.plan.interval_s + context.plan.observation_lag_s:
        return adjust("freshness", proposal, _kept(proposal, context, age_s))
    else:
        return proposal, ()
    held, adjustments = adjust(
        "freshness",
        proposal,
        [Change(role, context.current(role), reason, sentence) for role in proposal.counts],
        say_always=True,
    )
    return held.lock(held.counts), adjustments


def _kept(proposal: Proposal, context: Context, age_s: float) -> list[Change]:
    sentence = f"not lowered: demand is {show_duration(age_s)} late{_gaps(context)}"
    return [
        Change(role, context.current(role), Reason.STALE, sentence)
        for role, count in proposal.counts.items()
        if count < context.current(role)
    ]


def _gaps(context: Context) -> str:
    gaps = context.observation.gaps
    return f" ({gaps[0].what}: {gaps[0].reason})" if gaps else ""
