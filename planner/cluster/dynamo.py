"""Find a role's component in a DynamoGraphDeployment, in each shape that its API versions gave it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from models.values import Role
from planner.cluster import gpus, rollouts
from planner.cluster.scalable import GpuCount, Lacking, Unresolved

GRAPH = "DynamoGraphDeployment"
ADAPTER = "DynamoGraphDeploymentScalingAdapter"
VERSIONS = ("nvidia.com/v1beta1", "nvidia.com/v1alpha1")

_GRAPH_LABEL = "nvidia.com/dynamo-graph-deployment-name"
_COMPONENT_LABEL = "nvidia.com/dynamo-component"


@dataclass(frozen=True, slots=True)
class Component:
    """Hold one component of a graph: its name, what it is for, and where it stands (RFC 6901).

    `adapted` says whether it states that a scaling adapter owns its replicas; `None` where it says neither,
    and the operator may have made one all the same. `guards` are places of the graph that must hold a value
    for `pointer` to mean this component.
    """

    name: str
    types: frozenset[str]
    pointer: str
    spec: Mapping[str, Any]
    adapted: bool | None
    guards: Mapping[str, Any]

    @property
    def replicas(self) -> int:
        """The replicas that are asked for; a component that names none has one."""
        stated = self.spec.get("replicas")
        return 1 if stated is None else int(stated)


def components(graph: Mapping[str, Any]) -> tuple[Component, ...] | None:
    """Return the components of a graph, read by their shape and not by a version's name; `None`: neither."""
    spec = graph.get("spec") or {}
    if isinstance(spec.get("components"), list):
        return tuple(_listed(spec["components"]))
    if isinstance(spec.get("services"), Mapping):
        return tuple(_named(spec["services"]))
    return None


def component_of(graph: Mapping[str, Any], role: Role, name: str | None) -> Component | Unresolved:
    """Return the component of this name, or, without one, the component whose type is the role's."""
    place = f"{GRAPH} {graph['metadata'].get('namespace', '')}/{graph['metadata']['name']}"
    found = components(graph)
    if found is None:
        return Unresolved(
            Lacking.SHAPE,
            f"{place} ({graph.get('apiVersion')}) has neither spec.components nor spec.services: its shape "
            "is not known here, and nothing in it is counted or changed; name a Scale subresource as target",
        )
    listed = ", ".join(f"{each.name} ({'/'.join(sorted(each.types)) or 'no type'})" for each in found)
    if name is not None:
        for each in found:
            if each.name == name:
                return each
        return Unresolved(
            Lacking.NO_COMPONENT, f"{place} has no component {name}; it has {listed or 'none at all'}"
        )
    wanted = "worker" if role is Role.AGGREGATED else role.value
    fitting = [each for each in found if wanted in each.types and _serves(each, role)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = " and ".join(each.name for each in fitting)
        sentence = f"{place} has {len(fitting)} components of type {wanted}, {names}; name one as `component`"
        return Unresolved(Lacking.AMBIGUOUS, sentence)
    return Unresolved(
        Lacking.NO_COMPONENT,
        f"{place} has no component of type {wanted}; it has {listed or 'none at all'}; name the {role} "
        "component as `component`",
    )


def adapter_name(graph: str, component: str) -> str:
    """Return the name that the operator gives a component's scaling adapter."""
    return f"{graph}-{component.lower()}"


def adapts(adapter: Mapping[str, Any], graph: str, component: str) -> bool:
    """Say whether a scaling adapter is the one of this component; three versions call it differently."""
    reference = (adapter.get("spec") or {}).get("dgdRef") or {}
    names = {reference.get(key) for key in ("componentName", "serviceName", "service")}
    return reference.get("name") == graph and component in names


def status_of(graph: Mapping[str, Any], component: Component) -> Mapping[str, Any]:
    """Return what a graph's status says of a component; empty where nothing is said."""
    status = graph.get("status") or {}
    said = (status.get("components") or status.get("services") or {}).get(component.name)
    return said if isinstance(said, Mapping) else {}


def rolling(graph: Mapping[str, Any], component: Component) -> str:
    """Say why a rollout of a component is in progress; empty where none is."""
    update = (graph.get("status") or {}).get("rollingUpdate") or {}
    return rollouts.of_component(update, component.name, status_of(graph, component))


def gpus_of(graph: Mapping[str, Any], component: Component) -> GpuCount:
    """Return the GPUs per replica; what the operator published counts only while it is of this generation."""
    current = graph["metadata"].get("generation") == (graph.get("status") or {}).get("observedGeneration")
    return gpus.of_component(component.spec, status_of(graph, component) if current else None)


def pods_of(graph: str, component: str) -> str:
    """Return the label selector of a component's pods."""
    return f"{_GRAPH_LABEL}={graph},{_COMPONENT_LABEL}={component}"


def _listed(entries: list[Any]) -> Iterator[Component]:
    for i, entry in enumerate(entries):
        name = str(entry.get("name", ""))
        types = frozenset({entry["type"]} if entry.get("type") else ())
        pointer = f"/spec/components/{i}"
        # A list may be sorted anew between looking and patching.
        guards = {f"{pointer}/name": name}
        yield Component(name, types, pointer, entry, entry.get("scalingAdapter") is not None, guards)


def _named(entries: Mapping[str, Any]) -> Iterator[Component]:
    for name, entry in entries.items():
        types = frozenset(filter(None, (entry.get("componentType"), entry.get("subComponentType"))))
        pointer = f"/spec/services/{name.replace('~', '~0').replace('/', '~1')}"
        adapter = entry.get("scalingAdapter")
        yield Component(name, types, pointer, entry, _opted(adapter), {})


def _opted(adapter: Mapping[str, Any] | None) -> bool | None:
    """Read the older opt-in (`enabled`, off by default) and the opt-out before it (`disable`)."""
    if adapter is None:
        return None
    if "disable" in adapter:
        return not adapter["disable"]
    return bool(adapter.get("enabled"))


def _serves(component: Component, role: Role) -> bool:
    """Say whether a worker is an aggregated one: prefill and decode workers are of that type, too."""
    return role is not Role.AGGREGATED or not component.types & {"prefill", "decode"}
