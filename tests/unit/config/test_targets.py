"""Each pool names the object that it is the replicas of, and a mistake is told where it was made."""

from pathlib import Path

import pytest

from models.target import ObjectRef, PoolTarget
from models.values import Role
from tests.unit.config.files import errors, loaded

FLEET = """\
deployments:
  - name: chat
    model: gpt-oss-120b
    target: {namespace: inference, dynamo: chat}
    pools:
      prefill: {layout: TP1}
      decode: {layout: TEP4}
"""


def _targets(folder: Path, text: str) -> dict[Role, PoolTarget]:
    return loaded(folder, text).settings.deployments[0].targets()


def _told(folder: Path, text: str) -> str:
    lines = errors(folder, text)
    assert len(lines) == 1, lines
    return lines[0]


def test_a_dynamo_graph_holds_every_pool_that_says_nothing_else(tmp_path: Path) -> None:
    text = FLEET.replace("{layout: TEP4}", "{layout: TEP4, target: {component: VllmDecodeWorker}}")
    graph = ObjectRef("nvidia.com/v1beta1", "DynamoGraphDeployment", "chat", "inference")

    assert _targets(tmp_path, text) == {
        Role.PREFILL: PoolTarget(graph),
        Role.DECODE: PoolTarget(graph, "VllmDecodeWorker"),
    }


@pytest.mark.parametrize(
    ("kind", "api_version"),
    [
        ("Deployment", "apps/v1"),
        ("StatefulSet", "apps/v1"),
        ("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1"),
        ("DynamoGraphDeploymentScalingAdapter", "nvidia.com/v1beta1"),
    ],
)
def test_known_kinds_need_no_api_version(tmp_path: Path, kind: str, api_version: str) -> None:
    stated = f"{{layout: TEP4, target: {{kind: {kind}, name: chat-decode, pods: 'role in (decode),app=x'}}}}"

    found = _targets(tmp_path, FLEET.replace("{layout: TEP4}", stated))[Role.DECODE]

    expected = ObjectRef(api_version, kind, "chat-decode", "inference")
    assert found == PoolTarget(expected, pods="role in (decode),app=x")


def test_any_kind_with_a_scale_goes_by_its_api_version_and_namespace(tmp_path: Path) -> None:
    stated = "target: {kind: StormService, api_version: orchestration.aibrix.ai/v1alpha1, name: d, "
    text = FLEET.replace("{layout: TEP4}", f"{{layout: TEP4, {stated}namespace: other}}}}")

    owner = _targets(tmp_path, text)[Role.DECODE].owner

    assert owner == ObjectRef("orchestration.aibrix.ai/v1alpha1", "StormService", "d", "other")


def test_no_namespace_stands_for_that_of_the_credentials(tmp_path: Path) -> None:
    found = _targets(tmp_path, FLEET.replace("namespace: inference, ", ""))[Role.PREFILL]

    assert found.owner.namespace == ""
    assert found.placed("mine").owner.namespace == "mine"
    assert found.placed("mine").placed("theirs").owner.namespace == "mine"


def test_without_any_target_there_is_none(tmp_path: Path) -> None:
    assert _targets(tmp_path, FLEET.replace("    target: {namespace: inference, dynamo: chat}\n", "")) == {}


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("{kind: Deployment}", "target.name: is missing: which Deployment?"),
        ("{name: chat}", "target.name: says nothing without a `kind`; state it too, such as Deployment, got"),
        (
            "{kind: Deploymnt, name: d}",
            "target.api_version: is missing: Deploymnt is of no kind that is known here, state its group; or",
        ),
        (
            "{kind: deployment, name: d}",
            "target.kind: is no kind as Kubernetes writes it; did you mean Deployment?, got 'deployment'",
        ),
        (
            "{kind: StatefulSet, name: d, component: x}",
            "target.component: is of a DynamoGraphDeployment; a StatefulSet has none",
        ),
        ("{kind: Deployment, nam: d}", "target.nam: unknown key; did you mean 'name'?"),
        (
            "{kind: Deployment, name: d, pods: 'a=b=c'}",
            "target.pods: is no label selector; write for example app=chat,role=decode, got 'a=b=c'",
        ),
        (
            "{kind: Foo, api_version: apps/1, name: d}",
            "target.api_version: is no API version; write for example apps/v1 or leaderworkerset.x-k8s.io/v1",
        ),
    ],
)
def test_a_mistake_in_a_target_is_told_with_its_key(tmp_path: Path, stated: str, told: str) -> None:
    lines = errors(tmp_path, FLEET.replace("{layout: TEP4}", f"{{layout: TEP4, target: {stated}}}"))

    wanted = f"headgate.yaml:7: deployments[0].pools.decode.{told}"
    assert any(line.startswith(wanted) for line in lines), lines


def test_a_pool_is_not_left_without_an_object_while_the_other_has_one(tmp_path: Path) -> None:
    text = FLEET.replace("    target: {namespace: inference, dynamo: chat}\n", "").replace(
        "{layout: TEP4}", "{layout: TEP4, target: {kind: Deployment, name: d}}"
    )
    assert "deployments[0].pools.prefill: has no `target`, and others have" in _told(tmp_path, text)

    text = FLEET.replace("dynamo: chat", "").replace("{layout: TEP4}", "{target: {component: D}}")
    assert any("decode.target: names no object" in line for line in errors(tmp_path, text))


def test_one_object_cannot_be_two_pools_of_one_or_two_deployments(tmp_path: Path) -> None:
    same = "target: {kind: Deployment, name: d}"
    twice = FLEET.replace("{layout: TP1}", f"{{{same}}}").replace("{layout: TEP4}", f"{{{same}}}")
    assert "Deployment inference/d is the object of chat.prefill too" in _told(tmp_path, twice)

    second = FLEET.removeprefix("deployments:\n").replace("name: chat", "name: mail")
    lines = errors(tmp_path, FLEET + second)
    assert [line.split(": ")[1] for line in lines] == [
        "deployments[1].pools.prefill",
        "deployments[1].pools.decode",
    ]
