"""Keep to the maintenance windows: while one is open only the changes that it allows are made."""

from collections.abc import Mapping
from datetime import UTC, datetime

from models.decision import Reason
from models.values import Role
from models.window import Allowed
from planner.decide.guard import Context, Proposal, Verdict, bounded


def window(proposal: Proposal, context: Context) -> Verdict:
    """Hold what no open window allows, for later guards too; a role that a person pinned stays pinned.

    Of windows that overlap every one is kept: one that allows ups and one that allows downs allow nothing.
    """
    verdict: Verdict = proposal, ()
    for each in context.decide.windows:
        end_s = each.when.end_s(context.observation.at_s)
        if end_s is None:
            continue
        proposal, made = verdict
        here = {r: context.current(r) for r in proposal.counts if r not in proposal.locked}
        least: Mapping[Role, int] = {} if each.allowed is Allowed.DOWN else here
        most: Mapping[Role, int] = {} if each.allowed is Allowed.UP else here
        until = datetime.fromtimestamp(end_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
        what = "no change" if each.allowed is Allowed.NOTHING else f"{each.allowed} alone is allowed"
        sentences = {role: f"held at {n}: {what} in {each.name!r} until {until}" for role, n in here.items()}
        proposal, more = bounded("window", proposal, least, most, Reason.WINDOW, sentences)
        verdict = proposal, made + more
    return verdict
