"""A budget of one kind of hardware bounds the roles that run on it, and no others."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from models.decision import Reason
from models.policy import DecidePolicy, PlanPolicy
from models.stock import Stock
from models.topology import Topology
from planner.decide.guard import Context, Proposal
from planner.decide.pipeline import run_guards
from tests.builders import layouts, observation, plan_policy, pool
from tests.unit.decide.deciding import DECODE, PREFILL, decided, reasons, sizing


def apart(prefill: int | None, decode: int | None, nodes: Topology | None = None) -> PlanPolicy:
    stocks = (Stock("H100", (PREFILL,), prefill), Stock("GB200", (DECODE,), decode, nodes))
    return replace(plan_policy(), stocks=stocks)


def test_each_role_is_held_by_the_budget_of_its_own_hardware() -> None:
    decision = decided({PREFILL: pool(4), DECODE: pool(1)}, sizing(11, 5), apart(8, 16))

    assert decision.final == {PREFILL: 8, DECODE: 4}
    assert reasons(decision, PREFILL) == [Reason.BUDGET]
    assert "the 8-GPU budget of H100 allows 8" in decision.sentence(PREFILL)
    assert "the 16-GPU budget of GB200 allows 4" in decision.sentence(DECODE)


def test_nobody_gives_gpus_that_the_other_cannot_use() -> None:
    # Prefill holds more than it needs, decode lacks GPUs of another kind: the down waits for its step.
    now = {PREFILL: pool(10), DECODE: pool(2)}
    alike = decided(now, sizing(4, 5), plan_policy(budget_gpus=24))
    different = decided(now, sizing(4, 5), apart(10, 14))

    assert reasons(alike, PREFILL)[-1] is Reason.BUDGET
    assert alike.final[PREFILL] == 4
    assert different.final == {PREFILL: 9, DECODE: 3}
    assert reasons(different, PREFILL) == [Reason.STEP]


def test_a_draining_replica_frees_gpus_of_its_own_kind_only() -> None:
    now = {PREFILL: pool(4, draining=4), DECODE: pool(2)}

    waiting = decided(now, sizing(8, 4), apart(8, 16))
    shared = decided(now, sizing(4, 4), plan_policy(budget_gpus=20))

    assert waiting.final == {PREFILL: 4, DECODE: 4}
    assert reasons(waiting, PREFILL) == [Reason.FREEING]
    assert shared.final[DECODE] == 3
    assert reasons(shared, DECODE) == [Reason.FREEING]


def test_nodes_of_one_kind_undo_ups_of_their_own_roles_only() -> None:
    decision = decided({PREFILL: pool(4), DECODE: pool(1)}, sizing(9, 4), apart(None, 40, Topology(4, 8, 1)))

    assert decision.final == {PREFILL: 9, DECODE: 2}
    assert reasons(decision, DECODE) == [Reason.TOPOLOGY]


def test_one_number_and_budgets_per_hardware_hold_together() -> None:
    plan = replace(apart(8, 16), budget_gpus=16)

    decision = decided({PREFILL: pool(1), DECODE: pool(1)}, sizing(11, 5), plan)

    gpus = decision.final[PREFILL] + 4 * decision.final[DECODE]
    assert gpus <= 16
    assert decision.final[PREFILL] <= 8


@given(
    st.integers(1, 20),
    st.integers(1, 6),
    st.integers(1, 30),
    st.integers(1, 10),
    st.integers(4, 24),
    st.integers(8, 32),
)
def test_ups_stay_inside_every_budget_and_decisions_are_idempotent(
    prefill: int, decode: int, wants: int, needs: int, h100: int, gb200: int
) -> None:
    plan, now = apart(h100, gb200), {PREFILL: pool(prefill), DECODE: pool(decode)}
    context = Context(observation(pools=now), sizing(wants, needs), plan, DecidePolicy(), layouts())

    final, _ = run_guards(Proposal({PREFILL: wants, DECODE: needs}), context)
    again, _ = run_guards(final, context)

    assert final.counts[PREFILL] <= max(h100, prefill)
    assert 4 * final.counts[DECODE] <= max(gb200, 4 * decode)
    assert again.counts == final.counts
