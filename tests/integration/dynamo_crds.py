"""Define the custom kinds whose replicas are scaled, with the fields that matter, and make their objects."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.integration.kube_cluster import Cluster

DYNAMO = "nvidia.com"
BETA, ALPHA = f"{DYNAMO}/v1beta1", f"{DYNAMO}/v1alpha1"
LWS = "leaderworkerset.x-k8s.io/v1"
OWN = "pools.headgate.io/v1"
"""A kind of somebody's own: `Fleet`, whose Scale reads `spec.size`."""

Object = dict[str, Any]
_INT, _TEXT = {"type": "integer"}, {"type": "string"}
_ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def install(cluster: Cluster) -> None:
    """Serve all kinds; they may be there already."""
    for definition in (graphs(), adapters(), leader_worker_sets(), fleets()):
        cluster.make_definition(definition)


def graphs() -> Object:
    """Define DynamoGraphDeployment in both versions; nothing converts, so each object has one shape."""
    component = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": _TEXT, "type": _TEXT, "replicas": {**_INT, "minimum": 0}},
        "x-kubernetes-preserve-unknown-fields": True,
    }
    listed = {"type": "array", "items": component, **_map_by("name")}
    service = {
        "type": "object",
        "properties": {"replicas": {**_INT, "minimum": 0}},
        "x-kubernetes-preserve-unknown-fields": True,
    }
    properties = {"components": listed, "services": {"type": "object", "additionalProperties": service}}
    spec = {"type": "object", "properties": properties, "x-kubernetes-preserve-unknown-fields": True}
    return _definition(
        DYNAMO, "DynamoGraphDeployment", "dynamographdeployments", spec, ["v1beta1", "v1alpha1"], {}
    )


def adapters() -> Object:
    """Define DynamoGraphDeploymentScalingAdapter in both versions."""
    spec = {
        "type": "object",
        "required": ["replicas", "dgdRef"],
        "properties": {"replicas": {**_INT, "minimum": 0}, "dgdRef": _ANY},
    }
    kind, plural = "DynamoGraphDeploymentScalingAdapter", "dynamographdeploymentscalingadapters"
    scale = _scale(".spec.replicas", ".status.selector")
    return _definition(DYNAMO, kind, plural, spec, ["v1beta1", "v1alpha1"], scale)


def leader_worker_sets() -> Object:
    """Define LeaderWorkerSet."""
    template = {
        "type": "object",
        "properties": {"size": _INT, "workerTemplate": _ANY, "leaderTemplate": _ANY},
    }
    spec = {"type": "object", "properties": {"replicas": _INT, "leaderWorkerTemplate": template}}
    group, version = LWS.split("/")
    scale = _scale(".spec.replicas", ".status.hpaPodSelector")
    return _definition(group, "LeaderWorkerSet", "leaderworkersets", spec, [version], scale)


def fleets() -> Object:
    """Define a kind of somebody's own, whose replicas stand elsewhere than usual."""
    group, version = OWN.split("/")
    spec = {"type": "object", "properties": {"size": _INT, "template": _ANY}}
    return _definition(group, "Fleet", "fleets", spec, [version], _scale(".spec.size", ".status.selector"))


def graph(name: str, components: Sequence[Mapping[str, Any]]) -> Object:
    """Make a DynamoGraphDeployment as v1beta1 writes it."""
    return _object(BETA, "DynamoGraphDeployment", name, {"components": [dict(each) for each in components]})


def old_graph(name: str, services: Mapping[str, Mapping[str, Any]]) -> Object:
    """Make a DynamoGraphDeployment as v1alpha1 writes it."""
    return _object(ALPHA, "DynamoGraphDeployment", name, {"services": dict(services)})


def component(name: str, kind: str, replicas: int, gpus: int = 1, **more: object) -> Object:
    """Make a component of v1beta1 whose main container takes GPUs; `more` adds or replaces fields."""
    spec = {"containers": [container("main", gpus)]}
    made = {"name": name, "type": kind, "replicas": replicas, "podTemplate": {"spec": spec}}
    return {**made, **more}


def adapter(graph_name: str, component_name: str, replicas: int, key: str = "componentName") -> Object:
    """Make the scaling adapter of a component, under the name that the operator gives it."""
    reference = {"name": graph_name, key: component_name}
    version = BETA if key == "componentName" else ALPHA
    name = f"{graph_name}-{component_name.lower()}"
    kind = "DynamoGraphDeploymentScalingAdapter"
    return _object(version, kind, name, {"replicas": replicas, "dgdRef": reference})


def leader_worker_set(name: str, replicas: int, size: int, gpus: int) -> Object:
    """Make a LeaderWorkerSet whose leader is a worker like the others."""
    template = {"size": size, "workerTemplate": {"spec": {"containers": [container("worker", gpus)]}}}
    return _object(LWS, "LeaderWorkerSet", name, {"replicas": replicas, "leaderWorkerTemplate": template})


def fleet(name: str, replicas: int) -> Object:
    """Make a Fleet; nothing in it says how many GPUs a replica takes."""
    return _object(OWN, "Fleet", name, {"size": replicas})


def workload(kind: str, name: str, replicas: int, gpus: int = 1) -> Object:
    """Make a Deployment or a StatefulSet."""
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container("engine", gpus)]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
    return _object("apps/v1", kind, name, spec | ({"serviceName": name} if kind == "StatefulSet" else {}))


def container(name: str, gpus: int) -> Object:
    """Make a container that takes GPUs."""
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {"name": name, "image": "engine:1", "resources": {"limits": limits}}


_PLURALS = {
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "LeaderWorkerSet": "leaderworkersets",
    "Fleet": "fleets",
    "DynamoGraphDeployment": "dynamographdeployments",
    "DynamoGraphDeploymentScalingAdapter": "dynamographdeploymentscalingadapters",
}


def path(namespace: str, api_version: str, kind: str, name: str = "") -> str:
    """Return the path of an object of one of these kinds, or of all of them in a namespace."""
    return f"/apis/{api_version}/namespaces/{namespace}/{_PLURALS[kind]}" + (f"/{name}" if name else "")


def create(cluster: Cluster, namespace: str, manifest: Object) -> Object:
    """Create an object as the cluster's administrator and return it as it is kept."""
    where = path(namespace, manifest["apiVersion"], manifest["kind"])
    made: Object = cluster.request("POST", where, manifest)
    return made


def _object(api_version: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _map_by(key: str) -> Object:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def _scale(replicas: str, selector: str) -> Object:
    return {
        "scale": {
            "specReplicasPath": replicas,
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": selector,
        }
    }


def _definition(
    group: str, kind: str, plural: str, spec: Object, versions: Sequence[str], subresources: Object
) -> Object:
    status = {**_ANY, "properties": {"replicas": _INT, "selector": _TEXT, "hpaPodSelector": _TEXT}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == versions[0],
                    "schema": schema,
                    "subresources": {"status": {}, **subresources},
                }
                for version in versions
            ],
        },
    }
