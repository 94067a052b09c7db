"""Write pods, Events and what is scaled, as the API server would give them, for tests of counting."""

from datetime import UTC, datetime
from typing import Any

from models.target import ObjectRef, PoolTarget
from models.values import Role
from planner.cluster.scalable import GpuCount, Scalable

Object = dict[str, Any]
NOW_S = 1_800_000_000.0
OWNER = ObjectRef("apps/v1", "Deployment", "decode", "chat")


def at(age_s: float) -> str:
    """Return the time so many seconds before now, as the API server writes it."""
    return datetime.fromtimestamp(NOW_S - age_s, UTC).isoformat().replace("+00:00", "Z")


def pod(
    name: str,
    ready: bool = True,
    age_s: float = 600.0,
    labels: dict[str, str] | None = None,
    deleted: bool = False,
    **status: Any,
) -> Object:
    """Return a pod that is scheduled; `status` adds to its status."""
    metadata: Object = {
        "name": name,
        "uid": f"uid-{name}",
        "labels": {"app": "decode", **(labels or {})},
        "creationTimestamp": at(age_s),
        "ownerReferences": [{"kind": "ReplicaSet", "name": "decode-1", "uid": "set", "controller": True}],
    }
    if deleted:
        metadata["deletionTimestamp"] = at(0)
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": at(age_s)},
        {"type": "Ready", "status": str(ready), "lastTransitionTime": at(age_s)},
    ]
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": conditions, **status}}


def unscheduled(name: str, message: str, age_s: float) -> Object:
    """Return a pod that fits on no node."""
    made = pod(name, ready=False, age_s=age_s)
    refused = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": at(age_s),
    }
    made["status"] = {"phase": "Pending", "conditions": [refused]}
    return made


def container(restarts: int = 0, **state: Any) -> Object:
    """Return a container's status; `state` is its state, `last` the one before."""
    last = state.pop("last", None)
    said = {"name": "engine", "ready": False, "restartCount": restarts, "state": state}
    return said if last is None else {**said, "lastState": last}


def event(reason: str, message: str, uid: str, age_s: float = 30.0, **subject: str) -> Object:
    """Return an Event about the object of this uid."""
    return {
        "metadata": {"name": f"{uid}.{reason}"},
        "reason": reason,
        "message": message,
        "lastTimestamp": at(age_s),
        "firstTimestamp": at(age_s + 60),
        "involvedObject": {"uid": uid, "kind": "Pod", "name": uid, **subject},
    }


def scalable(desired: int, **changed: Any) -> Scalable:
    """Return what is scaled for decode: a Deployment of so many replicas."""
    plain: Object = {
        "role": Role.DECODE,
        "target": PoolTarget(OWNER),
        "owner": OWNER,
        "scaled": OWNER,
        "subresource": "scale",
        "pointer": "/spec/replicas",
        "desired": desired,
        "uid": "owner",
        "resource_version": "1",
        "owner_uid": "owner",
        "owner_version": "1",
        "generation": 1,
        "observed_generation": 1,
        "gpus": GpuCount(1, ""),
        "pods": "app=decode",
    }
    return Scalable(**{**plain, **changed})


def owner(age_s: float = 86_400.0, **status: Any) -> Object:
    """Return the manifest of that Deployment."""
    metadata = {"name": "decode", "namespace": "chat", "uid": "owner", "creationTimestamp": at(age_s)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "status": status}
