"""Tell from a status whether an owner is replacing its pods."""

from collections.abc import Mapping
from typing import Any

_IN_PROGRESS = frozenset({"Pending", "InProgress"})
# Their status leaves a count out where it is 0; what others leave out, they may simply not count.
_COUNTED = frozenset({"Deployment", "StatefulSet"})


def rolling(manifest: Mapping[str, Any]) -> str:
    """Say why a rollout of a plain owner is in progress; empty where none is, or its status does not tell.

    A scale alone changes no pod's template: all replicas are of the newest one then.
    """
    status, spec = manifest.get("status") or {}, manifest.get("spec") or {}
    for condition in status.get("conditions") or ():
        # A LeaderWorkerSet says it in so many words.
        if condition.get("type") == "UpdateInProgress" and condition.get("status") == "True":
            return str(condition.get("message") or "an update is in progress")
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return ""  # pods are replaced when somebody deletes them, which may be never
    # Replicas below a StatefulSet's partition are meant to stay as they are.
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    return behind(status, partition, 0 if manifest.get("kind") in _COUNTED else None)


def of_component(update: Mapping[str, Any], component: str, status: Mapping[str, Any]) -> str:
    """Say why a rollout of a component of a DynamoGraphDeployment is in progress; empty where none is.

    `update` is the graph's `status.rollingUpdate`, `status` what it says of the component.
    """
    finished = update.get("updatedComponents") or update.get("updatedServices") or ()
    if update.get("phase") in _IN_PROGRESS and component not in finished:
        return f"a rolling update is {update['phase']}"
    return behind(status)


def behind(status: Mapping[str, Any], kept: int = 0, unsaid: int | None = None) -> str:
    """Say how many replicas are not yet of the newest template; empty where all are, or nobody counts them.

    `kept` replicas are not to be replaced. `unsaid` stands for a count that is absent.
    """
    replicas, updated = status.get("replicas"), status.get("updatedReplicas", unsaid)
    if not isinstance(replicas, int) or not isinstance(updated, int):
        return ""
    wanted = replicas - min(kept, replicas)
    return f"{updated} of {wanted} replicas are of the newest template" if updated < wanted else ""
