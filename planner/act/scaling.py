"""Send one object's patch: checked against fresh state, retried once, and read again where no answer came."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from models.decision import Status
from models.errors import ClusterError, OutOfTimeError
from models.target import ObjectRef
from models.values import Role
from planner.act.results import CONFLICT, INVALID, Result, explained, refused
from planner.act.revalidate import Wanted, objection
from planner.cluster.api import Cluster
from planner.cluster.owners import resolve
from planner.cluster.patches import scaling
from planner.cluster.scalable import Found, Scalable

# No answer, or one from which nobody can tell whether the change was made.
_UNKNOWN = frozenset({0, 500, 502, 503, 504})
_ABSENT = 404


@dataclass(frozen=True, slots=True)
class Sent:
    """Hold what came of a patch, and the version of the object after it; empty where it is not known."""

    result: Result
    version: str = ""


def send(
    cluster: Cluster, pools: Sequence[Scalable], wanted: Mapping[Role, Wanted], leading: Callable[[], bool]
) -> Sent:
    """Give pools of one object their replicas, all or none; a conflict is tried once more on fresh data.

    Never raises for what a server may refuse.
    """
    to = {pool.role: wanted[pool.role].after for pool in pools}
    for attempt in (1, 2):
        if not leading():
            return Sent(Result(Status.HELD, "another process leads by now: nothing was sent"))
        patch = scaling(pools, to)
        try:
            answer = cluster.patch_json(patch.of.identity, patch.operations, subresource=patch.subresource)
        except OutOfTimeError as error:
            return Sent(Result(Status.FAILED, f"{patch} was not sent: {error}"))
        except ClusterError as error:
            if error.status in _UNKNOWN:
                return Sent(_read_again(cluster, pools, to, error))
            if error.status == _ABSENT:
                return Sent(Result(Status.SUPERSEDED, f"{patch.of} is gone"))
            if error.status not in (CONFLICT, INVALID):
                return Sent(refused(error))
            fresh, objected = _afresh(cluster, pools, wanted)
            if objected is not None:
                return Sent(objected)
            pools = fresh
            if attempt == 2:
                # Nothing that matters moved, so a second 422 is about the change itself.
                said = f"{patch} was refused twice: {error}"
                if error.status == CONFLICT:
                    return Sent(Result(Status.SUPERSEDED, said))
                return Sent(Result(Status.FAILED, said, lasting=True))
        else:
            return Sent(Result(Status.APPLIED, f"{patch}"), str(answer["metadata"]["resourceVersion"]))
    raise AssertionError("the second attempt returns")


def found_now(cluster: Cluster, pools: Sequence[Scalable]) -> list[Found]:
    """Resolve pools anew."""
    return [resolve(cluster, pool.role, pool.target) for pool in pools]


def at_version(pool: Scalable, changed: ObjectRef, version: str) -> Scalable:
    """Return a pool after its object, or its owner, was changed by ourselves."""
    if pool.scaled == changed:
        pool = replace(pool, resource_version=version)
    return replace(pool, owner_version=version) if pool.owner == changed else pool


def _afresh(
    cluster: Cluster, pools: Sequence[Scalable], wanted: Mapping[Role, Wanted]
) -> tuple[list[Scalable], Result | None]:
    """Return the pools as they are now, and what speaks against patching them."""
    fresh: list[Scalable] = []
    try:
        for found, pool in zip(found_now(cluster, pools), pools, strict=True):
            # The object that was to be patched, or one made anew under its name?
            known = replace(wanted[pool.role], uid=pool.uid)
            objected = objection(found, known)
            if objected is not None or not isinstance(found, Scalable):
                return [], objected
            fresh.append(found)
    except ClusterError as error:
        return [], Result(Status.FAILED, f"after a conflict: {explained(error)}")
    return fresh, None


def _read_again(
    cluster: Cluster, pools: Sequence[Scalable], to: Mapping[Role, int], error: ClusterError
) -> Result:
    """Find out what became of a patch whose answer is missing."""
    try:
        found = found_now(cluster, pools)
    except ClusterError as again:
        said = f"it is not known whether it was applied: {error}; reading it again: {again}"
        return Result(Status.FAILED, said, known=False)
    counts = {pool.role: pool.desired for pool in found if isinstance(pool, Scalable)}
    if counts == to:
        changes = ", ".join(f"{pool.role} {pool.desired} -> {to[pool.role]}" for pool in pools)
        return Result(Status.APPLIED, f"{changes}, as reading it again shows: {error}")
    # A server that gave no answer, or whose store gave none, may still be at it.
    known = error.status not in (0, 502, 504) and "timed out" not in str(error)
    return Result(Status.FAILED, f"not applied, as reading it again shows: {error}", known)
