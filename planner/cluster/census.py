"""Count a role's replicas: what its owner asks for, set beside the pods that there are."""

from collections.abc import Iterable, Mapping, Sequence

from models.observation import Obstacle, PoolState, StartingReplica
from planner.cluster.api import Manifest
from planner.cluster.moments import began_s, created_s, event_s, moment_s
from planner.cluster.obstacles import Stuck, condition_of, refusal, short
from planner.cluster.pauses import Pauses
from planner.cluster.replicas import Events, Phase, Replica, replicas
from planner.cluster.reshape_note import reshaping
from planner.cluster.scalable import Scalable

# Pods that a controller has not made by then, it does not make: something refuses.
MADE_WITHIN_S = 60.0


def census(
    scalable: Scalable,
    owner: Manifest,
    pods: Sequence[Manifest] | None,
    events: Sequence[Manifest],
    pauses: Pauses,
    size: int,
    now_s: float,
) -> PoolState:
    """Return the pool of a role at `now_s` (Unix seconds).

    `pods` are the role's (`None`: nothing selects them, and the owner's own counts are taken), `events`
    those of its namespace, `size` the pods of one replica. Since when a replica has been starting is read
    from the objects: a restart of ours changes nothing.
    """
    by_uid = _by_subject(events)
    if pods is None:
        found, why = _as_stated(scalable), ""
    else:
        found = replicas(pods, by_uid, size, now_s)
        living = sum(1 for each in found if each.phase is not Phase.DRAINING)
        why = _of_another(scalable, owner, pods, living)
    ready = sum(1 for each in found if each.phase is Phase.READY)
    starting = [each for each in found if each.phase is Phase.STARTING]
    absent = max(scalable.desired - ready - len(starting), 0)
    if absent:
        starting += _absent(absent, scalable, owner, pods or (), by_uid, now_s)
    rolling = why or _rolling(scalable)
    held = "; ".join(pauses.problems)
    return PoolState(
        desired=scalable.desired,
        ready=ready,
        starting=tuple(map(_starting, sorted(starting, key=lambda each: each.since_s))),
        draining=sum(1 for each in found if each.phase is Phase.DRAINING),
        rollout_in_progress=bool(rolling),
        paused=pauses.paused,
        pinned_replicas=pauses.pinned_replicas,
        paused_scale_in=pauses.scale_in,
        paused_scale_out=pauses.scale_out,
        uid=scalable.owner_uid,
        why=short("; ".join(filter(None, (held, rolling)))),
    )


def _starting(replica: Replica) -> StartingReplica:
    stuck = replica.stuck
    return StartingReplica(
        replica.since_s, None if stuck is None else stuck.sentence, None if stuck is None else stuck.obstacle
    )


def _rolling(scalable: Scalable) -> str:
    """Say why counts mislead: pods are being replaced, or nobody has taken up the last change yet."""
    reshaped = reshaping(scalable.annotations, scalable.role)
    if reshaped or scalable.rolling:
        return reshaped or scalable.rolling
    observed = scalable.observed_generation
    if observed is not None and observed < scalable.generation:
        return f"its controller has not taken up generation {scalable.generation} yet, only {observed}"
    return ""


def _of_another(scalable: Scalable, owner: Manifest, pods: Sequence[Manifest], living: int) -> str:
    """Say that pods are older than their owner: it was made anew, and they are not its replicas.

    Pods that it has adopted count as its own: its status holds as many replicas as are `living`.
    """
    made_s = created_s(owner)
    older = [
        pod
        for pod in pods
        if made_s is not None
        and not pod["metadata"].get("deletionTimestamp")
        and (born_s := created_s(pod)) is not None
        and born_s < made_s
    ]
    # Zero is left out of a status.
    said = scalable.status.get("replicas", None if scalable.observed_generation is None else 0)
    if not older or not isinstance(said, int) or said >= living:
        return ""
    return f"{scalable.owner} was made anew, and {len(older)} pods of the earlier one are still there"


