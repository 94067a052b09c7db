"""GPUs per replica are read from what makes the pods, and are unknown rather than wrong."""

from typing import Any

import pytest

from planner.cluster import dynamo, gpus


def pod(count: str | None, name: str = "main", **more: Any) -> dict[str, Any]:
    limits = {} if count is None else {"nvidia.com/gpu": count}
    return {"containers": [{"name": name, "resources": {"limits": limits}}], **more}


def test_of_a_components_containers_the_main_one_counts() -> None:
    spec = pod("4")
    spec["containers"].append({"name": "sidecar", "resources": {"limits": {"nvidia.com/gpu": "1"}}})
    component = {"podTemplate": {"spec": spec}, "multinode": {"nodeCount": 2}}
    assert gpus.of_component(component, None).gpus == 8
    assert gpus.of_pod(spec).gpus == 5


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (pod(None), "no container"),
        (pod(None, resourceClaims=[{"name": "gpus"}]), "resource claims"),
        ({"containers": [{"resources": {"limits": {"nvidia.com/mig-1g.5gb": 1}}}]}, "MIG"),
        ({}, "no container"),
    ],
)
def test_what_limits_do_not_say_is_unknown_with_the_reason(spec: dict[str, Any], said: str) -> None:
    count = gpus.of_pod(spec)
    assert count.gpus is None
    assert said in count.why


def test_claims_beside_gpus_do_not_make_them_unknown() -> None:
    # A ComputeDomain's channel is claimed, too.
    assert gpus.of_pod(pod("4", resourceClaims=[{"name": "compute-domain-channel"}])).gpus == 4


def test_a_leader_of_its_own_counts_apart_from_the_workers() -> None:
    group = {"size": 4, "leaderTemplate": {"spec": pod(None)}, "workerTemplate": {"spec": pod("8")}}
    assert gpus.of_template({"kind": "LeaderWorkerSet", "spec": {"leaderWorkerTemplate": group}}).gpus == 24


@pytest.mark.parametrize(
    "service",
    [
        {"resources": {"limits": {"gpu": "4"}}},
        {"resources": {"requests": {"gpu": 4}}},
        {"extraPodSpec": {"mainContainer": {"resources": {"limits": {"nvidia.com/gpu": "4"}}}}},
    ],
)
def test_the_older_shapes_state_gpus_in_places_of_their_own(service: dict[str, Any]) -> None:
    assert gpus.of_component(service, None).gpus == 4


@pytest.mark.parametrize(
    ("adapter", "adapted"),
    [
        (None, None),
        ({}, False),
        ({"enabled": True}, True),
        ({"disable": True}, False),
        ({"disable": False}, True),
    ],
)
def test_the_older_apis_opt_into_an_adapter_by_a_flag(
    adapter: dict[str, bool] | None, adapted: bool | None
) -> None:
    entry = {"replicas": 1} | ({} if adapter is None else {"scalingAdapter": adapter})
    graph = {"metadata": {"name": "chat"}, "spec": {"services": {"Decode": entry}}}
    found = dynamo.components(graph)
    assert found is not None
    assert found[0].adapted is adapted
