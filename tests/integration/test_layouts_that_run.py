"""The planner sizes with the layouts that the cluster really runs, and a restart finds them there."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.artifact import Machine, ProfileArtifact, Selection, dump
from models.values import Role
from planner import wiring
from planner.cluster.deployed import deployed_layouts
from planner.cluster.reshape_note import RESHAPE, Phase, ReshapeNote
from planner.reshaping import Following
from tests import builders
from tests.integration import dynamo_crds as crds
from tests.integration.kube_cluster import Cluster

pytestmark = pytest.mark.integration

PREFILL, DECODE = Role.PREFILL, Role.DECODE
MERGE = "application/merge-patch+json"


def deployment(folder: Path) -> wiring.Deployment:
    layouts = (*builders.layouts().values(), builders.decode_layout(tp=8))
    artifact = ProfileArtifact(
        model="gpt-oss-120b",
        machines=(Machine("gb200", gpus_per_node=4, scaleup_gpus=72),),
        engine="vllm",
        backend="builder",
        created_at="2026-11-01T00:00:00Z",
        layouts=layouts,
        selection=Selection(
            {PREFILL: "TP1", DECODE: "TP4"}, {PREFILL: 1, DECODE: 1}, 5, True, "for this test"
        ),
    )
    (folder / "profile.json").write_text(dump(artifact))
    pools = {
        "prefill": {"target": {"kind": "Deployment", "name": "prefill"}},
        "decode": {"target": {"kind": "Deployment", "name": "decode"}, "alternatives": ["TP8"]},
    }
    stated = {
        "name": "chat",
        "model": "gpt-oss-120b",
        "profile": "profile.json",
        "mode": "act",
        "pools": pools,
    }
    config = folder / "headgate.yaml"
    config.write_text(json.dumps({"deployments": [{**stated, "reshape": {"allowed": True}}]}))
    return wiring.deployment(wiring.read_config(config))


def owner(name: str, width: int) -> dict[str, Any]:
    made = crds.workload("Deployment", name, 2, gpus=width)
    engine = made["spec"]["template"]["spec"]["containers"][0]
    engine["args"] = ["serve", "--tensor-parallel-size", str(width)]
    return made


def names(chosen: wiring.Deployment) -> dict[Role, str]:
    return {role: layout.parallelism.name for role, layout in chosen.served.layouts.items()}


def test_what_the_templates_run_is_sized_with_and_the_stated_layout_may_come_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    namespace = cluster.make_namespace("layouts")
    for name, width in (("prefill", 1), ("decode", 4)):
        crds.create(cluster, namespace, owner(name, width))
    api = KubernetesCluster(kubernetes_access(cluster.kubeconfig))
    connected = wiring.Connected(api, api, namespace)
    stated = deployment(tmp_path)
    assert Following(connected)(stated, 0.0) is None, "the file says what runs"

    path = crds.path(namespace, "apps/v1", "Deployment", "decode")
    cluster.request("PATCH", path, {"spec": owner("decode", 8)["spec"]}, MERGE)
    following = Following(connected)
    found = following(stated, 0.0)
    assert found is not None
    assert names(found) == {PREFILL: "TP1", DECODE: "TP8"}
    assert found.policy.config_digest != stated.policy.config_digest, "records of both are told apart"
    assert [each.parallelism.name for each in found.served.alternatives[DECODE]] == ["TP4"]
    assert following(found, 1.0) is None, "settled"
    again = Following(connected)(deployment(tmp_path), 100.0)
    assert again is not None
    assert names(again) == names(found), "a restart finds the same"
    assert again.policy.config_digest == found.policy.config_digest

    cluster.request("PATCH", path, {"spec": owner("decode", 4)["spec"]}, MERGE)
    assert following(found, 30.0) is None, "looked at once a minute"
    back = following(found, 31.0, True)
    assert back is not None
    assert (names(back), back.policy.config_digest) == (names(stated), stated.policy.config_digest)


def test_while_a_role_changes_the_wider_layout_counts_and_what_cannot_be_told_is_said(
    cluster: Cluster, tmp_path: Path
) -> None:
    namespace = cluster.make_namespace("layouts")
    crds.create(cluster, namespace, owner("decode", 4))
    strange = owner("prefill", 1)
    strange["spec"]["template"]["spec"]["containers"][0]["args"] = ["serve", "--config", "engine.yaml"]
    crds.create(cluster, namespace, strange)
    note = ReshapeNote(DECODE, Phase.FORWARD, "TP4", "TP8", 0.0, 60.0, [])
    path = crds.path(namespace, "apps/v1", "Deployment", "decode")
    cluster.request("PATCH", path, {"metadata": {"annotations": {RESHAPE: note.dump()}}}, MERGE)

    api = KubernetesCluster(kubernetes_access(cluster.kubeconfig))
    chosen = deployment(tmp_path)
    targets = wiring.Connected(api, api, namespace).targets(chosen)
    known = {
        role: (layout, *chosen.served.alternatives[role]) for role, layout in chosen.served.layouts.items()
    }
    found, gaps = deployed_layouts(api, targets, known, wiring.arguments(chosen))
    assert found == {DECODE: "TP8"}
    (gap,) = gaps
    assert gap.what == "layout of prefill"
    assert "--config may state widths of its own" in gap.reason
