"""Respect a person: a paused role keeps its count, a pinned role gets the count that was pinned."""

from models.decision import Reason
from planner.decide.guard import Change, Context, Proposal, Verdict, adjust, bounded


def pause(proposal: Proposal, context: Context) -> Verdict:
    """Hold paused roles and set pinned ones, locked for later guards; keep one-sided pauses on their side.

    A pause on one side binds a pin, too: who forbids a role to shrink means every way of shrinking.
    """
    changes = []
    for role in proposal.counts:
        pool = context.observation.pools[role]
        if pool.paused:
            why = f" ({pool.why})" if pool.why else ""
            changes.append(Change(role, pool.desired, Reason.PAUSED, f"held at {pool.desired}: paused{why}"))
        elif pool.pinned_replicas is not None:
            pinned = pool.pinned_replicas
            changes.append(Change(role, pinned, Reason.PINNED, f"pinned to {pinned}"))
    result, adjustments = adjust("pause", proposal, changes)
    sided, more = _one_sided(result, context)
    return sided.lock(change.role for change in changes), adjustments + more


def _one_sided(proposal: Proposal, context: Context) -> Verdict:
    pools = {role: context.observation.pools[role] for role in proposal.counts}
    least = {role: pool.desired for role, pool in pools.items() if pool.paused_scale_in}
    most = {role: pool.desired for role, pool in pools.items() if pool.paused_scale_out}
    sentences = {role: f"not below {n}: scale-in is paused" for role, n in least.items()}
    proposal, kept = bounded("pause", proposal, least, {}, Reason.PAUSED_SCALE_IN, sentences)
    sentences = {role: f"not above {n}: scale-out is paused" for role, n in most.items()}
    proposal, cut = bounded("pause", proposal, {}, most, Reason.PAUSED_SCALE_OUT, sentences)
    return proposal, kept + cut
