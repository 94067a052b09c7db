"""What is scaled for a role is found in a real API server, whatever kind of object holds the replicas."""

from typing import Any

import pytest

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.target import ObjectRef, PoolTarget
from models.values import Role
from planner.cluster.owners import resolve
from planner.cluster.scalable import Found, Lacking, Scalable, Unresolved
from tests.integration import dynamo_crds as crds
from tests.integration.kube_cluster import Cluster

pytestmark = pytest.mark.integration
GRAPH = "DynamoGraphDeployment"


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    crds.install(cluster)
    return cluster.make_namespace()


@pytest.fixture
def asked(cluster: Cluster) -> KubernetesCluster:
    return KubernetesCluster(kubernetes_access(cluster.kubeconfig))


def found(
    asked: KubernetesCluster,
    namespace: str,
    manifest: dict[str, Any],
    role: Role = Role.DECODE,
    component: str | None = None,
) -> Found:
    name = manifest["metadata"]["name"]
    owner = ObjectRef(manifest["apiVersion"], manifest["kind"], name, namespace)
    return resolve(asked, role, PoolTarget(owner, component))


def scalable(outcome: Found) -> Scalable:
    assert isinstance(outcome, Scalable), outcome
    return outcome


def refused(outcome: Found) -> Unresolved:
    assert isinstance(outcome, Unresolved), outcome
    return outcome


