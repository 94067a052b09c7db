"""Find the nodes of an agent pool on which nothing runs that somebody would miss."""

from collections.abc import Mapping
from typing import Any

from planner.cluster.api import Cluster

POOL_LABEL = "kubernetes.azure.com/agentpool"
_MIRROR = "kubernetes.io/config.mirror"
_ENDED = frozenset({"Succeeded", "Failed"})


def empty_nodes(cluster: Cluster, pool: str) -> list[str]:
    """Return the pool's nodes that hold only pods of DaemonSets, static pods and ended ones; newest first.

    A pod of any namespace keeps its node. Raises ClusterError where nodes or pods may not be listed.
    """
    nodes = cluster.find("v1", "Node", "", f"{POOL_LABEL}={pool}")
    if not nodes:
        return []
    busy = {
        (pod.get("spec") or {}).get("nodeName") for pod in cluster.find("v1", "Pod", "") if _is_missed(pod)
    }
    free = [node["metadata"] for node in nodes if node["metadata"]["name"] not in busy]
    newest = sorted(free, key=lambda each: (each.get("creationTimestamp", ""), each["name"]), reverse=True)
    return [each["name"] for each in newest]


def _is_missed(pod: Mapping[str, Any]) -> bool:
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences") or ()
    if any(each.get("kind") == "DaemonSet" and each.get("controller") for each in owners):
        return False
    if _MIRROR in (metadata.get("annotations") or {}):
        return False
    return (pod.get("status") or {}).get("phase") not in _ENDED
