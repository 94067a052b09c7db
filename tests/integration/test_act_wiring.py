"""A deployment of a configuration acts on the objects that its targets name, and recommends on them."""

import json
from pathlib import Path

import pytest

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.artifact import Machine, ProfileArtifact, Selection, dump
from models.decision import Status
from models.errors import ConfigError
from models.policy import Mode
from planner import acting as wired
from planner import wiring
from planner.act.dryrun import DryRun
from planner.act.mode import actuator_for
from tests import acting, builders
from tests.acting import DECODE, PREFILL
from tests.integration import dynamo_crds as crds
from tests.integration.kube_cluster import Cluster

pytestmark = pytest.mark.integration


def deployment(folder: Path, **more: object) -> wiring.Deployment:
    layouts = builders.layouts()
    chosen = {role: layout.parallelism.name for role, layout in layouts.items()}
    selection = Selection(chosen, {PREFILL: 1, DECODE: 1}, 5, True, "for this test")
    artifact = ProfileArtifact(
        model="gpt-oss-120b",
        machines=(Machine("gb200", gpus_per_node=4, scaleup_gpus=72),),
        engine="analytic",
        backend="builder",
        created_at="2026-11-01T00:00:00Z",
        layouts=tuple(layouts.values()),
        selection=selection,
    )
    (folder / "profile.json").write_text(dump(artifact))
    stated = {
        "name": "chat",
        "model": "gpt-oss-120b",
        "profile": "profile.json",
        "pools": {"prefill": {}, "decode": {}},
        "budget": {"gpus": 40},
        **more,
    }
    config = folder / "headgate.yaml"
    config.write_text(json.dumps({"deployments": [stated]}))
    return wiring.deployment(wiring.read_config(config))


def test_targets_of_a_configuration_are_scaled_in_the_namespace_of_the_credentials(
    cluster: Cluster, tmp_path: Path
) -> None:
    crds.install(cluster)
    namespace = cluster.make_namespace()
    components = [
        crds.component("Prefill", "prefill", 2, gpus=1),
        crds.component("Decode", "decode", 4, gpus=4),
    ]
    crds.create(cluster, namespace, crds.graph("chat", components))
    chosen = deployment(tmp_path, target={"dynamo": "chat"}, mode="act")
    client = KubernetesCluster(kubernetes_access(cluster.kubeconfig))
    before, after = {PREFILL: 2, DECODE: 4}, {PREFILL: 3, DECODE: 5}
    decision, seen = acting.decision(before, after), builders.observation(counts=before)

    assert wired.ready_to_act(chosen, client, namespace) == ()
    checking = wired.checking(chosen, client, namespace)
    dry = actuator_for(Mode.RECOMMEND, "chat", None, checking).act(decision, seen)
    assert "would change prefill 2 -> 3, decode 4 -> 5" in dry.detail
    assert "the server accepts it" in dry.detail

    actuator = wired.acting(chosen, client, namespace, wired.holder_name())
    outcome = actuator_for(Mode.ACT, "chat", actuator).act(decision, seen)
    assert outcome.status is Status.APPLIED, outcome.detail
    graph = cluster.request("GET", crds.path(namespace, crds.BETA, "DynamoGraphDeployment", "chat"))
    assert [each["replicas"] for each in graph["spec"]["components"]] == [3, 5]


def test_a_deployment_without_targets_has_nothing_to_act_on(cluster: Cluster, tmp_path: Path) -> None:
    client = KubernetesCluster(kubernetes_access(cluster.kubeconfig))
    with pytest.raises(ConfigError, match=r"state `target.dynamo`"):
        wired.acting(deployment(tmp_path), client, "default", "pod-a")
    assert isinstance(actuator_for(Mode.RECOMMEND, "chat", None), DryRun)


def test_what_would_keep_a_deployment_from_acting_is_said_before_it_begins(
    cluster: Cluster, tmp_path: Path
) -> None:
    namespace = cluster.make_namespace()
    crds.create(cluster, namespace, crds.workload("Deployment", "prefill", 2, gpus=2))
    crds.create(cluster, namespace, crds.workload("StatefulSet", "decode", 2, gpus=0))
    target = {"kind": "Deployment", "name": "prefill"}
    pools = {"prefill": {"target": target}, "decode": {"target": {"kind": "StatefulSet", "name": "decode"}}}
    chosen = deployment(tmp_path, pools=pools)
    client = KubernetesCluster(kubernetes_access(cluster.kubeconfig))

    gaps = {gap.what: gap.reason for gap in wired.ready_to_act(chosen, client, namespace)}

    assert "takes 2 GPUs" in gaps["prefill target"]
    assert "could not be checked" in gaps["decode target"]
