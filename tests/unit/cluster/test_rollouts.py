"""A rollout is told from a scale by the pods of the newest template."""

from typing import Any

import pytest

from planner.cluster import rollouts


@pytest.mark.parametrize(
    ("manifest", "rolling"),
    [
        ({"kind": "Deployment", "status": {"replicas": 5, "updatedReplicas": 5, "readyReplicas": 1}}, False),
        ({"kind": "Deployment", "status": {"replicas": 5, "updatedReplicas": 2}}, True),
        ({"kind": "Deployment", "status": {"replicas": 5}}, True),
        ({"kind": "Deployment", "status": {}}, False),
        ({"kind": "Fleet", "status": {"replicas": 5}}, False),
        (
            {
                "kind": "StatefulSet",
                "spec": {"updateStrategy": {"rollingUpdate": {"partition": 3}}},
                "status": {"replicas": 5, "updatedReplicas": 2},
            },
            False,
        ),
        (
            {
                "kind": "StatefulSet",
                "spec": {"updateStrategy": {"type": "OnDelete"}},
                "status": {"replicas": 5, "updatedReplicas": 2},
            },
            False,
        ),
        (
            {
                "kind": "LeaderWorkerSet",
                "status": {"conditions": [{"type": "UpdateInProgress", "status": "True"}]},
            },
            True,
        ),
    ],
)
def test_pods_of_an_older_template_are_a_rollout(manifest: dict[str, Any], rolling: bool) -> None:
    assert bool(rollouts.rolling(manifest)) is rolling


@pytest.mark.parametrize("key", ["updatedComponents", "updatedServices"])
def test_a_component_that_is_through_with_an_update_is_free_while_others_are_not(key: str) -> None:
    update = {"phase": "InProgress", key: ["Decode"]}
    assert rollouts.of_component(update, "Decode", {}) == ""
    assert "InProgress" in rollouts.of_component(update, "Prefill", {})
