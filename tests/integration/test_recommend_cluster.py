"""`headgate recommend` sees the pools of a real cluster, through the flags that kubectl has."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from models.artifact import Machine, ProfileArtifact, Selection, dump
from models.values import Role
from planner.cli import headgate
from tests import builders
from tests.integration import dynamo_crds
from tests.integration.kube_cluster import Cluster
from tests.integration.kube_objects import Hand, unschedulable
from tests.integration.loopback import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CONFIG = """\
prometheus: {{url: "http://127.0.0.1:{port}", retries: 0}}
deployments:
  - name: chat
    model: gpt-oss-120b
    profile: profile.json
    budget: {{gpus: 40}}
    target: {{dynamo: chat}}
    pools: {{prefill: {{min: 1}}, decode: {{min: 1}}}}
    classes: [{{name: chat, slo: {{ttft: 500ms, itl: 30ms}}}}]
"""


def _recommend(folder: Path, *arguments: str) -> Result:
    layouts = builders.layouts()
    chosen = {role: layout.parallelism.name for role, layout in layouts.items()}
    profile = ProfileArtifact(
        model="gpt-oss-120b",
        machines=(Machine("gb200", gpus_per_node=4, scaleup_gpus=72),),
        engine="analytic",
        backend="builder",
        created_at="2026-11-01T00:00:00Z",
        layouts=tuple(layouts.values()),
        selection=Selection(chosen, {Role.PREFILL: 1, Role.DECODE: 1}, 5, True, "for this test"),
    )
    (folder / "profile.json").write_text(dump(profile))
    (folder / "headgate.yaml").write_text(CONFIG.format(port=free_port()))
    asked = ["recommend", "--config", str(folder / "headgate.yaml"), *arguments]
    return CliRunner().invoke(headgate, asked)


def test_pools_come_from_the_cluster_that_is_named(cluster: Cluster, tmp_path: Path) -> None:
    dynamo_crds.install(cluster)
    hand = Hand(cluster, cluster.make_namespace("recommend"))
    parts = [dynamo_crds.component(n, t, r) for n, t, r in (("P", "prefill", 3), ("D", "decode", 2))]
    hand.create(dynamo_crds.graph("chat", parts))
    labels = {"nvidia.com/dynamo-graph-deployment-name": "chat"}
    for i in range(3):
        hand.pod(f"p{i}", {**labels, "nvidia.com/dynamo-component": "P"})
    hand.pod("d", {**labels, "nvidia.com/dynamo-component": "D"})
    named = ("--kubeconfig", str(cluster.kubeconfig), "-o", "json")

    seen = _recommend(tmp_path, *named, "-n", hand.namespace)

    assert seen.exit_code == 0, seen.output
    pools = json.loads(seen.stdout)["pools"]
    assert {role: (pool["desired"], pool["ready"]) for role, pool in pools.items()} == {
        "prefill": (3, 3),
        "decode": (2, 1),
    }
    assert "at their floors" not in seen.stdout

    why = "0/9 nodes are available: 9 Insufficient nvidia.com/gpu."
    hand.pod(
        "d2", {**labels, "nvidia.com/dynamo-component": "D"}, [unschedulable(why, 3600)], phase="Pending"
    )
    table = _recommend(tmp_path, "--kubeconfig", str(cluster.kubeconfig), "-n", hand.namespace)
    assert f"Stuck: 1 of decode (unschedulable): {why}" in table.stdout

    absent = _recommend(tmp_path, *named)
    assert absent.exit_code == 1
    assert "there is no DynamoGraphDeployment default/chat" in str(absent.exception or absent.output)


def test_without_a_cluster_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    told = _recommend(tmp_path)

    assert told.exit_code != 0
    said = str(told.exception or "") + told.output
    assert "no cluster to talk to" in said
    assert "or state the pools with --cluster-state FILE" in said
