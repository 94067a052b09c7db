"""Headroom pods are kept in a real cluster: placed like the workload, counted net of what it runs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.nodes import HeadroomPolicy, NodeOrder, NodesAhead, NodesPolicy, NodeState
from models.policy import PlanPolicy, PoolPolicy
from models.target import ObjectRef, PoolTarget
from models.values import Role
from planner.act.headroom import Headroom
from tests.integration import dynamo_crds
from tests.integration.kube_cluster import Cluster

pytestmark = pytest.mark.integration

ROLE = Role.DECODE
POLICY = HeadroomPolicy("pause:3.10", "headgate-headroom", "chat-headroom")
NODES = NodesPolicy(lead_s=600.0, max_step_down=1)
NOW_S = 1_700_000_000.0
RULES = (
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "create", "patch"]},
    {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get", "patch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": ["nvidia.com"], "resources": ["dynamographdeployments"], "verbs": ["get"]},
)


def plan(budget_gpus: int | None = None) -> PlanPolicy:
    return PlanPolicy((), {ROLE: PoolPolicy()}, budget_gpus=budget_gpus)


def ahead(running: int, need: int, keep: int | None = None, current: int | None = None) -> NodesAhead:
    return NodesAhead(
        {ROLE: running if current is None else current},
        {ROLE: running},
        {ROLE: max(need, running)},
        {ROLE: max(keep or 0, need, running)},
        {ROLE: 4},
    )


def workload(gpus: str = "4") -> dict[str, Any]:
    limits = {"nvidia.com/gpu": gpus}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "decode"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "decode"}},
            "template": {
                "metadata": {"labels": {"app": "decode", "kai.scheduler/queue": "inference"}},
                "spec": {
                    "schedulerName": "kai-scheduler",
                    "nodeSelector": {"nvidia.com/gpu.clique": "c1"},
                    "tolerations": [{"key": "sku", "operator": "Exists"}],
                    "containers": [{"name": "engine", "image": "e", "resources": {"limits": limits}}],
                },
            },
        },
    }


class Kept:
    """Headroom beside one workload, kept by an account that may do no more than that."""

    def __init__(
        self, cluster: Cluster, manifest: Mapping[str, Any], component: str | None = None, **options: Any
    ):
        self.cluster, self.namespace = cluster, cluster.make_namespace("headroom")
        if manifest["kind"] == "Deployment":
            cluster.request("POST", self.path(""), manifest)
        else:
            dynamo_crds.create(cluster, self.namespace, dict(manifest))
        rules = options.pop("rules", RULES)
        account = cluster.make_service_account(self.namespace, "headgate", rules)
        owner = ObjectRef(
            manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"], self.namespace
        )
        self.api = KubernetesCluster(kubernetes_access(account))
        targets = {ROLE: PoolTarget(owner, component)}
        self.headroom = Headroom(self.api, targets, POLICY, NODES, **options)

    def path(self, name: str = "chat-headroom-decode") -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments" + (f"/{name}" if name else "")

    def keep(
        self, foreseen: NodesAhead | None, now_s: float = NOW_S, budget_gpus: int | None = None
    ) -> NodeOrder:
        (order,) = self.headroom.keep(foreseen, plan(budget_gpus), now_s)
        return order

    def deployment(self) -> Any:
        return self.cluster.request("GET", self.path())

    def replicas(self) -> int:
        return int(self.deployment()["spec"]["replicas"])

    def status(self, **fields: Any) -> None:
        merge = "application/merge-patch+json"
        self.cluster.request("PATCH", f"{self.path()}/status", {"status": fields}, merge)


def test_headroom_is_created_where_it_is_needed_and_placed_like_the_workload(cluster: Cluster) -> None:
    kept = Kept(cluster, workload())
    assert kept.keep(ahead(running=2, need=2)).state is NodeState.SETTLED
    assert cluster.send("GET", kept.path()).status_code == 404, "nothing is made that is not needed"

    assert kept.keep(ahead(running=2, need=5)).state is NodeState.ORDERED
    made = kept.deployment()
    spec = made["spec"]["template"]["spec"]
    assert made["spec"]["replicas"] == 3
    assert spec["schedulerName"] == "kai-scheduler"
    assert spec["nodeSelector"] == {"nvidia.com/gpu.clique": "c1"}
    assert spec["tolerations"] == [{"key": "sku", "operator": "Exists"}]
    assert spec["priorityClassName"] == "headgate-headroom"
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "4"
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert "app" not in labels, "a service of the workload would send it requests"
    assert labels["kai.scheduler/queue"] == "inference"
    assert made["metadata"]["ownerReferences"][0]["name"] == "decode"


def test_replicas_that_come_take_the_place_of_headroom(cluster: Cluster) -> None:
    kept = Kept(cluster, workload())
    kept.keep(ahead(running=2, need=5))

    kept.keep(ahead(current=2, running=4, need=5))
    assert kept.replicas() == 1
    kept.keep(ahead(running=4, need=5, keep=6))
    assert kept.replicas() == 1
    kept.keep(ahead(running=4, need=4))
    assert kept.replicas() == 0


def test_headroom_goes_a_step_at_a_time_and_stays_inside_the_band_and_without_data(cluster: Cluster) -> None:
    kept = Kept(cluster, workload())
    kept.keep(ahead(running=2, need=6))

    kept.keep(ahead(running=2, need=3, keep=6))
    assert kept.replicas() == 4
    kept.keep(None)
    assert kept.replicas() == 4
    kept.keep(ahead(running=2, need=3, keep=4))
    assert kept.replicas() == 3


def test_headroom_stays_within_the_budget(cluster: Cluster) -> None:
    kept = Kept(cluster, workload())
    kept.keep(ahead(running=2, need=5))

    kept.keep(ahead(running=2, need=3, keep=5), budget_gpus=16)
    assert kept.replicas() == 2, "16 GPUs hold four replicas of four"


def test_a_multinode_component_has_a_headroom_pod_for_each_of_its_nodes(cluster: Cluster) -> None:
    dynamo_crds.install(cluster)
    graph = dynamo_crds.graph(
        "chat", [dynamo_crds.component("Decode", "decode", 1, gpus=4, multinode={"nodeCount": 2})]
    )
    kept = Kept(cluster, graph, "Decode")

    kept.keep(ahead(running=1, need=3))
    assert kept.replicas() == 4


def test_pods_without_a_node_are_under_way_and_then_a_lack_of_capacity(cluster: Cluster) -> None:
    kept = Kept(cluster, workload())
    kept.keep(ahead(running=2, need=4))
    kept.status(replicas=2, readyReplicas=1, unavailableReplicas=1)
    name = "chat-headroom-decode-x"
    pods = f"/api/v1/namespaces/{kept.namespace}/pods"
    metadata = {"name": name, "labels": {"headgate.io/headroom": "chat-headroom-decode"}}
    spec = {"containers": [{"name": "headroom", "image": "pause"}]}
    pod = cluster.request("POST", pods, {"metadata": metadata, "spec": spec})
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes fit"}
    merge = "application/merge-patch+json"
    cluster.request("PATCH", f"{pods}/{name}/status", {"status": {"conditions": [said]}}, merge)
    made_s = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()

    young = kept.keep(ahead(running=2, need=4), now_s=made_s + 60)
    assert young.state is NodeState.UNDER_WAY
    old = kept.keep(ahead(running=2, need=4), now_s=made_s + 900)
    assert (old.state, "0/3 nodes fit" in old.sentence, "15m" in old.sentence) == (
        NodeState.CAPACITY,
        True,
        True,
    )

    refused = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": "pods is forbidden: exceeded quota: gpus",
    }
    kept.status(conditions=[refused])
    assert kept.keep(ahead(running=2, need=4)).state is NodeState.QUOTA


def test_headroom_follows_the_workload_to_other_nodes(cluster: Cluster) -> None:
    kept = Kept(cluster, workload())
    kept.keep(ahead(running=2, need=4))
    moved = {"spec": {"template": {"spec": {"nodeSelector": {"nvidia.com/gpu.clique": "c2"}}}}}
    cluster.request("PATCH", kept.path("decode"), moved, "application/merge-patch+json")

    kept.keep(ahead(running=2, need=4), now_s=NOW_S + 301)
    assert kept.deployment()["spec"]["template"]["spec"]["nodeSelector"] == {"nvidia.com/gpu.clique": "c2"}


def test_a_dry_run_is_checked_and_changes_nothing(cluster: Cluster) -> None:
    kept = Kept(cluster, workload(), dry_run=True)
    told = kept.keep(ahead(running=2, need=5))
    assert (told.state, "dry run" in told.sentence) == (NodeState.ORDERED, True)
    assert cluster.send("GET", kept.path()).status_code == 404


def test_a_verb_that_lacks_is_said_and_not_raised(cluster: Cluster) -> None:
    kept = Kept(cluster, workload(), rules=RULES[1:])
    refused = kept.keep(ahead(running=2, need=5))
    assert (refused.state, refused.before) == (NodeState.REFUSED, None)
    assert "headroom needs get, create and patch of deployments" in refused.sentence


def test_a_stranger_of_the_same_name_is_left_alone(cluster: Cluster) -> None:
    kept = Kept(cluster, workload())
    stranger = workload()
    stranger["metadata"] = {"name": "chat-headroom-decode"}
    cluster.request("POST", kept.path(""), stranger)

    refused = kept.keep(ahead(running=2, need=5))
    assert (refused.state, "is not Headgate's" in refused.sentence) == (NodeState.REFUSED, True)
    assert kept.replicas() == 2


def test_gpus_that_come_by_claims_are_refused_with_what_to_do_instead(cluster: Cluster) -> None:
    claimed = workload()
    claimed["spec"]["template"]["spec"]["containers"][0].pop("resources")
    refused = Kept(cluster, claimed).keep(ahead(running=2, need=5))
    assert (refused.state, "nodes.agent_pools" in refused.sentence) == (NodeState.REFUSED, True)
