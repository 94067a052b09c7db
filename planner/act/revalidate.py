"""Check a role against the cluster as it is just before it is patched: much may have happened meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.decision import Status
from planner.act.results import Result
from planner.cluster.pauses import pauses
from planner.cluster.scalable import Found, Lacking, Scalable, Unresolved

OURS = "headgate"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say what a role is to become, and on what that rests.

    `before` is what the decision saw as desired, `uid` the object that it saw (empty: not told), `gpus` what
    a replica takes in the profile's layout.
    """

    before: int
    after: int
    gpus: int
    layout: str
    uid: str = ""


def objection(found: Found, wanted: Wanted) -> Result | None:
    """Return why a role must not be patched as wanted; `None` where it may."""
    if wanted.after < 1:
        return _refusal(f"a count of {wanted.after} is refused: the least is 1 replica")
    if isinstance(found, Unresolved):
        if found.reason is Lacking.ABSENT:
            return Result(Status.SUPERSEDED, found.sentence)
        return _refusal(found.sentence)
    checks: Sequence[Result | None] = (
        _same_object(found, wanted),
        _layout(found, wanted),
        _count(found, wanted),
        _paused(found, wanted),
        _rolling(found),
    )
    return next((each for each in checks if each is not None), None)


def _same_object(found: Scalable, wanted: Wanted) -> Result | None:
    if not wanted.uid or wanted.uid in (found.uid, found.owner_uid):
        return None
    return Result(Status.SUPERSEDED, f"{found} was deleted and made anew since it was looked at")


def _layout(found: Scalable, wanted: Wanted) -> Result | None:
    """Refuse replicas of another width than the profile's: the budget would be counted wrongly."""
    if found.gpus.gpus is None or found.gpus.gpus == wanted.gpus:
        return None
    return _refusal(
        f"a replica of {found} takes {found.gpus.gpus} GPUs ({found.gpus.why}), one of the profile's layout "
        f"{wanted.layout} {wanted.gpus}: sizes and budget would be wrong; state the layout that runs, or "
        "profile it",
    )


def _refusal(sentence: str) -> Result:
    return Result(Status.FAILED, sentence, lasting=True)


def _count(found: Scalable, wanted: Wanted) -> Result | None:
    if found.desired == wanted.after:
        return Result(Status.UNCHANGED, f"{found.role} is {wanted.after} already")
    if found.desired == wanted.before:
        return None
    who = found.changed
    by = f" by {who.manager} at {who.at}" if who is not None and who.manager != OURS else ""
    return Result(
        Status.SUPERSEDED,
        f"{found.role} went from {wanted.before} to {found.desired}{by} since it was looked at: left so",
    )


def _paused(found: Scalable, wanted: Wanted) -> Result | None:
    why = pauses(found.annotations, found.component, found.role).forbids(found.desired, wanted.after)
    return Result(Status.HELD, f"{found.role} is held at {found.desired}: {why}") if why else None


def _rolling(found: Scalable) -> Result | None:
    if not found.rolling:
        return None
    return Result(Status.HELD, f"{found.role} is held at {found.desired}: a rollout began, {found.rolling}")
