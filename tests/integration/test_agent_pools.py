"""Nodes of an AKS agent pool are had ahead of need through the real client; what Azure refuses is a state."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from models.nodes import AgentPoolPolicy, NodeOrder, NodesAhead, NodesPolicy, NodeState
from models.values import Role
from planner.act.pool_nodes import PoolNodes
from tests import components
from tests.integration import arm_server, loopback
from tests.integration.arm_server import Arm, refusal

pytestmark = pytest.mark.integration

NODES = NodesPolicy(lead_s=600.0, hold_s=1800.0, max_step_down=1, retry_s=600.0)
NOW_S = 1_700_000_000.0
TICK_S = 15.0


@dataclass
class Credential:
    """Give a token, as a workload identity does."""

    token: str

    def get_token(self, *scopes: str, **options: object) -> Any:
        from azure.core.credentials import AccessToken

        assert scopes, "a token is asked for the resource manager"
        return AccessToken(self.token, int(time.time()) + 3600)


@pytest.fixture
def arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arm]:
    components.azure()
    with arm_server.serving(tmp_path_factory.mktemp("arm")) as running:
        yield running


@dataclass
class Keeping:
    """Keep one pool for one deployment of 4-GPU replicas, tick after tick."""

    nodes: PoolNodes
    now_s: float = NOW_S

    def tick(
        self, need: int, keep: int | None = None, deployment: str = "chat", acts: bool = True
    ) -> NodeOrder:
        self.now_s += TICK_S
        return self.nodes.keep(deployment, ahead(need, keep), self.now_s, acts)

    def later(self, seconds: float) -> None:
        self.now_s += seconds


def ahead(need: int, keep: int | None = None, running: int = 0) -> NodesAhead:
    """Foresee replicas of one tray each."""
    counts: Mapping[Role, int] = {Role.AGGREGATED: running}
    return NodesAhead(
        counts, counts, {Role.AGGREGATED: need}, {Role.AGGREGATED: max(keep or 0, need)}, {Role.AGGREGATED: 4}
    )


def keeping(
    arm: Arm,
    empty: Sequence[str] = (),
    members: Sequence[str] = ("chat",),
    token: str = arm_server.TOKEN,
    **bounds: Any,
) -> Keeping:
    from planner.act.agent_pool import AksAgentPool

    policy = AgentPoolPolicy(arm_server.SUBSCRIPTION, arm_server.GROUP, arm_server.CLUSTER, "gb200", arm.url)
    pool = AksAgentPool(replace(policy, **bounds), Credential(token), arm.ca_file)
    return Keeping(PoolNodes(pool, 4, members, lambda: list(empty), NODES))


def test_the_count_of_a_pool_follows_what_is_foreseen_and_an_operation_is_not_waited_for(arm: Arm) -> None:
    arm.add_pool("gb200", count=4)
    pool = keeping(arm)

    begun = time.monotonic()
    ordered = pool.tick(need=6)
    assert time.monotonic() - begun < 5, "the operation does not end before the test says so"
    assert (ordered.state, ordered.before, ordered.wanted) == (NodeState.ORDERED, 4, 6)
    (method, body), *more = arm.written()
    assert (method, body["properties"]["count"], more) == ("PUT", 6, [])
    assert body["properties"]["nodeTaints"] == ["sku=gpu:NoSchedule"], "the rest is written back as it was"

    under_way = pool.tick(need=7)
    assert under_way.state is NodeState.UNDER_WAY
    assert "Scaling" in under_way.sentence
    assert len(arm.written()) == 1, "nothing is asked for beside an operation that runs"

    arm.finish("gb200")
    assert pool.tick(need=7).state is NodeState.ORDERED
    arm.finish("gb200")
    assert pool.tick(need=7).state is NodeState.SETTLED
    assert arm.pools["gb200"]["properties"]["count"] == 7


def test_where_the_pools_own_autoscaler_is_on_its_lower_bound_moves_and_never_the_count(arm: Arm) -> None:
    arm.add_pool("gb200", count=4, low=2, high=8)
    pool = keeping(arm)

    assert pool.tick(need=6).sentence.endswith("minCount 2 -> 6")
    properties = arm.written()[0][1]["properties"]
    assert (properties["minCount"], properties["count"]) == (6, 4)
    arm.finish("gb200")
    waits = pool.tick(need=6)
    assert waits.state is NodeState.UNDER_WAY, "4 of the 6 nodes are there"
    pool.later(NODES.lead_s + 1)
    assert pool.tick(need=6).state is NodeState.CAPACITY
    arm.pools["gb200"]["properties"]["count"] = 6
    assert pool.tick(need=6).state is NodeState.SETTLED

    capped = pool.tick(need=12)
    assert capped.sentence.endswith("minCount 6 -> 8; its maxCount of 8 caps the 12 that are needed")
    arm.finish("gb200")
    arm.pools["gb200"]["properties"]["count"] = 8
    down = pool.tick(need=3, keep=5)
    assert (down.before, down.wanted) == (8, 7), "a step at a time, and to what is kept"


def test_nodes_between_need_and_keep_stay(arm: Arm) -> None:
    arm.add_pool("gb200", count=5)
    pool = keeping(arm)

    assert [pool.tick(need=n, keep=6).state for n in (4, 5, 3, 4)] == [NodeState.SETTLED] * 4
    assert arm.written() == []


def test_only_empty_nodes_are_given_up_and_by_name(arm: Arm) -> None:
    arm.add_pool("gb200", count=5)
    free = arm.machines["gb200"][1]
    pool = keeping(arm, empty=[free])

    given = pool.tick(need=3)
    assert (given.before, given.wanted) == (5, 4)
    assert free in given.sentence
    assert arm.written() == [("POST", {"machineNames": [free]})]
    arm.finish("gb200")
    assert free not in arm.machines["gb200"]
    assert len(arm.machines["gb200"]) == 4

    pool = keeping(arm, empty=[])
    held = pool.tick(need=3)
    assert held.state is NodeState.SETTLED
    assert "none is empty" in held.sentence
    assert len(arm.written()) == 1


def test_without_trusted_data_no_node_is_given_up(arm: Arm) -> None:
    arm.add_pool("gb200", count=5)
    pool = keeping(arm, empty=arm.machines["gb200"])

    unsettled = replace(ahead(2), settled=False)
    assert pool.nodes.keep("chat", unsettled, NOW_S).state is NodeState.SETTLED
    assert pool.nodes.keep("chat", None, NOW_S + 60).state is NodeState.SETTLED
    assert arm.written() == []


def test_deployments_of_one_pool_add_up_and_none_is_given_up_before_all_were_heard(arm: Arm) -> None:
    arm.add_pool("gb200", count=6)
    pool = keeping(arm, empty=arm.machines["gb200"], members=("chat", "mail"))

    assert pool.tick(need=2).state is NodeState.SETTLED, "mail may need the rest"
    assert pool.tick(need=5, deployment="mail").wanted == 7
    assert arm.written()[0][1]["properties"]["count"] == 7


def test_a_deployment_that_does_not_act_is_told_what_would_be_done(arm: Arm) -> None:
    arm.add_pool("gb200", count=4)
    pool = keeping(arm)

    told = pool.tick(need=6, acts=False)
    assert told.sentence.endswith("dry run: count 4 -> 6")
    assert arm.written() == []


def test_another_operation_is_waited_out(arm: Arm) -> None:
    arm.add_pool("gb200", count=4)
    pool = keeping(arm)
    said = "Operation is not allowed: Another operation (Upgrading) is in progress."
    arm.next_answers.append(refusal(409, "OperationNotAllowed", said))

    busy = pool.tick(need=6)
    assert (busy.state, said in busy.sentence) == (NodeState.BUSY, True)
    assert pool.tick(need=6).state is NodeState.ORDERED


def test_a_pool_that_somebody_changed_meanwhile_is_looked_at_again(arm: Arm) -> None:
    arm.add_pool("gb200", count=4)
    pool = keeping(arm)
    pool.tick(need=4)
    arm.pools["gb200"]["properties"] |= {"eTag": "tag-of-somebody", "count": 5}

    # Within the time for which a look counts.
    assert pool.nodes.keep("chat", ahead(6), pool.now_s + 1).state is NodeState.BUSY
    again = pool.tick(need=6)
    assert (again.state, again.before) == (NodeState.ORDERED, 5)


def test_a_throttled_pool_is_left_alone_for_as_long_as_azure_says(arm: Arm) -> None:
    arm.add_pool("gb200", count=4)
    pool = keeping(arm)
    arm.next_answers.append(refusal(429, "TooManyRequests", "Slow down.", retry_after_s=120))

    begun = time.monotonic()
    assert pool.tick(need=6).state is NodeState.THROTTLED
    assert time.monotonic() - begun < 5, "the wait is no sleep"
    asked = len(arm.requests)
    assert pool.tick(need=6).state is NodeState.THROTTLED
    assert len(arm.requests) == asked, "not even looked at"
    pool.later(120)
    assert pool.tick(need=6).state is NodeState.ORDERED


QUOTA = "Operation could not be completed as it results in exceeding approved standardNDGB200v6 Cores quota."


@pytest.mark.parametrize(
    ("status", "code", "message", "state"),
    [
        (
            400,
            "ErrCode_InsufficientVCPUQuota",
            "Insufficient vcpu quota requested 256, remaining 0.",
            "quota",
        ),
        (400, "QuotaExceeded", QUOTA, "quota"),
        (409, "OperationNotAllowed", QUOTA, "quota"),
        (400, "SkuNotAvailable", "The requested VM size is currently not available in westus.", "capacity"),
        (400, "ZonalAllocationFailed", "Allocation failed. We do not have sufficient capacity.", "capacity"),
        (400, "OverconstrainedAllocationRequest", "Allocation failed.", "capacity"),
        (403, "AuthorizationFailed", "The client does not have authorization to perform action.", "refused"),
        (500, "InternalServerError", "Please retry.", "unreachable"),
    ],
)
def test_each_refusal_is_an_ordinary_state_with_a_sentence(
    arm: Arm, status: int, code: str, message: str, state: str
) -> None:
    arm.add_pool("gb200", count=4)
    pool = keeping(arm)
    arm.next_answers.append(refusal(status, code, message))

    refused = pool.tick(need=6)
    assert refused.state == state
    assert message in refused.sentence
    again = pool.tick(need=6)
    if state == "unreachable":
        assert again.state is NodeState.ORDERED
    else:
        assert (again.state, "asked for again in 9m45s" in again.sentence) == (state, True)
        assert len(arm.written()) == 1
        pool.later(NODES.retry_s)
        assert pool.tick(need=6).state is NodeState.ORDERED


@pytest.mark.parametrize("told_on_pool", [True, False])
def test_machines_refused_after_the_order_was_taken_are_asked_for_once_more(
    arm: Arm, told_on_pool: bool
) -> None:
    arm.add_pool("gb200", count=4)
    arm.tells_error_on_pool = told_on_pool
    pool = keeping(arm)
    assert pool.tick(need=6).state is NodeState.ORDERED
    arm.finish("gb200", "AllocationFailed", "We do not have sufficient capacity for the requested VM size.")

    lacking = pool.tick(need=6)
    assert lacking.state is NodeState.CAPACITY
    assert "sufficient capacity" in lacking.sentence
    pool.later(60)
    assert pool.tick(need=6).state is NodeState.CAPACITY
    assert len(arm.written()) == 1
    pool.later(NODES.retry_s)
    assert pool.tick(need=6).state is NodeState.ORDERED
    arm.finish("gb200")
    assert pool.tick(need=6).state is NodeState.SETTLED


def test_a_resource_manager_that_is_gone_or_refuses_the_token_is_a_state(arm: Arm) -> None:
    arm.add_pool("gb200", count=4)
    stranger = keeping(arm, token="expired").tick(need=6)
    assert (stranger.state, stranger.before) == (NodeState.REFUSED, None)
    assert "access token is invalid" in stranger.sentence

    gone = keeping(replace(arm, url=f"https://127.0.0.1:{loopback.free_port()}")).tick(need=6)
    assert (gone.state, gone.before) == (NodeState.UNREACHABLE, None)
    assert arm.written() == []


def test_a_pool_that_does_not_exist_is_said(arm: Arm) -> None:
    lost = keeping(arm).tick(need=6)
    assert lost.state is NodeState.REFUSED
    assert "ResourceNotFound" in lost.sentence
