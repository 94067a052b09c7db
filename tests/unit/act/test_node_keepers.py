"""Deployments that name one agent pool share its keeper; what cannot be had is refused before a tick."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from models.errors import ConfigError
from models.nodes import AgentPoolPolicy, HeadroomPolicy, NodesAhead, NodesPolicy, NodeState
from models.values import Role
from planner.act.agent_pool_state import AgentPool, Refusal
from planner.nodes import NodesWanted, keepers_of
from tests.builders import plan_policy

PREFILL, DECODE = Role.PREFILL, Role.DECODE
POOL = AgentPoolPolicy("sub", "fleet", "aks", "gb200", "https://arm")


@dataclass
class FakePool:
    """Be an agent pool that does at once what it is asked."""

    policy: AgentPoolPolicy
    count: int = 4
    asked: list[int] = field(default_factory=list)

    def look(self) -> AgentPool | Refusal:
        return AgentPool(self.count, False, None, None, "Succeeded")

    def resize(self, pool: AgentPool, count: int) -> Refusal | None:
        self.count = count
        self.asked.append(count)
        return None

    def delete(self, machines: Sequence[str]) -> Refusal | None:
        self.count -= len(machines)
        return None


def wanted(name: str, *pools: AgentPoolPolicy, **changes: Any) -> NodesWanted:
    made = NodesWanted(name, True, NodesPolicy(), {}, {PREFILL: 4, DECODE: 4}, None, pools)
    return replace(made, **changes)


def ahead(prefill: int, decode: int) -> NodesAhead:
    counts = {PREFILL: prefill, DECODE: decode}
    return NodesAhead(counts, counts, counts, counts, {PREFILL: 1, DECODE: 4})


def test_deployments_of_one_pool_share_it_and_its_tightest_bounds() -> None:
    opened: list[FakePool] = []

    def open_pool(policy: AgentPoolPolicy) -> FakePool:
        opened.append(FakePool(policy))
        return opened[-1]

    mail = replace(POOL, pool="GB200", roles=frozenset({DECODE}), max_nodes=9)
    both = [wanted("chat", replace(POOL, max_nodes=12)), wanted("mail", mail)]
    keepers = keepers_of(both, None, open_pool)  # type: ignore[arg-type]

    (pool,) = opened
    assert pool.policy.max_nodes == 9
    plan = plan_policy()
    assert keepers["chat"].keep(ahead(8, 3), plan, 0.0)[0].wanted == 5
    (order,) = keepers["mail"].keep(ahead(8, 6), plan, 60.0)
    assert (order.state, order.wanted) == (NodeState.ORDERED, 9)
    assert "its `max` of 9 caps the 11 that are needed" in order.sentence
    assert pool.asked == [5, 9]


def test_a_pool_of_two_kinds_of_nodes_is_refused() -> None:
    mixed = wanted("chat", POOL, gpus_per_node={PREFILL: 8, DECODE: 4})
    with pytest.raises(ConfigError, match="nodes of 4 and 8 GPUs; name the `roles`"):
        keepers_of([mixed], None, FakePool)  # type: ignore[arg-type]


def test_headroom_without_a_target_is_refused() -> None:
    lost = wanted("chat", headroom=HeadroomPolicy("pause", "low", "chat-headroom"))
    with pytest.raises(ConfigError, match="no `target` says where that is"):
        keepers_of([lost], None, FakePool)  # type: ignore[arg-type]
