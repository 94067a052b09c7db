"""Hold roles while what they are sized from is missing or stale: absence of data is not absence of load."""

from collections.abc import Iterator

from models.decision import Reason
from models.observation import QUEUE_GAP
from models.units import show_duration
from models.values import Role
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust


def freshness(proposal: Proposal, context: Context) -> Verdict:
    """Return the current counts, locked, unless demand is known and a sizing exists.

    Demand that is late but not yet stale, or of which a part may be missing, still raises counts; it
    lowers none. A queue that should be seen and is not lowers no prefill.
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
    changes = [
        Change(role, context.current(role), Reason.STALE, sentence)
        for role, sentence in _not_lowered(context)
        if role in proposal.counts and role not in proposal.locked
        if proposal.counts[role] < context.current(role)
    ]
    result, adjustments = adjust("freshness", proposal, changes)
    return result.lock(change.role for change in changes), adjustments


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


def _not_lowered(context: Context) -> Iterator[tuple[Role, str]]:
    """Yield the roles that must not go down for want of data, each once, with the reason."""
    age_s = context.observation.demand_age_s or 0.0
    if age_s > context.plan.interval_s + context.plan.observation_lag_s:
        sentence = f"not lowered: demand is {show_duration(age_s)} late{_gaps(context)}"
        yield from ((role, sentence) for role in Role)
        return
    partial = context.observation.partial
    if partial is not None:
        sentence = f"not lowered: a part of demand may be missing ({partial.reason})"
        yield from ((role, sentence) for role in Role)
        return
    unseen = next((gap for gap in context.observation.gaps if gap.what == QUEUE_GAP), None)
    if context.observation.queue is None and unseen is not None:
        sentence = f"not lowered: the queue is not known ({unseen.reason})"
        yield from ((role, sentence) for role in (Role.PREFILL, Role.AGGREGATED))


def _gaps(context: Context) -> str:
    gaps = context.observation.gaps
    return f" ({gaps[0].what}: {gaps[0].reason})" if gaps else ""
