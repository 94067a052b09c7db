"""A change of width is one patch of a real API server's object, and is taken back where it gets not ready."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from config.access import kubernetes_access
from config.arguments import engine_arguments
from config.cluster import KubernetesCluster
from models.reshaping import ReshapeReport, ReshapeState, Switch
from models.target import ObjectRef, PoolTarget
from models.values import Parallelism, Role
from planner.act.reshape import ClusterReshaper
from planner.cluster.needs import reshaping_rules, scaling_rules
from planner.cluster.podforms import pod_forms
from planner.cluster.reshape_note import FAILED, RESHAPE
from planner.cluster.scalable import Unresolved
from planner.cluster.sighting import sight
from planner.cluster.widths import deployed
from tests.integration import dynamo_crds
from tests.integration.kube_cluster import Cluster

pytestmark = pytest.mark.integration

ROLE = Role.DECODE
TP1, TP4 = Parallelism(tp=1), Parallelism(tp=4)
TEP8 = Parallelism(tp=8, ep=8)
NOW_S = 1_700_000_000.0
MERGE, JSON = "application/merge-patch+json", "application/json-patch+json"


def switch(instead_of: Parallelism = TP1, to: Parallelism = TP4, **changes: Any) -> Switch:
    made = Switch(
        role=ROLE,
        to=to,
        instead_of=instead_of,
        needed=4,
        current=4,
        left_gpus=None,
        limit="64-GPU budget",
        others_needed={},
        startup_p99_s=600.0,
        drain_s=60.0,
        retry_s=86_400.0,
    )
    return replace(made, **changes)


def deployment(surge: object = 1, lack: object = 0) -> dict[str, Any]:
    limits = {"nvidia.com/gpu": "1"}
    args = ["-m", "dynamo.vllm", "--model", "m", "--tensor-parallel-size", "1", "--is-decode-worker"]
    container = {
        "name": "engine",
        "image": "e",
        "command": ["python3"],
        "args": args,
        "resources": {"limits": limits},
    }
    made = dynamo_crds.workload("Deployment", "decode", 4)
    made["spec"]["template"]["spec"]["containers"] = [container]
    made["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": lack}}
    return made


def graph() -> dict[str, Any]:
    args = ["--model=m", "--tensor-parallel-size=4"]
    container = {**dynamo_crds.container("main", 4), "args": args}
    pods = {"spec": {"containers": [{"name": "sidecar", "image": "s"}, container]}}
    parts = [
        dynamo_crds.component("Frontend", "frontend", 1, gpus=0),
        dynamo_crds.component("Decode", "decode", 4, podTemplate=pods),
    ]
    return dynamo_crds.graph("chat", parts)


class Stage:
    """One owner in a namespace of its own, its operator played by the test."""

    def __init__(self, cluster: Cluster, manifest: Mapping[str, Any], component: str | None = None) -> None:
        self.cluster, self.namespace = cluster, cluster.make_namespace("reshape")
        self.made = dynamo_crds.create(cluster, self.namespace, dict(manifest))
        self.component = component
        version, kind, name = manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]
        self.path = dynamo_crds.path(self.namespace, version, kind, name)
        self.target = PoolTarget(ObjectRef(version, kind, name, self.namespace), component, "pool=decode")
        self.api = KubernetesCluster(kubernetes_access(cluster.kubeconfig))
        self.reshaper = self.successor()
        self.operate(ready=4)

    def successor(self, **options: Any) -> ClusterReshaper:
        """Another process that knows nothing of what came before."""
        given = {"acts": True, **options}
        cluster = given.pop("cluster", self.api)
        return ClusterReshaper(cluster, {ROLE: self.target}, engine_arguments("vllm"), {ROLE: 4}, **given)

    def owner(self) -> Any:
        return self.cluster.request("GET", self.path)

    def annotations(self) -> dict[str, str]:
        return dict(self.owner()["metadata"].get("annotations") or {})

    def operate(self, ready: int, updated: int = 4, total: int = 4) -> None:
        """Write the status as the owner's controller does."""
        counts: dict[str, Any] = {"replicas": total, "updatedReplicas": updated, "readyReplicas": ready}
        generation = self.owner()["metadata"]["generation"]
        if self.component is None:
            status = {**counts, "availableReplicas": ready, "observedGeneration": generation}
        else:
            part = {**counts, "componentKind": "PodClique"}
            status = {"observedGeneration": generation, "components": {self.component: part}}
        self.cluster.request("PATCH", f"{self.path}/status", {"status": status}, MERGE)

    def step(self, wanted: Switch | None, now_s: float = NOW_S) -> ReshapeReport:
        report = self.reshaper.step(wanted, now_s)
        assert report is not None
        return report

    def rollout(self) -> str:
        """Say why the observed pool is in a rollout; empty where it is not."""
        self.run_pods()
        seen = sight(self.api, ROLE, self.target, NOW_S)
        assert not isinstance(seen, Unresolved)
        return seen.pool.why if seen.pool.rollout_in_progress else ""

    def run_pods(self) -> None:
        """Run a pod for each replica, as a controller and kubelets do."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        if self.cluster.request("GET", path)["items"]:
            return
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        for i in range(4):
            metadata = {"name": f"decode-{i}", "labels": {"pool": "decode"}}
            spec = {"containers": [{"name": "engine", "image": "e"}]}
            self.cluster.request("POST", path, {"metadata": metadata, "spec": spec})
            self.cluster.request("PATCH", f"{path}/decode-{i}/status", {"status": ready}, MERGE)

    def layout(self) -> Parallelism | str:
        forms = pod_forms(self.owner(), self.component)
        assert not isinstance(forms, str)
        return deployed(forms, (TP1, TP4, TEP8), engine_arguments("vllm"))


def test_a_width_change_is_one_patch_and_ends_when_all_is_ready(cluster: Cluster) -> None:
    stage = Stage(cluster, deployment())
    assert stage.layout() == TP1

    begun = stage.step(switch())
    assert begun.state is ReshapeState.STARTED, begun.sentence
    owner = stage.owner()
    container = owner["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][4:6] == ["--tensor-parallel-size", "4"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert owner["metadata"]["generation"] == 2, "one change of the spec"
    assert owner["spec"]["replicas"] == 4
    assert "decode changes from TP1 to TP4" in stage.rollout(), "the rollout guard holds the role"

    stage.operate(ready=4, updated=2)
    assert stage.step(None, NOW_S + 60).state is ReshapeState.UNDER_WAY
    stage.operate(ready=3)
    assert stage.step(None, NOW_S + 120).state is ReshapeState.UNDER_WAY
    stage.operate(ready=4)
    assert stage.step(None, NOW_S + 180).state is ReshapeState.DONE
    assert RESHAPE not in stage.annotations()
    stage.operate(ready=4)
    assert stage.rollout() == ""
    assert stage.layout() == TP4, "a restart finds the layout in the template"
    assert stage.reshaper.step(None, NOW_S + 181) is None or not stage.annotations()


@pytest.mark.parametrize("dynamo", [False, True])
def test_what_does_not_get_ready_by_its_deadline_is_put_back_as_it_was(
    cluster: Cluster, dynamo: bool
) -> None:
    dynamo_crds.install(cluster)
    stage = Stage(cluster, graph(), "Decode") if dynamo else Stage(cluster, deployment())
    wanted = switch(TP4, TEP8, needed=3) if dynamo else switch()
    before = stage.owner()["spec"]
    assert stage.step(wanted).state is ReshapeState.STARTED
    changed = stage.owner()["spec"]
    if dynamo:
        decode = changed["components"][1]
        assert decode["multinode"] == {"nodeCount": 2}
        engine = decode["podTemplate"]["spec"]["containers"][1]
        assert engine["args"] == ["--model=m", "--tensor-parallel-size=8", "--enable-expert-parallel"]
        assert stage.layout() == TEP8
    stage.operate(ready=3, updated=1, total=4)

    note = json.loads(stage.annotations()[RESHAPE])
    assert stage.step(None, note["deadline"] - 1).state is ReshapeState.UNDER_WAY
    back = stage.step(None, note["deadline"])
    assert (back.state, "3 of 4 replicas are ready" in back.sentence) == (ReshapeState.ROLLING_BACK, True)
    assert stage.owner()["spec"] == before
    assert stage.rollout() != "", "held until the old template serves again"

    stage.operate(ready=4)
    assert stage.step(None, note["deadline"] + 300).state is ReshapeState.ROLLED_BACK
    assert RESHAPE not in stage.annotations()
    again = stage.step(wanted, note["deadline"] + 600)
    assert (again.state, "is tried again in" in again.sentence) == (ReshapeState.REFUSED, True)
    later = stage.step(wanted, note["deadline"] + 90_000)
    assert later.state is ReshapeState.STARTED
    assert FAILED not in stage.annotations()


def test_a_rollout_that_its_controller_has_given_up_is_put_back_at_once(cluster: Cluster) -> None:
    stage = Stage(cluster, deployment())
    stage.step(switch())
    stage.operate(ready=4, updated=1, total=5)
    gone = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": "no progress",
    }
    cluster.request("PATCH", f"{stage.path}/status", {"status": {"conditions": [gone]}}, MERGE)

    back = stage.step(None, NOW_S + 60)
    assert (back.state, "no progress" in back.sentence) == (ReshapeState.ROLLING_BACK, True)


def test_a_patch_that_admission_refuses_changes_nothing(cluster: Cluster) -> None:
    definition = dynamo_crds.leader_worker_sets()
    spec = definition["spec"]
    spec["group"], spec["names"] = (
        "limited.headgate.io",
        {"plural": "smallsets", "singular": "smallset", "kind": "SmallSet"},
    )
    definition["metadata"]["name"] = "smallsets.limited.headgate.io"
    schema = json.loads(json.dumps(spec["versions"][0]["schema"]))
    group = schema["openAPIV3Schema"]["properties"]["spec"]["properties"]["leaderWorkerTemplate"]
    group["properties"]["size"] = {"type": "integer", "maximum": 1}
    spec["versions"][0]["schema"] = schema
    cluster.make_definition(definition)
    namespace = cluster.make_namespace("reshape")
    made = dynamo_crds.leader_worker_set("decode", replicas=4, size=1, gpus=4)
    engine = made["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"][0]
    engine["args"] = ["serve", "--tensor-parallel-size", "4"]
    made |= {"apiVersion": "limited.headgate.io/v1", "kind": "SmallSet"}
    path = f"/apis/limited.headgate.io/v1/namespaces/{namespace}/smallsets"
    before = cluster.request("POST", path, made)
    owner = ObjectRef("limited.headgate.io/v1", "SmallSet", "decode", namespace)
    api = KubernetesCluster(kubernetes_access(cluster.kubeconfig))
    reshaper = ClusterReshaper(api, {ROLE: PoolTarget(owner)}, engine_arguments("vllm"), {ROLE: 4}, True)

    refused = reshaper.step(switch(TP4, TEP8, needed=3), NOW_S)
    assert refused is not None
    assert refused.state is ReshapeState.REFUSED, refused.sentence
    assert "nothing was changed" in refused.sentence
    assert "should be less than or equal to 1" in refused.sentence
    assert cluster.request("GET", f"{path}/decode") == before


@dataclass
class Dying:
    """A cluster on which the process ends with its first real patch: before it is sent, or after."""

    api: KubernetesCluster
    sent: bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.api, name)

    def patch_json(
        self, of: Any, operations: Sequence[Mapping[str, Any]], dry_run: bool = False, subresource: str = ""
    ) -> Any:
        if dry_run:
            return self.api.patch_json(of, operations, True, subresource)
        if self.sent:
            self.api.patch_json(of, operations, False, subresource)
        raise KeyboardInterrupt


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("step", ["begin", "finish", "put back"])
def test_a_successor_goes_on_wherever_its_predecessor_ended(cluster: Cluster, step: str, sent: bool) -> None:
    stage = Stage(cluster, deployment())
    dying = stage.successor(cluster=Dying(stage.api, sent))
    late = NOW_S + 100_000
    if step != "begin":
        stage.step(switch())
        stage.operate(ready=4 if step == "finish" else 2)
    now_s = late if step == "put back" else NOW_S + 60
    with pytest.raises(KeyboardInterrupt):
        dying.step(switch() if step == "begin" else None, now_s)

    stage.reshaper = stage.successor()
    if step == "begin":
        found = stage.step(switch(), now_s + 1)
        assert found.state is (ReshapeState.UNDER_WAY if sent else ReshapeState.STARTED)
        stage.operate(ready=4)
        assert stage.step(None, now_s + 60).state is ReshapeState.DONE
    elif step == "finish":
        last = stage.reshaper.step(None, now_s + 1)
        assert last is None if sent else last is not None and last.state is ReshapeState.DONE
    else:
        assert stage.step(None, now_s + 1).state is ReshapeState.ROLLING_BACK
        stage.operate(ready=4)
        assert stage.step(None, now_s + 60).state is ReshapeState.ROLLED_BACK
    assert RESHAPE not in stage.annotations()
    assert stage.layout() == (TP1 if step == "put back" else TP4)


@pytest.mark.parametrize(
    ("surge", "lack", "changes", "said"),
    [
        (1, 0, {"left_gpus": 16}, "take up to 17 GPUs together, and the 64-GPU budget leaves 16"),
        (1, 1, {}, "4 replicas of either layout are needed throughout"),
        (1, "25%", {}, "spec.strategy.rollingUpdate lets 1 lack"),
        (1, 0, {"needed": 5}, "5 replicas of either layout are needed throughout, and there are 4"),
        (1, 0, {"to": TEP8}, "TEP8 spans 2 nodes, and a replica of this kind is one pod"),
        (1, 0, {"current": 5}, "4 replicas are asked for, and 5 were decided"),
    ],
)
def test_what_capacity_budget_or_kind_forbid_is_refused_with_a_sentence(
    cluster: Cluster, surge: object, lack: object, changes: dict[str, Any], said: str
) -> None:
    stage = Stage(cluster, deployment(surge, lack))
    before = stage.owner()

    refused = stage.step(switch(**changes))
    assert refused.state is ReshapeState.REFUSED
    assert said in refused.sentence
    assert stage.owner() == before


def test_the_same_switch_fits_where_the_budget_holds_old_and_new_together(cluster: Cluster) -> None:
    stage = Stage(cluster, deployment())
    assert stage.step(switch(left_gpus=17)).state is ReshapeState.STARTED


def test_without_leave_to_act_the_server_checks_it_and_nothing_changes(cluster: Cluster) -> None:
    stage = Stage(cluster, deployment())
    before = stage.owner()
    stage.reshaper = stage.successor(acts=False)
    assert stage.step(switch()).state is ReshapeState.PROPOSED
    stage.reshaper = stage.successor(leading=lambda: False)
    assert stage.step(switch()).state is ReshapeState.SUPERSEDED
    assert stage.owner() == before


def test_it_needs_no_verb_beyond_its_rules_and_says_which_one_lacks(cluster: Cluster) -> None:
    stage = Stage(cluster, deployment())
    targets = {ROLE: stage.target}
    scaling = [rule.to_rule() for rule in scaling_rules(targets)]
    reshaping = [rule.to_rule() for rule in reshaping_rules(targets)]

    def acting_as(name: str, rules: Sequence[Mapping[str, Sequence[str]]]) -> None:
        account = cluster.make_service_account(stage.namespace, name, rules)
        stage.reshaper = stage.successor(cluster=KubernetesCluster(kubernetes_access(account)))

    acting_as("scaler", scaling)
    refused = stage.step(switch())
    assert refused.state is ReshapeState.REFUSED
    assert 'verbs: ["patch"]' in refused.sentence
    acting_as("reshaper", [*scaling, *reshaping])
    assert stage.step(switch()).state is ReshapeState.STARTED
    stage.operate(ready=4)
    assert stage.step(None, NOW_S + 60).state is ReshapeState.DONE


def test_a_paused_role_is_left_alone_before_and_while_it_changes(cluster: Cluster) -> None:
    stage = Stage(cluster, deployment())
    paused = {"metadata": {"annotations": {"headgate.io/paused": "true"}}}
    cluster.request("PATCH", stage.path, paused, MERGE)
    assert "is paused" in stage.step(switch()).sentence

    freed = {"metadata": {"annotations": {"headgate.io/paused": None}}}
    cluster.request("PATCH", stage.path, freed, MERGE)
    stage.operate(ready=4)
    assert stage.step(switch(), NOW_S + 60).state is ReshapeState.STARTED
    cluster.request("PATCH", stage.path, paused, MERGE)
    stage.operate(ready=1)
    held = stage.step(None, NOW_S + 100_000)
    assert (held.state, stage.layout()) == (ReshapeState.UNDER_WAY, TP4)


def test_a_template_that_somebody_changes_meanwhile_is_theirs(cluster: Cluster) -> None:
    stage = Stage(cluster, deployment())
    stage.step(switch())
    place = "/spec/template/spec/containers/0/resources/limits/nvidia.com~1gpu"
    cluster.request("PATCH", stage.path, [{"op": "replace", "path": place, "value": "2"}], JSON)

    left = stage.step(None, NOW_S + 100_000)
    assert left.state is ReshapeState.SUPERSEDED
    assert RESHAPE not in stage.annotations()
    assert (
        stage.owner()["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
        == "2"
    )


def test_a_rollout_that_is_under_way_is_waited_for(cluster: Cluster) -> None:
    stage = Stage(cluster, deployment())
    stage.operate(ready=4, updated=2)
    assert "is in a rollout" in stage.step(switch()).sentence
    stage.operate(ready=3)
    assert "is in a rollout" in stage.step(switch(), NOW_S + 15).sentence, "not asked for at each tick"
    assert "3 of 4 replicas are ready" in stage.step(switch(), NOW_S + 60).sentence
