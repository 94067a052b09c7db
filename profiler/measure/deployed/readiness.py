"""Read off objects and pods whether a candidate is ready, and if not, why: pure functions of their status."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Stage(StrEnum):
    """How far a candidate is; what is stuck in one stage has a deadline of its own."""

    READY = "ready"
    STARTING = "starting"
    UNSCHEDULED = "unscheduled"
    NOT_PULLED = "not pulled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class State:
    """Say how far a candidate is, and what holds it up."""

    stage: Stage
    reason: str = ""


# Kinds whose pods we wait for, by the count that says so.
_COUNTED = {
    "Deployment": "availableReplicas",
    "StatefulSet": "readyReplicas",
    "ReplicaSet": "availableReplicas",
}
_CANNOT_PULL = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
}
_CANNOT_CREATE = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
# A container that ended twice will end a third time: weights that do not fit do not fit.
CRASHES = 2
_ORDER = (Stage.FAILED, Stage.NOT_PULLED, Stage.UNSCHEDULED, Stage.STARTING, Stage.READY)


def candidate_state(objects: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]) -> State:
    """Return the worst of what objects and pods say; pods know the reason better than their owners."""
    found = [*map(pod_state, pods), *map(object_state, objects)]
    return min(found, key=lambda state: _ORDER.index(state.stage), default=State(Stage.READY))


def object_state(found: Mapping[str, Any]) -> State:
    """Return how far one object is; kinds without a status of their own are ready once they exist."""
    kind, name = found["kind"], found["metadata"]["name"]
    status = found.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    stuck = _stuck(conditions, status, f"{kind} {name}")
    if stuck is not None:
        return stuck
    observed = status.get("observedGeneration")
    if observed is not None and observed < found["metadata"].get("generation", 0):
        return State(Stage.STARTING, f"{kind} {name}: its controller has not seen it yet")
    if kind in _COUNTED:
        wanted = (found.get("spec") or {}).get("replicas", 1)
        ready = status.get(_COUNTED[kind], 0)
        if observed is None or ready < wanted:
            return State(Stage.STARTING, f"{kind} {name}: {ready} of {wanted} pods are ready")
        return State(Stage.READY)
    for ready_type in ("Ready", "Available"):
        if ready_type in conditions:
            if conditions[ready_type]["status"] == "True":
                return State(Stage.READY)
            return State(Stage.STARTING, f"{kind} {name}: {_said(conditions[ready_type])}")
    if "state" in status:
        ready_now = status["state"] == "successful"
        return State(Stage.READY if ready_now else Stage.STARTING, f"{kind} {name} is {status['state']}")
    if kind == "DynamoGraphDeployment":
        return State(Stage.STARTING, f"{kind} {name} has no status yet: does the Dynamo operator run?")
    return State(Stage.READY)


def _stuck(conditions: Mapping[str, Any], status: Mapping[str, Any], what: str) -> State | None:
    failure = conditions.get("ReplicaFailure")
    if failure is not None and failure["status"] == "True":
        said = _said(failure)
        if "exceeded quota" in said:
            return State(Stage.UNSCHEDULED, f"{what}: the namespace's quota is used up: {said}")
        return State(Stage.UNSCHEDULED, f"{what} may not make its pods: {said}")
    ready = conditions.get("Ready")
    if ready is not None and ready["status"] != "True" and ready.get("reason") == "insufficient_capacity":
        return State(Stage.UNSCHEDULED, f"{what}: no capacity: {_said(ready)}")
    if status.get("state") == "failed":
        return State(Stage.FAILED, f"{what} failed: {_said(ready) if ready else 'it gives no reason'}")
    progress = conditions.get("Progressing")
    if progress is not None and progress.get("reason") == "ProgressDeadlineExceeded":
        return State(Stage.STARTING, f"{what}: {_said(progress)}")
    return None


def pod_state(pod: Mapping[str, Any]) -> State:
    """Return how far a pod is, with the words of the scheduler, the kubelet or the container itself."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return State(Stage.UNSCHEDULED, f"pod {name}: no node takes it: {_said(scheduled)}")
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for container in containers:
        stuck = _container_state(container, f"pod {name}, container {container['name']}")
        if stuck is not None:
            return stuck
    if status.get("phase") == "Failed":
        return State(
            Stage.FAILED, f"pod {name} failed: {status.get('message') or status.get('reason') or 'it ended'}"
        )
    ready = conditions.get("Ready")
    if status.get("phase") == "Succeeded" or (ready is not None and ready["status"] == "True"):
        return State(Stage.READY)
    return State(Stage.STARTING, f"pod {name} is {str(status.get('phase', 'Pending')).lower()} and not ready")


def _container_state(container: Mapping[str, Any], what: str) -> State | None:
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    said = waiting.get("message") or reason
    if reason in _CANNOT_PULL:
        return State(Stage.NOT_PULLED, f"{what}: its image cannot be pulled: {said}")
    if reason in _CANNOT_CREATE:
        return State(Stage.NOT_PULLED, f"{what} cannot be made: {said}")
    if container.get("restartCount", 0) >= CRASHES:
        return State(Stage.FAILED, f"{what} {ending(container)}, {container['restartCount']} times")
    return None


def ending(container: Mapping[str, Any]) -> str:
    """Return how a container last ended: the code, the reason, and its own last words."""
    for state in ("state", "lastState"):
        ended = (container.get(state) or {}).get("terminated")
        if ended:
            words = [f"ended with code {ended.get('exitCode', '?')}"]
            if ended.get("reason") and ended["reason"] != "Error":
                words.append(f"({ended['reason']})")
            last = " ".join(str(ended.get("message") or "").split())
            return " ".join(words) + (f": {last[-300:]}" if last else "")
    return "ended"


def _said(condition: Mapping[str, Any]) -> str:
    return str(condition.get("message") or condition.get("reason") or "no reason given")
