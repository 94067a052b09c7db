"""Find what is really scaled for a role: the owner that a target names, never one of its children."""

import re
from collections.abc import Mapping
from typing import Any

from models.target import ObjectRef, PoolTarget
from models.values import Role
from planner.cluster import dynamo, gpus, rollouts
from planner.cluster.api import Manifest, Reader
from planner.cluster.dynamo import ADAPTER, GRAPH, Component
from planner.cluster.scalable import SCALE, Change, Found, Lacking, Scalable, Unresolved


def resolve(cluster: Reader, role: Role, target: PoolTarget) -> Found:
    """Return what is scaled for a role, as the server holds it now; a target that cannot be is a value.

    Asks for the owner and its Scale; for a Dynamo component for its graph, its adapter and the adapter's
    Scale. Raises ClusterError where the server refuses (403 among them) or does not answer.
    """
    owner = read_owner(cluster, target.owner)
    if owner is None:
        return Unresolved(
            Lacking.ABSENT,
            f"there is no {target.owner} of {target.owner.api_version}, or its CRD is not there",
        )
    # Who made it puts back what it was told itself; Dynamo's own two are the ones to speak to.
    above = None if target.owner.kind in (GRAPH, ADAPTER) else _controller(owner)
    if above is not None:
        return Unresolved(
            Lacking.OWNED,
            f"{target.owner} belongs to {above}, which would undo a change of it; name {above} as the target",
        )
    if target.owner.kind == GRAPH:
        return _component(cluster, role, target, owner)
    if target.component is not None:
        return Unresolved(
            Lacking.NO_COMPONENT, f"{target.owner} has no component {target.component}: it is no {GRAPH}"
        )
    scale = _scale(cluster, target.owner)
    if scale is None:
        return Unresolved(
            Lacking.NO_SCALE,
            f"{target.owner} has no Scale subresource, so nothing says where its replicas stand; name what "
            "owns the replicas",
        )
    return Scalable(
        **_of_scale(scale, target.owner),
        **_of_owner(owner, target.owner),
        role=role,
        target=target,
        gpus=gpus.of_template(owner),
        annotations=_annotations(owner),
        pods=target.pods or _selector(scale, owner),
        status=owner.get("status") or {},
        rolling=rollouts.rolling(owner),
        changed=_last_change(owner, "/spec/replicas"),
    )


def _component(cluster: Reader, role: Role, target: PoolTarget, graph: Manifest) -> Found:
    component = dynamo.component_of(graph, role, target.component)
    if isinstance(component, Unresolved):
        return component
    owner = _reference(graph)
    adapter = _adapter(cluster, owner, component)
    if isinstance(adapter, Unresolved):
        return adapter
    scaled: dict[str, Any]
    pods = dynamo.pods_of(owner.name, component.name)
    if adapter is None:
        pointer = f"{component.pointer}/replicas"
        metadata = graph["metadata"]
        scaled = {
            "scaled": owner,
            "subresource": "",
            "pointer": pointer,
            "desired": component.replicas,
            "uid": metadata["uid"],
            "resource_version": metadata["resourceVersion"],
            "guards": component.guards,
            "changed": _last_change(graph, pointer),
        }
    else:
        of = _reference(adapter)
        scale = _scale(cluster, of)
        if scale is None:
            return Unresolved(Lacking.NO_SCALE, f"{of} has no Scale subresource: is its CRD an old one?")
        scaled = {**_of_scale(scale, of), "changed": _last_change(adapter, "/spec/replicas")}
        pods = (scale.get("status") or {}).get("selector") or pods
    return Scalable(
        **scaled,
        **_of_owner(graph, owner),
        role=role,
        target=target,
        gpus=dynamo.gpus_of(graph, component),
        annotations={**_annotations(graph), **_annotations(adapter or {})},
        pods=target.pods or pods,
        component=component.name,
        status=dynamo.status_of(graph, component),
        rolling=dynamo.rolling(graph, component),
    )


