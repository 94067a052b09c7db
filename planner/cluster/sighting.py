"""Look at one role's pool in a cluster: its owner, its pods, what was said of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from models.errors import ClusterError
from models.observation import Gap, PoolState
from models.target import ObjectRef, PoolTarget
from models.values import Role
from planner.cluster import dynamo, owners
from planner.cluster.api import Manifest, Reader
from planner.cluster.census import census, size_of
from planner.cluster.pauses import pauses
from planner.cluster.scalable import Lacking, Scalable, Unresolved
from planner.cluster.selectors import matches

POD, EVENT = ("v1", "Pod"), ("v1", "Event")
FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Sighting:
    """Hold what was seen of a role: whose replicas they are, how many, and what could not be read besides."""

    scalable: Scalable
    pool: PoolState
    gaps: tuple[Gap, ...] = ()


def sight(cluster: Reader, role: Role, target: PoolTarget, now_s: float) -> Sighting | Unresolved:
    """Return a role's pool at `now_s` (Unix seconds); a target that cannot be counted is a value.

    Raises ClusterError where the server refuses or does not answer. Events only explain: without them
    counts are the same, and a Gap says so.
    """
    scalable = owners.resolve(cluster, role, target)
    if isinstance(scalable, Unresolved):
        return scalable
    owner = _read(cluster, scalable.owner)
    if owner is None:
        return Unresolved(Lacking.ABSENT, f"{scalable.owner} was deleted while it was being read")
    part = _component(cluster, role, owner, scalable)
    events, gaps = _events(cluster, scalable.owner.namespace, role)
    pods = _pods(cluster, scalable, part)
    if pods == [] and _says_ready(scalable):
        return Unresolved(
            Lacking.SHAPE,
            f"{scalable} says that {_says_ready(scalable)} replicas are ready, and no pod in "
            f"{scalable.owner.namespace} has the labels {' or '.join(_selectors(scalable, part))}; state "
            "`target.pods`, the labels of the pool's pods",
        )
    if part is not None:
        scalable = replace(scalable, rolling=scalable.rolling or part.rolling)
    size = size_of(owner, None if part is None else part.component.spec)
    said = pauses(scalable.annotations, scalable.component, role)
    return Sighting(scalable, census(scalable, owner, pods, events, said, size, now_s), gaps)


@dataclass(frozen=True, slots=True)
class _Part:
    """A component of a graph, whichever object names it."""

    graph: str
    component: dynamo.Component
    rolling: str


def _component(cluster: Reader, role: Role, owner: Manifest, scalable: Scalable) -> _Part | None:
    """Return the Dynamo component that is scaled, also where the target is its adapter."""
    graph: Manifest | None = owner if scalable.owner.kind == dynamo.GRAPH else None
    name = scalable.component
    if scalable.owner.kind == dynamo.ADAPTER:
        said = (owner.get("spec") or {}).get("dgdRef") or {}
        name = next((said[key] for key in ("componentName", "serviceName", "service") if key in said), None)
        versions = dict.fromkeys((scalable.owner.api_version, *dynamo.VERSIONS))
        references = (
            ObjectRef(v, dynamo.GRAPH, str(said.get("name")), scalable.owner.namespace) for v in versions
        )
        graph = next(filter(None, (_read(cluster, each) for each in references)), None)
    if graph is None or name is None:
        return None
    component = dynamo.component_of(graph, role, name)
    if isinstance(component, Unresolved):
        return None
    return _Part(graph["metadata"]["name"], component, dynamo.rolling(graph, component))


def _selectors(scalable: Scalable, part: _Part | None) -> list[str]:
    """Return the label selectors that may select a role's pods, the surest first."""
    if scalable.target.pods:
        return [scalable.target.pods]
    found = []
    if part is not None:
        found.append(dynamo.pods_of(part.graph, part.component.name))
    if scalable.owner.kind == "LeaderWorkerSet":
        # Its Scale selects the leaders alone.
        found.append(f"leaderworkerset.sigs.k8s.io/name={scalable.owner.name}")
    return [*found, *([scalable.pods] if scalable.pods and scalable.pods not in found else [])]


def _pods(cluster: Reader, scalable: Scalable, part: _Part | None) -> list[Manifest] | None:
    """Return the pods of a role; `None` where nothing says which they are."""
    selectors = _selectors(scalable, part)
    if not selectors:
        return None
    every = cluster.find(*POD, scalable.owner.namespace)
    chosen = ([pod for pod in every if matches(_labels(pod), each)] for each in selectors)
    return next(filter(None, chosen), [])


def _says_ready(scalable: Scalable) -> int:
    said = scalable.status.get("readyReplicas") or 0
    return said if isinstance(said, int) else 0


def _events(cluster: Reader, namespace: str, role: Role) -> tuple[Sequence[Manifest], tuple[Gap, ...]]:
    try:
        return cluster.find(*EVENT, namespace), ()
    except ClusterError as error:
        if error.status != FORBIDDEN:
            raise
        lost = f"Events of {namespace} may not be read: why a pod does not start is told by its status alone"
        return (), (Gap(f"events of {role}", lost),)


def _labels(pod: Manifest) -> dict[str, str]:
    return pod["metadata"].get("labels") or {}


def _read(cluster: Reader, of: ObjectRef) -> Manifest | None:
    return cluster.get(of.api_version, of.kind, of.name, of.namespace)


def kinds_read(targets: Iterable[PoolTarget]) -> set[tuple[str, str, str]]:
    """Return the API versions, kinds and namespaces that looking at targets lists and watches."""
    found = set()
    for target in targets:
        namespace = target.owner.namespace
        found |= {(*POD, namespace), (*EVENT, namespace)}
        found.add((target.owner.api_version, target.owner.kind, namespace))
        if target.owner.kind in (dynamo.GRAPH, dynamo.ADAPTER):
            found |= {(target.owner.api_version, kind, namespace) for kind in (dynamo.GRAPH, dynamo.ADAPTER)}
    return found
