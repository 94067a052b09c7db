"""A node is empty when a real API server shows nothing on it that somebody would miss."""

import pytest

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from planner.act.empty_nodes import POOL_LABEL, empty_nodes
from tests.integration.kube_cluster import Cluster

pytestmark = pytest.mark.integration


def test_only_nodes_without_pods_that_count_are_empty(cluster: Cluster) -> None:
    namespace = cluster.make_namespace("empty")
    pool = namespace.replace("-", "")
    for i in range(5):
        metadata = {"name": f"{pool}-{i}", "labels": {POOL_LABEL: pool}}
        cluster.request("POST", "/api/v1/nodes", {"metadata": metadata})
    cluster.request("POST", "/api/v1/nodes", {"metadata": {"name": f"{pool}-else"}})
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"containers": [{"name": "c", "image": "i"}]}
    daemon = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
    static = {"kubernetes.io/config.mirror": "x"}

    def pod(name: str, node: int, **metadata: object) -> None:
        made = {"metadata": {"name": name, **metadata}, "spec": {**spec, "nodeName": f"{pool}-{node}"}}
        cluster.request("POST", path, made)

    pod("engine", 0)
    pod("exporter", 1, ownerReferences=[daemon])
    pod("static", 2, annotations=static)
    pod("job", 3)
    done = {"status": {"phase": "Succeeded"}}
    cluster.request("PATCH", f"{path}/job/status", done, "application/merge-patch+json")

    api = KubernetesCluster(kubernetes_access(cluster.kubeconfig))
    assert sorted(empty_nodes(api, pool)) == [f"{pool}-{i}" for i in (1, 2, 3, 4)]
    assert empty_nodes(api, "nosuchpool") == []
