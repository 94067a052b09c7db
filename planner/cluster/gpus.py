"""Count the GPUs that one replica takes, from the manifests that make its pods."""

from collections.abc import Mapping
from typing import Any

from planner.cluster.scalable import GpuCount

_GPU = "nvidia.com/gpu"
_MIG = "nvidia.com/mig-"
_MAIN = "main"


def of_pod(spec: Mapping[str, Any], only: str | None = None) -> GpuCount:
    """Return the GPUs that a pod of this `spec` takes; of the container `only` where it is named.

    Limits count, as the scheduler takes them. GPUs by claims (DRA) or slices of one (MIG) are not counted:
    how many a claim brings is decided when it is allocated.
    """
    containers = spec.get("containers") or []
    named = [each for each in containers if each.get("name") == only] if only else []
    asked = [(each.get("resources") or {}).get("limits") or {} for each in named or containers]
    found = sum(_count(limits.get(_GPU, 0)) for limits in asked)
    if found:
        return GpuCount(found, f"its pods ask for {found} {_GPU}")
    if any(key.startswith(_MIG) for limits in asked for key in limits):
        return GpuCount(
            None, "its pods ask for slices of a GPU (MIG), which no layout of a profile describes"
        )
    if spec.get("resourceClaims"):
        return GpuCount(None, "its pods get their GPUs by resource claims (DRA), which do not say how many")
    return GpuCount(None, f"no container of its pods asks for {_GPU}")


def of_template(manifest: Mapping[str, Any]) -> GpuCount:
    """Return the GPUs per replica of a Deployment, a StatefulSet, a LeaderWorkerSet or what is like them."""
    spec = manifest.get("spec") or {}
    group = spec.get("leaderWorkerTemplate")
    if isinstance(group, Mapping):
        return _of_group(group)
    template = spec.get("template")
    if not isinstance(template, Mapping) or not isinstance(template.get("spec"), Mapping):
        return GpuCount(None, f"a {manifest.get('kind')} does not say what its pods ask for")
    return of_pod(template["spec"])


def times(one: GpuCount, nodes: int) -> GpuCount:
    """Return the GPUs of a replica that is a pod on each of several nodes."""
    if one.gpus is None or nodes == 1:
        return one
    return GpuCount(one.gpus * nodes, f"{one.why} on each of {nodes} nodes")


def of_component(component: Mapping[str, Any], published: Mapping[str, Any] | None) -> GpuCount:
    """Return the GPUs per replica of a component of a DynamoGraphDeployment, in either of its shapes.

    `published` is the operator's own status of the component while it is current, else `None`.
    """
    if published is not None and isinstance(published.get("gpusPerReplica"), int):
        return GpuCount(published["gpusPerReplica"], "its operator says so")
    nodes = int((component.get("multinode") or {}).get("nodeCount") or 1)
    return times(_of_one(component), nodes)


def main_container(component: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the pod spec of a component, whatever the API version calls it; empty where it has none."""
    template = component.get("podTemplate") or {}
    spec: Mapping[str, Any] = template.get("spec") or component.get("extraPodSpec") or {}
    return spec


def _of_one(component: Mapping[str, Any]) -> GpuCount:
    """Count one pod: the older shape states the GPUs beside the pod, and its main container apart."""
    resources = component.get("resources") or {}
    stated = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    gpus = _count(stated.get("gpu", 0)) or _count(stated.get(_GPU, 0))
    if gpus:
        return GpuCount(gpus, f"its resources state {gpus} GPUs")
    spec = main_container(component)
    main = spec.get("mainContainer")
    return of_pod({**spec, "containers": [main]} if isinstance(main, Mapping) else spec, _MAIN)


def _of_group(group: Mapping[str, Any]) -> GpuCount:
    """Count a LeaderWorkerSet's group: one leader, and `size` less one workers."""
    size = int(group.get("size") or 1)
    worker = of_pod((group.get("workerTemplate") or {}).get("spec") or {})
    if not group.get("leaderTemplate"):
        return times(worker, size)
    leader = of_pod(group["leaderTemplate"].get("spec") or {})
    if leader.gpus is None and worker.gpus is None:
        return worker
    # A leader that only coordinates asks for no GPU, which `of_pod` cannot tell from claims.
    gpus = (leader.gpus or 0) + (size - 1) * (worker.gpus or 0)
    return GpuCount(gpus, f"its leader takes {leader.gpus or 0} GPUs, each worker {worker.gpus or 0}")


def _count(stated: object) -> int:
    """Read a quantity of whole GPUs; what is none counts as 0."""
    try:
        return max(int(str(stated)), 0)
    except ValueError:
        return 0