@pytest.mark.parametrize(
    ("manifest", "gpus"),
    [
        (crds.workload("Deployment", "pool", 3, gpus=4), 4),
        (crds.workload("StatefulSet", "pool", 3, gpus=2), 2),
        (crds.leader_worker_set("pool", 3, size=8, gpus=4), 32),
        (crds.fleet("pool", 3), None),
        (crds.adapter("chat", "Decode", 3), None),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_a_plain_kind_is_scaled_through_its_scale_subresource(
    cluster: Cluster, namespace: str, asked: KubernetesCluster, manifest: dict[str, Any], gpus: int | None
) -> None:
    made = crds.create(cluster, namespace, manifest)

    pool = scalable(found(asked, namespace, manifest))

    assert (pool.subresource, pool.desired, pool.gpus.gpus) == ("scale", 3, gpus)
    assert pool.uid == pool.owner_uid == made["metadata"]["uid"]
    assert pool.resource_version == made["metadata"]["resourceVersion"]
    if manifest["kind"] == "Deployment":
        assert pool.pods == "app=pool"


def test_a_component_is_scaled_through_its_adapter_where_it_has_one(
    cluster: Cluster, namespace: str, asked: KubernetesCluster
) -> None:
    component = crds.component("DecodeWorker", "decode", 2, gpus=4, scalingAdapter={})
    graph = crds.graph("chat", [component | {"multinode": {"nodeCount": 2}}])
    graph["metadata"]["annotations"] = {"headgate.io/paused": "true"}
    made = crds.create(cluster, namespace, graph)

    early = refused(found(asked, namespace, graph))
    assert early.reason is Lacking.NO_ADAPTER
    assert "chat-decodeworker" in early.sentence

    adapter = crds.create(cluster, namespace, crds.adapter("chat", "DecodeWorker", 5))
    pool = scalable(found(asked, namespace, graph))

    assert (pool.scaled.name, pool.subresource, pool.desired) == ("chat-decodeworker", "scale", 5)
    assert (pool.uid, pool.owner_uid) == (adapter["metadata"]["uid"], made["metadata"]["uid"])
    assert pool.gpus.gpus == 8
    assert pool.annotations == {"headgate.io/paused": "true"}
    assert pool.pods == (
        "nvidia.com/dynamo-graph-deployment-name=chat,nvidia.com/dynamo-component=DecodeWorker"
    )


def test_an_adapter_of_that_name_which_serves_another_component_is_refused(
    cluster: Cluster, namespace: str, asked: KubernetesCluster
) -> None:
    graph = crds.graph("a", [crds.component("b-c", "decode", 2, scalingAdapter={})])
    crds.create(cluster, namespace, graph)
    other = crds.adapter("a-b", "c", 2)
    assert other["metadata"]["name"] == "a-b-c"
    crds.create(cluster, namespace, other)

    assert refused(found(asked, namespace, graph)).reason is Lacking.NO_ADAPTER


@pytest.mark.parametrize("key", ["serviceName", "service"])
def test_the_adapter_of_an_older_api_is_found(
    cluster: Cluster, namespace: str, asked: KubernetesCluster, key: str
) -> None:
    services = {"Decode": {"componentType": "worker", "subComponentType": "decode", "replicas": 2}}
    graph = crds.old_graph("chat", services)
    crds.create(cluster, namespace, graph)
    crds.create(cluster, namespace, crds.adapter("chat", "Decode", 7, key=key))

    pool = scalable(found(asked, namespace, graph))

    assert (pool.scaled.kind, pool.desired) == ("DynamoGraphDeploymentScalingAdapter", 7)


@pytest.mark.parametrize("component", [None, "Decode"])
def test_a_component_without_an_adapter_is_scaled_in_its_graph(
    cluster: Cluster, namespace: str, asked: KubernetesCluster, component: str | None
) -> None:
    graph = crds.graph(
        "chat",
        [
            crds.component("Frontend", "frontend", 1, gpus=0),
            crds.component("Prefill", "prefill", 4),
            crds.component("Decode", "decode", 2, gpus=4),
        ],
    )
    crds.create(cluster, namespace, graph)

    pool = scalable(found(asked, namespace, graph, component=component))

    assert (pool.pointer, pool.desired, pool.gpus.gpus) == ("/spec/components/2/replicas", 2, 4)
    assert pool.guards == {"/spec/components/2/name": "Decode"}
    assert (pool.subresource, pool.scaled) == ("", pool.owner)


def test_a_service_of_the_older_api_is_scaled_in_its_graph(
    cluster: Cluster, namespace: str, asked: KubernetesCluster
) -> None:
    services: dict[str, dict[str, Any]] = {
        "Frontend": {"componentType": "frontend", "replicas": 1},
        "Prefill": {"componentType": "worker", "subComponentType": "prefill", "replicas": 4},
        "Decode": {
            "componentType": "worker",
            "subComponentType": "decode",
            "multinode": {"nodeCount": 2},
            "resources": {"limits": {"gpu": "4"}},
        },
    }
    graph = crds.old_graph("chat", services)
    crds.create(cluster, namespace, graph)

    pool = scalable(found(asked, namespace, graph))

    assert (pool.pointer, pool.desired, pool.gpus.gpus) == ("/spec/services/Decode/replicas", 1, 8)
    assert pool.owner.api_version == crds.ALPHA


def test_published_gpus_count_only_while_the_operator_has_seen_this_generation(
    cluster: Cluster, namespace: str, asked: KubernetesCluster
) -> None:
    graph = crds.graph("chat", [crds.component("Decode", "decode", 2, gpus=4)])
    made = crds.create(cluster, namespace, graph)
    where = crds.path(namespace, crds.BETA, GRAPH, "chat")
    for observed, gpus in ((made["metadata"]["generation"], 16), (0, 4)):
        published = {"components": {"Decode": {"gpusPerReplica": 16}}, "observedGeneration": observed}
        merge = "application/merge-patch+json"
        cluster.request("PATCH", f"{where}/status", {"status": published}, merge)

        assert scalable(found(asked, namespace, graph)).gpus.gpus == gpus


def test_gpus_by_claims_are_unknown_and_said_to_be(
    cluster: Cluster, namespace: str, asked: KubernetesCluster
) -> None:
    component = crds.component("Decode", "decode", 2, gpus=0)
    component["podTemplate"]["spec"]["resourceClaims"] = [{"name": "gpus"}]
    graph = crds.graph("chat", [component])
    crds.create(cluster, namespace, graph)

    count = scalable(found(asked, namespace, graph)).gpus

    assert count.gpus is None
    assert "resource claims" in count.why


def test_a_child_is_refused_with_the_name_of_its_owner(
    cluster: Cluster, namespace: str, asked: KubernetesCluster
) -> None:
    graph = crds.create(cluster, namespace, crds.graph("chat", [crds.component("Decode", "decode", 2)]))
    child = crds.workload("Deployment", "chat-decode", 2)
    reference = {"apiVersion": crds.BETA, "kind": GRAPH, "name": "chat", "uid": graph["metadata"]["uid"]}
    child["metadata"]["ownerReferences"] = [{**reference, "controller": True}]
    crds.create(cluster, namespace, child)

    outcome = refused(found(asked, namespace, child))

    assert outcome.reason is Lacking.OWNED
    assert f"{GRAPH} {namespace}/chat" in outcome.sentence


@pytest.mark.parametrize(
    ("types", "role", "reason", "said"),
    [
        (["decode", "decode"], Role.DECODE, Lacking.AMBIGUOUS, "c0 and c1"),
        (["frontend", "prefill"], Role.DECODE, Lacking.NO_COMPONENT, "c0 (frontend), c1 (prefill)"),
        (["prefill", "worker", "worker"], Role.AGGREGATED, Lacking.AMBIGUOUS, "c1 and c2"),
    ],
)
def test_a_component_that_cannot_be_told_by_its_type_is_asked_for(
    cluster: Cluster,
    namespace: str,
    asked: KubernetesCluster,
    types: list[str],
    role: Role,
    reason: Lacking,
    said: str,
) -> None:
    graph = crds.graph("chat", [crds.component(f"c{i}", kind, 1) for i, kind in enumerate(types)])
    crds.create(cluster, namespace, graph)

    outcome = refused(found(asked, namespace, graph, role))

    assert outcome.reason is reason
    assert said in outcome.sentence


def test_a_graph_of_a_shape_that_nobody_knows_is_refused(
    cluster: Cluster, namespace: str, asked: KubernetesCluster
) -> None:
    graph = crds.graph("chat", [])
    graph["spec"] = {"pools": {"decode": {"replicas": 2}}}
    crds.create(cluster, namespace, graph)

    assert refused(found(asked, namespace, graph)).reason is Lacking.SHAPE


@pytest.mark.parametrize("kind", ["Deployment", "Nonesuch"])
def test_what_is_not_there_is_absent(namespace: str, asked: KubernetesCluster, kind: str) -> None:
    owner = ObjectRef("apps/v1", kind, "pool", namespace)
    assert refused(resolve(asked, Role.DECODE, PoolTarget(owner))).reason is Lacking.ABSENT


def test_a_kind_without_a_scale_subresource_is_refused(
    cluster: Cluster, namespace: str, asked: KubernetesCluster
) -> None:
    cluster.request(
        "POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "pool"}, "data": {}}
    )
    owner = ObjectRef("v1", "ConfigMap", "pool", namespace)
    assert refused(resolve(asked, Role.DECODE, PoolTarget(owner))).reason is Lacking.NO_SCALE


def test_who_changed_a_graph_last_is_named(
    cluster: Cluster, namespace: str, asked: KubernetesCluster
) -> None:
    graph = crds.graph("chat", [crds.component("Decode", "decode", 2)])
    crds.create(cluster, namespace, graph)
    where = crds.path(namespace, crds.BETA, GRAPH, "chat")
    change = [{"op": "replace", "path": "/spec/components/0/replicas", "value": 4}]
    cluster.request("PATCH", f"{where}?fieldManager=someone", change, "application/json-patch+json")

    pool = scalable(found(asked, namespace, graph))

    assert pool.desired == 4
    assert pool.changed is not None
    assert pool.changed.manager == "someone"
