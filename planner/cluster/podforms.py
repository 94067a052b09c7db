"""Find the pods of one replica in the manifest that makes them, whatever kind of owner that is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planner.cluster import dynamo

GPU = "nvidia.com/gpu"
_MAIN = "main"


@dataclass(frozen=True, slots=True)
class PodForm:
    """Hold one kind of pod that a replica consists of, and where in the owner it is written (RFC 6901).

    `spec` is the pod's, `labels` and `annotations` those of its template. `container` is the one that runs
    the engine, `pointer` where that stands. `gpus` is its limit of GPUs (`None`: it states none), and
    `gpu_places` holds as what that is written, and where. A replica has `pods` of this form; `nodes` is how
    many pods it has in all, at `nodes_pointer` (empty: this kind of owner has one pod per replica, and no
    place to say otherwise), and `states_nodes` whether that is written there.
    """

    spec: Mapping[str, Any]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    container: Mapping[str, Any]
    pointer: str
    gpus: int | None
    gpu_places: Mapping[str, Any]
    pods: int
    nodes: int = 1
    nodes_pointer: str = ""
    states_nodes: bool = True


def pod_forms(manifest: Mapping[str, Any], component: str | None) -> tuple[PodForm, ...] | str:
    """Return the forms of the pods of a replica, the one with the engine first; or why there is none."""
    if component is not None:
        found = next((c for c in dynamo.components(manifest) or () if c.name == component), None)
        if found is None:
            return f"there is no component {component}"
        return _of_component(found.spec, found.pointer)
    spec = manifest.get("spec") or {}
    group = spec.get("leaderWorkerTemplate")
    if isinstance(group, Mapping):
        return _of_group(group)
    template = spec.get("template")
    if not isinstance(template, Mapping):
        return f"a {manifest.get('kind')} does not say what pods it makes (spec.template)"
    return _collected([_of_template(template, "/spec/template", 1)])


def _of_group(group: Mapping[str, Any]) -> tuple[PodForm, ...] | str:
    """Read a LeaderWorkerSet: a leader and `size` less one workers, or `size` pods that are alike."""
    base, size = "/spec/leaderWorkerTemplate", int(group.get("size") or 1)
    places = (size, f"{base}/size", "size" in group)
    worker = group.get("workerTemplate") or {}
    if not group.get("leaderTemplate"):
        return _collected([_of_template(worker, f"{base}/workerTemplate", size, *places)])
    leader = _of_template(group["leaderTemplate"], f"{base}/leaderTemplate", 1, *places)
    return _collected([leader, _of_template(worker, f"{base}/workerTemplate", size - 1, *places)])


def _of_component(spec: Mapping[str, Any], pointer: str) -> tuple[PodForm, ...] | str:
    """Read a component of a graph; the older shape holds the main container, and GPUs, apart from the pod."""
    nodes = int((spec.get("multinode") or {}).get("nodeCount") or 1)
    where = (f"{pointer}/multinode/nodeCount", "nodeCount" in (spec.get("multinode") or {}))
    if "podTemplate" in spec:
        return _collected([_of_template(spec["podTemplate"], f"{pointer}/podTemplate", nodes, nodes, *where)])
    pod = dict(spec.get("extraPodSpec") or {})
    container = pod.pop("mainContainer", None) or {}
    places: Mapping[str, Any] = {
        f"{pointer}/resources/{part}/{key.replace('/', '~1')}": value
        for part in ("limits", "requests")
        for key, value in ((spec.get("resources") or {}).get(part) or {}).items()
        if key in ("gpu", GPU)
    }
    gpus = next((_whole(value) for value in places.values()), None)
    if not places:
        gpus, places = _limit(container, f"{pointer}/extraPodSpec/mainContainer")
    made = PodForm(
        {**pod, "containers": [container, *(pod.get("containers") or ())]},
        spec.get("labels") or {},
        spec.get("annotations") or {},
        container,
        f"{pointer}/extraPodSpec/mainContainer",
        gpus,
        places,
        nodes,
        nodes,
        *where,
    )
    return (made,)


def _of_template(
    template: Mapping[str, Any],
    pointer: str,
    pods: int,
    nodes: int = 1,
    nodes_pointer: str = "",
    states_nodes: bool = True,
) -> PodForm | str:
    spec = template.get("spec") or {}
    metadata = template.get("metadata") or {}
    containers: Sequence[Mapping[str, Any]] = spec.get("containers") or ()
    index = _engine(containers)
    if index is None and not containers:
        return "its pods have no container"
    if index is None:
        return (
            f"its pods have {len(containers)} containers, and which of them runs the engine is not told: "
            f"none is named {_MAIN}, and not just one asks for {GPU}"
        )
    where = f"{pointer}/spec/containers/{index}"
    gpus, places = _limit(containers[index], where)
    return PodForm(
        spec,
        metadata.get("labels") or {},
        metadata.get("annotations") or {},
        containers[index],
        where,
        gpus,
        places,
        pods,
        nodes,
        nodes_pointer,
        states_nodes,
    )


def _engine(containers: Sequence[Mapping[str, Any]]) -> int | None:
    """Return which container runs the engine: the only one, the only one with GPUs, or the one named main."""
    if len(containers) == 1:
        return 0
    asking = [i for i, each in enumerate(containers) if _limit(each, "")[0] is not None]
    if len(asking) == 1:
        return asking[0]
    return next((i for i, each in enumerate(containers) if each.get("name") == _MAIN), None)


def _limit(container: Mapping[str, Any], pointer: str) -> tuple[int | None, Mapping[str, Any]]:
    """Return the limit of GPUs of a container, and every place where it stands, as it is written."""
    resources = container.get("resources") or {}
    escaped = GPU.replace("/", "~1")
    places = {
        f"{pointer}/resources/{part}/{escaped}": resources[part][GPU]
        for part in ("limits", "requests")
        if GPU in (resources.get(part) or {})
    }
    limit = (resources.get("limits") or {}).get(GPU)
    return (None, {}) if limit is None else (_whole(limit), places)


def _collected(found: Sequence[PodForm | str]) -> tuple[PodForm, ...] | str:
    said = next((each for each in found if isinstance(each, str)), None)
    return said if said is not None else tuple(_forms(found))


def _forms(found: Sequence[PodForm | str]) -> Iterator[PodForm]:
    for each in found:
        if not isinstance(each, str) and each.pods > 0:
            yield each


def _whole(stated: object) -> int | None:
    """Read a quantity of whole GPUs; what is none is not known."""
    text = str(stated)
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None
