"""The test cluster is a real one where Headgate touches it: scale, leases, events, watches, Roles."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.kube_cluster import Cluster

pytestmark = pytest.mark.integration

GROUP, VERSION, PLURAL = "test.headgate.io", "v1", "replicasets"
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"


def _definition() -> dict[str, object]:
    integer = {"type": "integer"}
    spec = {"type": "object", "properties": {"replicas": integer, "note": {"type": "string"}}}
    schema = {"type": "object", "properties": {"spec": spec, "status": _object(replicas=integer)}}
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": PLURAL, "singular": "replicaset", "kind": "ReplicaSet"},
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}, "scale": scale},
                }
            ],
        },
    }


def _object(**properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties}


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """Give a namespace of the test's own, where the custom resource is served."""
    cluster.make_definition(_definition())
    return cluster.make_namespace()


def _make(cluster: Cluster, namespace: str, name: str, replicas: int) -> str:
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "ReplicaSet",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "note": ""},
    }
    assert cluster.request("POST", path, body)["spec"] == {"replicas": replicas, "note": ""}
    return f"{path}/{name}"


def test_a_scale_patch_changes_the_owner_and_a_dry_run_does_not(cluster: Cluster, namespace: str) -> None:
    path = _make(cluster, namespace, "pool", replicas=2)
    patch = {"spec": {"replicas": 5}}

    seen = cluster.request("PATCH", f"{path}/scale?dryRun=All", patch, MERGE_PATCH)
    assert (seen["kind"], seen["spec"]["replicas"]) == ("Scale", 5)
    assert cluster.request("GET", path)["spec"]["replicas"] == 2

    cluster.request("PATCH", f"{path}/scale", patch, MERGE_PATCH)
    assert cluster.request("GET", path)["spec"]["replicas"] == 5


def test_a_patch_that_tests_a_stale_value_or_breaks_the_schema_changes_nothing(
    cluster: Cluster, namespace: str
) -> None:
    path = _make(cluster, namespace, "pool", replicas=2)
    guarded = [
        {"op": "test", "path": "/spec/replicas", "value": 3},
        {"op": "add", "path": "/spec/replicas", "value": 9},
    ]
    assert cluster.send("PATCH", path, guarded, JSON_PATCH).status_code == 422
    assert cluster.send("PATCH", path, {"spec": {"replicas": "many"}}, MERGE_PATCH).status_code == 422
    assert cluster.request("GET", path)["spec"]["replicas"] == 2


def test_a_lease_taken_from_stale_state_is_refused(cluster: Cluster, namespace: str) -> None:
    from kubernetes import client

    def holder(name: str) -> client.V1LeaseSpec:
        return client.V1LeaseSpec(holder_identity=name)

    with cluster.client() as api:
        leases = client.CoordinationV1Api(api)
        meta = client.V1ObjectMeta(name="leader")
        leases.create_namespaced_lease(namespace, client.V1Lease(metadata=meta, spec=holder("a")))
        mine, theirs = (leases.read_namespaced_lease("leader", namespace) for _ in range(2))
        mine.spec, theirs.spec = holder("b"), holder("c")
        leases.replace_namespaced_lease("leader", namespace, mine)
        with pytest.raises(client.ApiException) as refused:
            leases.replace_namespaced_lease("leader", namespace, theirs)
        held = leases.read_namespaced_lease("leader", namespace).spec
    assert refused.value.status == 409
    assert held is not None
    assert held.holder_identity == "b"


def test_fields_applied_by_another_manager_are_a_conflict(cluster: Cluster, namespace: str) -> None:
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/pool"
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "ReplicaSet", "metadata": {"name": "pool"}}
    apply = "application/apply-patch+yaml"
    cluster.request("PATCH", f"{path}?fieldManager=one", {**body, "spec": {"replicas": 1}}, apply)
    other = cluster.send("PATCH", f"{path}?fieldManager=two", {**body, "spec": {"replicas": 2}}, apply)
    assert other.status_code == 409
    assert 'conflict with "one": .spec.replicas' in other.json()["message"]


def test_a_watch_tells_what_changed_since_a_list(cluster: Cluster, namespace: str) -> None:
    from kubernetes import client, watch

    path = _make(cluster, namespace, "pool", replicas=2)
    with cluster.client() as api:
        objects = client.CustomObjectsApi(api)
        where = (GROUP, VERSION, namespace, PLURAL)
        listed: Any = objects.list_namespaced_custom_object(*where)
        cluster.request("PATCH", f"{path}/scale", {"spec": {"replicas": 4}}, MERGE_PATCH)
        cluster.request("DELETE", path)
        events = watch.Watch().stream(
            objects.list_namespaced_custom_object,
            *where,
            resource_version=listed["metadata"]["resourceVersion"],
            timeout_seconds=2,
        )
        seen = [(event["type"], event["object"]["spec"]["replicas"]) for event in events]
    assert seen == [("MODIFIED", 4), ("DELETED", 4)]


@pytest.mark.parametrize("identity", ["service account", "user"])
def test_an_identity_may_do_what_its_role_names_and_nothing_else(
    cluster: Cluster, namespace: str, identity: str
) -> None:
    from kubernetes import client

    _make(cluster, namespace, "pool", replicas=2)
    rules = [
        {"apiGroups": [GROUP], "resources": [f"{PLURAL}/scale"], "verbs": ["get", "patch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ]
    make = cluster.make_service_account if identity == "service account" else cluster.make_user
    with cluster.client(make(namespace, "scaler", rules)) as api:
        objects = client.CustomObjectsApi(api)
        where = (GROUP, VERSION, namespace, PLURAL, "pool")
        scaled: Any = objects.patch_namespaced_custom_object_scale(*where, body={"spec": {"replicas": 3}})
        assert scaled["spec"]["replicas"] == 3
        event = client.CoreV1Event(
            metadata=client.V1ObjectMeta(generate_name="scaled-"),
            involved_object=client.V1ObjectReference(kind="ReplicaSet", namespace=namespace, name="pool"),
            reason="Scaled",
            message="2 -> 3",
            type="Normal",
        )
        assert client.CoreV1Api(api).create_namespaced_event(namespace, event).message == "2 -> 3"

        elsewhere = cluster.make_namespace()
        forbidden: list[Callable[[], object]] = [
            lambda: objects.get_namespaced_custom_object(*where),
            lambda: objects.get_namespaced_custom_object_scale(GROUP, VERSION, elsewhere, PLURAL, "pool"),
            lambda: client.CoreV1Api(api).list_namespaced_event(namespace),
        ]
        for ask in forbidden:
            with pytest.raises(client.ApiException) as refused:
                ask()
            assert refused.value.status == 403
