"""Bring to an end what a process that is gone began, and say what was done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from models.artifact import LayoutProfile
from models.decision import Status
from models.errors import ClusterError
from models.target import ObjectRef
from models.values import Role
from planner.act.intent import Ending, Intent, parse, settle, withdraw
from planner.act.results import Result, explained
from planner.act.revalidate import Wanted, objection
from planner.act.scaling import at_version, send
from planner.cluster.api import Cluster
from planner.cluster.scalable import Scalable

_VERBS = {
    Ending.AT_WORK: "left alone",
    Ending.DONE: "closed",
    Ending.WITHDRAWN: "withdrawn",
    Ending.FINISH: "finished",
    Ending.ROLL_BACK: "rolled back",
    Ending.LET_GO: "let go",
}


class Terms(Protocol):
    """What a recovery must know of the deployment."""

    @property
    def holder(self) -> str:
        """Who we are."""
        ...

    @property
    def layouts(self) -> Mapping[Role, LayoutProfile]:
        """The layout of each role."""
        ...


@dataclass(frozen=True, slots=True)
class Recovered:
    """Say how an intent ended; `free` whether this tick's own decision may go on, since no count moved."""

    status: Status
    sentence: str
    free: bool


def recover(
    cluster: Cluster,
    text: str,
    owner: ObjectRef,
    found: Mapping[Role, Scalable],
    terms: Terms,
    now_s: float,
    leading: Callable[[], bool],
) -> Recovered:
    """Settle the intent `text` on an owner, with the pools as they are now; never raises ClusterError."""
    if not leading():
        return Recovered(Status.HELD, "another process leads by now, and finishes what it finds", free=False)
    intent = parse(text)
    if intent is None:
        return _close(cluster, owner, text, "an intent that cannot be read was removed")
    counts = {role: pool.desired for role, pool in found.items()}
    uids = {role: pool.uid for role, pool in found.items()}
    settlement = settle(intent, counts, uids, terms.holder, now_s)
    said = f"change of two roles ({intent}) {_VERBS[settlement.ending]}: {settlement.why}"
    if settlement.ending is Ending.AT_WORK:
        return Recovered(Status.HELD, said, free=False)
    if not settlement.to:
        return _close(cluster, owner, text, said)
    return _carry_out(cluster, text, owner, found, terms, intent, settlement.to, said, leading)


def _carry_out(
    cluster: Cluster,
    text: str,
    owner: ObjectRef,
    found: Mapping[Role, Scalable],
    terms: Terms,
    intent: Intent,
    to: Mapping[Role, int],
    said: str,
    leading: Callable[[], bool],
) -> Recovered:
    """Patch what is left, downs before ups; what a person or a rollout forbids is let go."""
    wanted = {
        role: Wanted(
            found[role].desired, after, terms.layouts[role].gpus, terms.layouts[role].parallelism.name
        )
        for role, after in to.items()
    }
    results: dict[Role, Result] = {}
    pools = dict(found)
    for role in sorted(to, key=lambda each: to[each] - pools[each].desired):
        objected = objection(pools[role], wanted[role])
        if objected is not None:
            results[role] = objected
            continue
        sent = send(cluster, [pools[role]], wanted, leading)
        results[role] = sent.result
        if sent.version:
            pools = {r: at_version(each, pools[role].scaled, sent.version) for r, each in pools.items()}
        if sent.result.status is not Status.APPLIED:
            break
    sentence = "; ".join(dict.fromkeys([said, *(result.sentence for result in results.values())]))
    failed = [result for result in results.values() if result.status is Status.FAILED]
    # What would be refused again must not hold up decisions: the fleet as it is counts from here on.
    if any(not result.lasting for result in failed):
        return Recovered(Status.FAILED, f"{sentence}; tried again at the next tick", free=False)
    closed = _close(cluster, owner, text, f"{sentence}; let go" if failed else sentence)
    moved = any(result.status is Status.APPLIED for result in results.values())
    if not moved:
        return closed
    return Recovered(Status.APPLIED, f"{closed.sentence}; the next tick decides from there", free=False)


def _close(cluster: Cluster, owner: ObjectRef, text: str, sentence: str) -> Recovered:
    """Remove an intent; while it cannot be removed nothing new is begun."""
    try:
        withdraw(cluster, owner, text)
    except ClusterError as error:
        return Recovered(Status.FAILED, f"{sentence}; removing it: {explained(error)}", free=False)
    return Recovered(Status.UNCHANGED, sentence, free=True)
