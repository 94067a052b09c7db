"""What status says: ready, on its way, or stuck, with the words of whoever knows why."""

from typing import Any

import pytest

from profiler.measure.deployed.readiness import Stage, State, candidate_state, object_state, pod_state
from tests.unit.deployed.stage import READY, pod


def deployment(**status: Any) -> dict[str, Any]:
    """Return a Deployment of one replica."""
    metadata = {"name": "engine", "generation": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": 1},
        "status": status,
    }


def graph(**status: Any) -> dict[str, Any]:
    """Return a DynamoGraphDeployment."""
    metadata = {"name": "graph", "generation": 2}
    return {"kind": "DynamoGraphDeployment", "metadata": metadata, "spec": {}, "status": status}


def condition(kind: str, status: str, reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def container(**of: Any) -> list[dict[str, Any]]:
    return [{"name": "main", "restartCount": 0, **of}]


@pytest.mark.parametrize(
    ("found", "stage", "said"),
    [
        (deployment(), Stage.STARTING, "0 of 1 pods are ready"),
        (deployment(**READY), Stage.READY, ""),
        (deployment(**{**READY, "observedGeneration": 0}), Stage.STARTING, "has not seen it yet"),
        (
            deployment(
                observedGeneration=1,
                conditions=[
                    condition(
                        "ReplicaFailure", "True", "FailedCreate", "pods forbidden: exceeded quota: gpus"
                    )
                ],
            ),
            Stage.UNSCHEDULED,
            "quota is used up: pods forbidden: exceeded quota: gpus",
        ),
        (graph(), Stage.STARTING, "does the Dynamo operator run"),
        (graph(state="pending"), Stage.STARTING, "is pending"),
        (graph(state="successful"), Stage.READY, ""),
        (graph(state="successful", observedGeneration=1), Stage.STARTING, "has not seen it yet"),
        (graph(state="successful", conditions=[condition("Ready", "True")]), Stage.READY, ""),
        (
            graph(
                state="pending",
                conditions=[condition("Ready", "False", "insufficient_capacity", "2 of 4 scheduled")],
            ),
            Stage.UNSCHEDULED,
            "no capacity: 2 of 4 scheduled",
        ),
        (
            graph(state="failed", conditions=[condition("Ready", "False", "x", "bad image spec")]),
            Stage.FAILED,
            "failed: bad image spec",
        ),
        ({"kind": "Service", "metadata": {"name": "s"}}, Stage.READY, ""),
        (
            {
                "kind": "LeaderWorkerSet",
                "metadata": {"name": "s"},
                "status": {"conditions": [condition("Available", "False", "GroupsProgressing")]},
            },
            Stage.STARTING,
            "GroupsProgressing",
        ),
    ],
)
def test_an_objects_status_says_how_far_it_is(found: dict[str, Any], stage: Stage, said: str) -> None:
    state = object_state(found)

    assert state.stage is stage
    assert said in state.reason


@pytest.mark.parametrize(
    ("status", "stage", "said"),
    [
        ({"phase": "Pending"}, Stage.STARTING, "is pending and not ready"),
        (
            {
                "conditions": [
                    condition(
                        "PodScheduled", "False", "Unschedulable", "0/3 nodes: 3 Insufficient nvidia.com/gpu"
                    )
                ]
            },
            Stage.UNSCHEDULED,
            "no node takes it: 0/3 nodes: 3 Insufficient nvidia.com/gpu",
        ),
        (
            {
                "containerStatuses": container(
                    state={"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
                )
            },
            Stage.NOT_PULLED,
            "its image cannot be pulled: not found",
        ),
        (
            {"containerStatuses": container(state={"waiting": {"reason": "CreateContainerConfigError"}})},
            Stage.NOT_PULLED,
            "cannot be made: CreateContainerConfigError",
        ),
        (
            {
                "containerStatuses": container(
                    restartCount=2,
                    state={"waiting": {"reason": "CrashLoopBackOff"}},
                    lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                )
            },
            Stage.FAILED,
            "ended with code 137 (OOMKilled), 2 times",
        ),
        (
            {
                "initContainerStatuses": container(
                    restartCount=3, lastState={"terminated": {"exitCode": 1, "message": "no such\nmodel"}}
                )
            },
            Stage.FAILED,
            "ended with code 1: no such model",
        ),
        (
            {"containerStatuses": container(restartCount=1), "phase": "Running"},
            Stage.STARTING,
            "is running and not ready",
        ),
        ({"phase": "Failed", "reason": "Evicted"}, Stage.FAILED, "failed: Evicted"),
        ({"phase": "Running", "conditions": [condition("Ready", "True")]}, Stage.READY, ""),
    ],
)
def test_a_pods_status_says_what_holds_it_up(status: dict[str, Any], stage: Stage, said: str) -> None:
    state = pod_state(pod("p", "c", **status))

    assert state.stage is stage
    assert said in state.reason


def test_pods_know_better_than_their_owner() -> None:
    unscheduled = pod("p", "c", conditions=[condition("PodScheduled", "False", "", "no GPU left")])

    assert candidate_state([deployment()], [unscheduled]) == State(
        Stage.UNSCHEDULED, "pod p: no node takes it: no GPU left"
    )


def test_a_failure_outweighs_everything_else() -> None:
    failed = pod("p", "c", phase="Failed", message="Xid 79")

    assert candidate_state([deployment(**READY)], [failed]).stage is Stage.FAILED
