"""The chart's Roles grant what the code says that it needs, and not a verb more."""

from typing import Any

import pytest

from planner.sharding import Shard
from tests.chart.helm import Helm
from tests.chart.rights import Right, granted, leading, needed
from tests.chart.samples import OWN_OBJECTS

LAYOUTS = {"prefill": {"layout": "TP1", "min": 1}, "decode": {"layout": "TP4", "min": 1}}


def deployment(name: str, mode: str = "act", target: Any = None, **pools: Any) -> dict[str, Any]:
    """Write a deployment whose pools have these targets."""
    written = {role: {**LAYOUTS.get(role, LAYOUTS["decode"])} for role in (pools or LAYOUTS)}
    for role, its in pools.items():
        if its is not None:
            written[role]["target"] = its
    more = {} if target is None else {"target": target}
    return {"name": name, "model": "m", "mode": mode, "pools": written, **more}


def scaled(name: str, kind: str = "Deployment", **more: str) -> dict[str, str]:
    return {"kind": kind, "name": name, **more}


GRAPH = {"namespace": "serving", "dynamo": "chat"}
ROLE_SET = {"api_version": "orchestration.aibrix.ai/v1alpha1"}
FLEETS: dict[str, list[dict[str, Any]]] = {
    "a graph": [deployment("chat", target=GRAPH)],
    "a graph that is watched": [deployment("chat", "observe", GRAPH)],
    "a graph whose changes are checked": [deployment("chat", "recommend", GRAPH)],
    "a graph with components by name": [
        deployment("chat", target=GRAPH, prefill={"component": "Prefill"}, decode={"component": "VllmDecode"})
    ],
    "a component by name beside one by type": [
        deployment("chat", target=GRAPH, prefill={"component": "Prefill"}, decode=None)
    ],
    "scaling adapters": [
        deployment(
            "chat",
            prefill=scaled("chat-prefill", "DynamoGraphDeploymentScalingAdapter"),
            decode=scaled("chat-decode", "DynamoGraphDeploymentScalingAdapter"),
        )
    ],
    "an owner a pool": [
        deployment("chat", prefill=scaled("p", "StatefulSet"), decode=scaled("d", "LeaderWorkerSet"))
    ],
    "an aggregated pool": [deployment("shop", aggregated=scaled("shop", namespace="shop"))],
    "another's kind": [
        deployment("shop", aggregated=scaled("shop", "RoleSet", **ROLE_SET)),
        deployment("mail", aggregated=scaled("mail", "Proxy", api_version="example.org/v1")),
        deployment("post", aggregated=scaled("post", "ModelMatrix", api_version="example.org/v1")),
    ],
    "several in one namespace, one of them acting": [
        deployment("chat", "observe", GRAPH),
        deployment("mail", "act", {"namespace": "serving", "dynamo": "mail"}),
        deployment("shop", "observe", aggregated=scaled("shop", namespace="serving")),
    ],
    "layouts that may change": [
        {
            **deployment("chat", prefill=scaled("p"), decode=scaled("d", "LeaderWorkerSet")),
            "reshape": {"allowed": True},
        },
        {**deployment("shop", "observe", aggregated=scaled("s")), "reshape": {"allowed": True}},
    ],
    "headroom pods": [
        {**deployment("chat", target=GRAPH), "nodes": {"headroom": {"image": "pause:3"}}},
        {
            **deployment("shop", aggregated=scaled("shop", namespace="shop")),
            "nodes": {"headroom": {"image": "pause:3", "name": "spare"}},
        },
    ],
    "none that names a target": [deployment("chat")],
}


@pytest.mark.integration
@pytest.mark.parametrize("fleet", FLEETS)
def test_roles_grant_what_is_needed_and_nothing_more(fleet: str, helm: Helm) -> None:
    config = {"deployments": FLEETS[fleet]}

    found = granted(helm.template({"config": config}))

    assert found == needed(config, helm.namespace) | leading(helm.namespace)


@pytest.mark.integration
@pytest.mark.parametrize("fleet", FLEETS)
def test_who_only_watches_may_change_nothing(fleet: str, helm: Helm) -> None:
    watching = [{**each, "mode": "observe"} for each in FLEETS[fleet]]

    found = granted(helm.template({"config": {"deployments": watching}}))

    changes = {each for each in found if each.verb not in ("get", "list", "watch")}
    assert {each.resource for each in changes} <= {"events", "leases"}


@pytest.mark.integration
def test_no_release_may_delete_escalate_or_see_secrets(helm: Helm) -> None:
    config = {"deployments": [each for fleet in ("a graph", "an owner a pool") for each in FLEETS[fleet]]}
    config["deployments"][1]["name"] = "other"
    objects = helm.template({"config": config})

    assert not any(each["kind"].startswith("ClusterRole") for each in objects)
    found = granted(objects)
    assert not {
        each for each in found if each.verb in ("delete", "deletecollection", "update", "*", "escalate")
    }
    assert not {each for each in found if each.resource in ("secrets", "pods/exec", "configmaps", "*")}


AGENT_POOL = {
    "subscription": "00000000-0000-0000-0000-000000000000",
    "resource_group": "serving",
    "cluster": "aks",
    "pool": "gb200",
}


@pytest.mark.integration
@pytest.mark.parametrize(("mode", "rules"), [("act", [["list"]]), ("observe", [])])
def test_only_who_orders_nodes_looks_beyond_its_namespaces(
    mode: str, rules: list[list[str]], helm: Helm
) -> None:
    config = {"deployments": [{**deployment("chat", mode, GRAPH), "nodes": {"agent_pools": [AGENT_POOL]}}]}
    objects = helm.template({"config": config})

    found = [rule for each in objects if each["kind"] == "ClusterRole" for rule in each["rules"]]

    assert [rule["verbs"] for rule in found] == rules
    assert all(rule["resources"] == ["nodes", "pods"] for rule in found)


@pytest.mark.integration
def test_every_shard_has_its_own_deployment_and_lease(helm: Helm) -> None:
    objects = helm.template({"config": {"deployments": FLEETS["a graph"]}, "shards": 3})

    pods = {
        each["metadata"]["name"]: each["spec"]["template"] for each in objects if each["kind"] == "Deployment"
    }
    assert list(pods) == ["headgate-0", "headgate-1", "headgate-2"]
    for index, pod in enumerate(pods.values()):
        args = pod["spec"]["containers"][0]["args"]
        assert f"--shard={index}/3" in args
        assert "--lease=headgate" in args
        assert pod["metadata"]["labels"]["headgate.io/shard"] == str(index)
    leases = {right.name for right in granted(objects) if right.resource == "leases" and right.name}
    assert leases == {Shard(index, 3).lease("headgate") for index in range(3)}


@pytest.mark.integration
def test_targets_of_a_configuration_of_ones_own_are_stated(helm: Helm) -> None:
    values = {**OWN_OBJECTS, "serviceAccount": {"create": True}}

    found = granted(helm.template(values))

    assert Right("serving", "orchestration.aibrix.ai", "rolesets/scale", "patch") in found
    assert Right("serving", "apps", "deployments/scale", "patch") in found
    trial = {each for each in found if each.namespace == "trial"}
    group = "leaderworkerset.x-k8s.io"
    assert {each.verb for each in trial if each.group == group} == {"get", "list", "watch"}
    assert {each.verb for each in trial if each.resource == "pods"} == {"list", "watch"}
