"""A switch counts what old and new replicas take together, and what must be there throughout."""

from typing import Any

import pytest

from models.decision import Decision, Reshape
from models.plan.switching import switch
from models.reshaping import Switch
from models.values import Parallelism, Role
from planner.cluster.strategies import Replacing, replacing
from tests.builders import forecast, layouts, observation, plan_policy, prefill_layout

PREFILL, DECODE = Role.PREFILL, Role.DECODE
TP1, TP4 = Parallelism(tp=1), Parallelism(tp=4)


def ask(to: Parallelism, instead_of: Parallelism, current: int) -> Switch:
    return Switch(DECODE, to, instead_of, current, current, None, "", {}, 100.0, 20.0, 60.0)


@pytest.mark.parametrize(
    ("to", "instead_of", "replicas", "surge", "most"),
    [
        (TP4, TP1, 4, 0, 16),  # the last old one is gone before the last new one starts
        (TP4, TP1, 4, 1, 17),  # one old replica is there beside four new ones
        (TP1, TP4, 4, 1, 17),
        (TP1, TP4, 4, 0, 16),
        (TP4, TP1, 3, 9, 15),  # never more of the old than there were
    ],
)
def test_the_most_gpus_are_those_of_the_worst_mixture(
    to: Parallelism, instead_of: Parallelism, replicas: int, surge: int, most: int
) -> None:
    assert ask(to, instead_of, replicas).most_gpus(surge) == most


def test_the_deadline_follows_the_time_to_ready_and_how_many_go_at_once() -> None:
    assert ask(TP4, TP1, 4).deadline_s(1) == 1.5 * 4 * 120
    assert ask(TP4, TP1, 4).deadline_s(3) == 1.5 * 2 * 120
    assert ask(TP4, TP1, 4).deadline_s(0) == 1.5 * 4 * 120


def proposed(layout: str) -> Reshape:
    names = {PREFILL: layout}
    return Reshape(names, {PREFILL: "TP1"}, {PREFILL: 3}, 0.2, 2.0, None, 0.0, 60.0, None, (), True, "")


def decided(prefill: int) -> Decision:
    counts = {PREFILL: prefill, DECODE: 2}
    return Decision(counts, counts, counts)


def test_as_many_are_needed_as_the_weaker_layout_asks_for_while_it_lasts() -> None:
    seen, then = observation(counts={PREFILL: 12, DECODE: 2}), forecast({"pages": 100.0, "email": 20.0})
    wide, same = prefill_layout(400_000.0, tp=4), prefill_layout(50_000.0, tp=2)
    plan = plan_policy(budget_gpus=64)

    def step(other: Any, name: str) -> Switch:
        found = switch(seen, then, layouts(), {PREFILL: (other,)}, plan, proposed(name), decided(12))
        assert found is not None
        return found

    wider = step(wide, "TP4")
    assert wider.needed == step(prefill_layout(110_000.0, tp=2), "TP2").needed, "the old layout asks for most"
    assert step(same, "TP2").needed > 1.5 * wider.needed, "the new one does half of the work"
    assert (wider.left_gpus, wider.limit) == (64 - 2 * 4, "64-GPU budget")
    assert wider.others_needed.keys() == {DECODE}


QUARTERS = {"maxSurge": "25%", "maxUnavailable": "25%"}


@pytest.mark.parametrize(
    ("manifest", "status", "expected"),
    [
        ({"kind": "Deployment", "spec": {}}, {}, (2, 1)),
        (
            {
                "kind": "Deployment",
                "spec": {"strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 0}}},
            },
            {},
            (3, 0),
        ),
        (
            {
                "kind": "Deployment",
                "spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
            },
            {},
            (0, 1),
        ),
        ({"kind": "StatefulSet", "spec": {}}, {}, (0, 1)),
        ({"kind": "X", "spec": {"leaderWorkerTemplate": {}}}, {}, (0, 1)),
        ({"kind": "DynamoGraphDeployment"}, {"componentKind": "PodClique"}, (0, 1)),
        ({"kind": "DynamoGraphDeployment"}, {"componentKind": "Deployment"}, (2, 1)),
        ({"kind": "Deployment", "spec": {"strategy": {"type": "Recreate"}}}, {}, "is Recreate"),
        ({"kind": "StatefulSet", "spec": {"updateStrategy": {"type": "OnDelete"}}}, {}, "is OnDelete"),
        ({"kind": "Fleet", "spec": {}}, {}, "is not known"),
    ],
)
def test_how_an_owner_replaces_five_replicas(
    manifest: dict[str, Any], status: dict[str, Any], expected: tuple[int, int] | str
) -> None:
    found = replacing(manifest, status, None, 5)
    if isinstance(expected, str):
        assert expected in str(found)
    else:
        assert isinstance(found, Replacing)
        assert (found.surge, found.unavailable) == expected


def test_a_components_annotations_pace_it() -> None:
    marks = {"nvidia.com/deployment-rolling-update-max-unavailable": "0"}
    found = replacing(
        {"kind": "DynamoGraphDeployment"}, {"componentKind": "Deployment"}, {"annotations": marks}, 5
    )
    assert isinstance(found, Replacing)
    assert (found.surge, found.unavailable) == (2, 0)