def _adapter(cluster: Reader, graph: ObjectRef, component: Component) -> Manifest | Unresolved | None:
    """Return a component's scaling adapter; `None` where it has none and the graph holds its replicas."""
    if component.adapted is False:
        return None
    name = dynamo.adapter_name(graph.name, component.name)
    for version in _versions(graph.api_version):
        found = cluster.get(version, ADAPTER, name, graph.namespace)
        if found is None:
            continue
        if not dynamo.adapts(found, graph.name, component.name):
            said = (found.get("spec") or {}).get("dgdRef")
            return Unresolved(
                Lacking.NO_ADAPTER,
                f"{_reference(found)} is not of component {component.name}: its dgdRef is {said}",
            )
        return found
    if component.adapted is None:
        return None
    return Unresolved(
        Lacking.NO_ADAPTER,
        f"component {component.name} of {graph} leaves its replicas to {ADAPTER} {name}, and that is not "
        "there: a change of the graph would be undone; does the operator run?",
    )


def read_owner(cluster: Reader, of: ObjectRef) -> Manifest | None:
    """Read an owner; of Dynamo's kinds in an older or newer version where the stated one does not answer."""
    versions = _versions(of.api_version) if of.kind in (GRAPH, ADAPTER) else (of.api_version,)
    for version in versions:
        found = cluster.get(version, of.kind, of.name, of.namespace)
        if found is not None:
            return found
    return None


def _versions(first: str) -> tuple[str, ...]:
    return (first, *(version for version in dynamo.VERSIONS if version != first))


def _scale(cluster: Reader, of: ObjectRef) -> Manifest | None:
    return cluster.get(of.api_version, of.kind, of.name, of.namespace, SCALE)


def _of_scale(scale: Manifest, of: ObjectRef) -> dict[str, Any]:
    metadata = scale["metadata"]
    return {
        "scaled": of,
        "subresource": SCALE,
        "pointer": "/spec/replicas",
        # Zero is left out of a Scale.
        "desired": int((scale.get("spec") or {}).get("replicas") or 0),
        "uid": metadata["uid"],
        "resource_version": metadata["resourceVersion"],
    }


def _of_owner(owner: Manifest, of: ObjectRef) -> dict[str, Any]:
    metadata = owner["metadata"]
    observed = (owner.get("status") or {}).get("observedGeneration")
    return {
        "owner": of,
        "owner_uid": metadata["uid"],
        "owner_version": metadata["resourceVersion"],
        "generation": int(metadata.get("generation") or 0),
        "observed_generation": None if observed is None else int(observed),
    }


def _annotations(manifest: Mapping[str, Any]) -> dict[str, str]:
    return dict((manifest.get("metadata") or {}).get("annotations") or {})


def _reference(manifest: Manifest) -> ObjectRef:
    metadata = manifest["metadata"]
    return ObjectRef(
        manifest["apiVersion"], manifest["kind"], metadata["name"], metadata.get("namespace", "")
    )


def _controller(manifest: Manifest) -> ObjectRef | None:
    """Return the object that controls another, as its owner references say."""
    metadata = manifest["metadata"]
    for each in metadata.get("ownerReferences") or ():
        if each.get("controller"):
            return ObjectRef(each["apiVersion"], each["kind"], each["name"], metadata.get("namespace", ""))
    return None


def _selector(scale: Manifest, owner: Manifest) -> str:
    """Return the selector of a Scale as text, or that of an owner that states its labels."""
    status = scale.get("status") or {}
    said = status.get("selector") or ""
    if isinstance(said, str) and said:
        return said
    labels = ((owner.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _last_change(manifest: Manifest, pointer: str) -> Change | None:
    """Return who last set a field; `None` where the server does not keep it (through Scale before 1.22)."""
    keys = [re.sub("~1", "/", part).replace("~0", "~") for part in pointer.strip("/").split("/")]
    holders = [
        Change(str(each.get("manager", "")), str(each.get("time", "")))
        for each in manifest["metadata"].get("managedFields") or ()
        if _holds(each.get("fieldsV1") or {}, keys, manifest)
    ]
    return max(holders, key=lambda change: change.at, default=None)


def _holds(fields: Mapping[str, Any], keys: list[str], value: Any) -> bool:
    """Say whether a set of managed fields holds the field; entries of a list go by their name or index."""
    for key in keys:
        if isinstance(value, list):
            value = value[int(key)]
            name = value.get("name") if isinstance(value, Mapping) else None
            step = next((each for each in (f'k:{{"name":"{name}"}}', f"i:{key}") if each in fields), None)
        else:
            value = value.get(key) if isinstance(value, Mapping) else None
            step = f"f:{key}" if f"f:{key}" in fields else None
        if step is None:
            return False
        fields = fields[step]
    return True