def _as_stated(scalable: Scalable) -> list[Replica]:
    """Take the owner's own count of ready replicas; what drains it does not say."""
    said = scalable.status.get("readyReplicas", scalable.status.get("availableReplicas", 0))
    return [Replica(Phase.READY)] * (said if isinstance(said, int) else 0)


def _absent(
    count: int,
    scalable: Scalable,
    owner: Manifest,
    pods: Sequence[Manifest],
    events: Events,
    now_s: float,
) -> list[Replica]:
    """Return the replicas that were asked for and of which there is no pod yet."""
    ordered_s = moment_s(scalable.changed.at) if scalable.changed is not None else None
    refused = _refused(scalable, owner, pods, events)
    # A StatefulSet makes a pod anew only when the one before it is gone.
    left_s = [
        found for pod in pods if (found := moment_s(pod["metadata"].get("deletionTimestamp"))) is not None
    ]
    known = [each for each in (ordered_s, refused and refused[0], created_s(owner)) if each is not None]
    since_s = min(max([*known[:1], *left_s], default=now_s), now_s)
    if refused is not None:
        return [Replica(Phase.STARTING, since_s, refused[1])] * count
    late = not left_s and now_s - since_s > MADE_WITHIN_S
    told = Stuck(Obstacle.NOT_CREATED, f"{scalable} has made no pod for it, and does not say why")
    return [Replica(Phase.STARTING, since_s, told if late else None)] * count


def _refused(
    scalable: Scalable, owner: Manifest, pods: Sequence[Manifest], events: Events
) -> tuple[float, Stuck] | None:
    """Return why pods cannot be made, and since when: a condition of the owner says so, or Events."""
    condition = condition_of(owner.get("status") or {}, "ReplicaFailure")
    if condition.get("status") == "True":
        words = short(str(condition.get("message") or condition.get("reason")))
        since_s = moment_s(condition.get("lastTransitionTime")) or 0.0
        return since_s, Stuck(refusal(words, Obstacle.NOT_CREATED), words)
    makers = {scalable.owner_uid, scalable.uid, *_makers(pods)}
    names = (scalable.owner.name, scalable.scaled.name)
    about = [
        event for uid, listed in events.items() for event in listed if uid in makers or _made_by(event, names)
    ]
    failed = [event for event in about if event.get("reason") == "FailedCreate"]
    last = max(failed, key=event_s, default=None)
    made_s = max((event_s(e) for e in about if e.get("reason") == "SuccessfulCreate"), default=0.0)
    if last is None or event_s(last) < made_s:
        return None
    words = short(str(last.get("message") or "its pods are refused"))
    return began_s(last), Stuck(refusal(words, Obstacle.NOT_CREATED), words)


def _makers(pods: Iterable[Manifest]) -> set[str]:
    """Return the uids of what controls the pods: a ReplicaSet, a StatefulSet, a PodClique."""
    return {
        reference["uid"]
        for pod in pods
        for reference in pod["metadata"].get("ownerReferences") or ()
        if reference.get("controller")
    }


def _made_by(event: Manifest, names: Iterable[str]) -> bool:
    """Say whether an Event is about what an owner of these names made: `<name>-<hash>` or `…-<name>-<n>`."""
    subject = event.get("involvedObject") or {}
    told = str(subject.get("name", ""))
    return subject.get("kind") != "Pod" and any(told == name or told.startswith(f"{name}-") for name in names)


def _by_subject(events: Iterable[Manifest]) -> dict[str, list[Manifest]]:
    found: dict[str, list[Manifest]] = {}
    for event in events:
        found.setdefault(str((event.get("involvedObject") or {}).get("uid", "")), []).append(event)
    return found


def size_of(owner: Mapping[str, object], component: Mapping[str, object] | None = None) -> int:
    """Return the pods of a replica: nodes of a Dynamo component, or the size of a LeaderWorkerSet's group."""
    spec = component if component is not None else owner.get("spec")
    if not isinstance(spec, Mapping):
        return 1
    nodes = (spec.get("multinode") or {}).get("nodeCount") if component is not None else None
    group = (spec.get("leaderWorkerTemplate") or {}).get("size") if component is None else None
    stated = nodes or group
    return stated if isinstance(stated, int) and stated > 0 else 1
