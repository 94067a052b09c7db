"""Turn pods into replicas: one pod each, or a group of pods that serve together or not at all."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from models.observation import Obstacle
from planner.cluster.api import Manifest
from planner.cluster.moments import created_s, moment_s
from planner.cluster.obstacles import Stuck, condition_of, of_pod, short

_LWS = "leaderworkerset.sigs.k8s.io/"
_GROVE = "grove.io/podcliquescalinggroup"
# How long a replica that served may be unready before it is more than a slow probe.
_LAPSE_S = 30.0

Events = Mapping[str, Sequence[Manifest]]
"""Events by the uid of what they are about."""


class Phase(StrEnum):
    """How far a replica is."""

    READY = "ready"
    STARTING = "starting"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Replica:
    """Hold one replica: its phase, since when it has been starting (Unix seconds), and what stops it."""

    phase: Phase
    since_s: float = 0.0
    stuck: Stuck | None = None


def replicas(pods: Sequence[Manifest], events: Events, size: int, now_s: float) -> list[Replica]:
    """Return the replicas that pods make up, `size` pods each unless they say otherwise themselves.

    Pods of a LeaderWorkerSet or of a Grove scaling group carry the number of their group. Other pods of
    replicas that span several cannot be told apart, and each is a replica then. Pods that ended are none.
    `now_s` is the time by the server's clock.
    """
    groups: dict[str, list[Manifest]] = defaultdict(list)
    for pod in pods:
        if not _ended(pod):
            groups[_group(pod)].append(pod)
    return [
        replica
        for key, members in sorted(groups.items())
        for replica in _of_group(
            members, _size(members, size if key.startswith("group") else 1), events, now_s
        )
    ]


def _of_group(members: list[Manifest], size: int, events: Events, now_s: float) -> list[Replica]:
    going = [pod for pod in members if pod["metadata"].get("deletionTimestamp")]
    living = [pod for pod in members if not pod["metadata"].get("deletionTimestamp")]
    if going and len(living) < size:
        # Some of it is gone or leaving: it serves no more, and holds its GPUs until all are gone.
        return [Replica(Phase.DRAINING)]
    found = [Replica(Phase.DRAINING)] if going else []
    if len(living) >= size and all(map(is_ready, living)):
        return [*found, Replica(Phase.READY)]
    waiting = [pod for pod in living if not is_ready(pod)] or living
    stuck = next(filter(None, (_stuck(pod, events, now_s) for pod in waiting)), None)
    if stuck is None and len(living) < size:
        stuck = _lacking(living, size, now_s)
    # The last to come holds up the group.
    since_s = max(min(_since_s(pod, now_s), now_s) for pod in waiting)
    return [*found, Replica(Phase.STARTING, since_s, stuck)]


def is_ready(pod: Manifest) -> bool:
    """Say whether a pod takes requests."""
    return condition_of(pod.get("status") or {}, "Ready").get("status") == "True"


def _ended(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _group(pod: Manifest) -> str:
    """Return what the pods of one replica have in common."""
    labels = pod["metadata"].get("labels") or {}
    if f"{_GROVE}-replica-index" in labels:
        return f"group {labels.get(_GROVE, '')} {labels[f'{_GROVE}-replica-index']}"
    if f"{_LWS}group-index" in labels:
        return f"group {labels.get(f'{_LWS}name', '')} {labels[f'{_LWS}group-index']}"
    return f"pod {pod['metadata']['name']}"


def _size(members: list[Manifest], otherwise: int) -> int:
    """Return the pods of a whole group; those of a LeaderWorkerSet say it."""
    said = (members[0]["metadata"].get("annotations") or {}).get(f"{_LWS}size", "")
    return int(said) if said.isdecimal() and said.isascii() else otherwise


def _since_s(pod: Manifest, now_s: float) -> float:
    """Return since when a pod has been starting: its creation, or when it lost its readiness."""
    created = created_s(pod)
    fell = _fell_s(pod)
    return now_s if created is None else created if fell is None else fell


def _fell_s(pod: Manifest) -> float | None:
    """Return when a pod that was ready before stopped being so; `None` for one that never was.

    Before it is ready for the first time, its condition dates from before its containers started.
    """
    status = pod.get("status") or {}
    fell_s = moment_s(condition_of(status, "Ready").get("lastTransitionTime"))
    starts = [
        found
        for each in status.get("containerStatuses") or ()
        for state in (each.get("state") or {}, each.get("lastState") or {})
        for part in ("running", "terminated")
        if (found := moment_s((state.get(part) or {}).get("startedAt"))) is not None
    ]
    # Times are whole seconds; a container that is up within the second of its scheduling was not ready then.
    return fell_s if fell_s is not None and starts and fell_s > min(starts) + 1.0 else None


def _stuck(pod: Manifest, events: Events, now_s: float) -> Stuck | None:
    metadata = pod["metadata"]
    found = of_pod(pod, events.get(metadata.get("uid", ""), ()), now_s)
    fell_s = _fell_s(pod)
    if found is not None or is_ready(pod) or fell_s is None or now_s - fell_s <= _LAPSE_S:
        return found
    ready = condition_of(pod.get("status") or {}, "Ready")
    words = ready.get("message") or ready.get("reason") or "its probe fails"
    return Stuck(Obstacle.UNREADY, short(f"pod {metadata['name']} was ready and is not any more: {words}"))


def _lacking(living: Sequence[Mapping[str, Any]], size: int, now_s: float) -> Stuck | None:
    """Say that pods of a group were not made, once the others have waited for them."""
    newest_s = max((created_s(pod) or now_s for pod in living), default=now_s)
    if now_s - newest_s <= 2 * _LAPSE_S:
        return None
    return Stuck(Obstacle.NOT_CREATED, f"{len(living)} of the {size} pods of its group were made")
