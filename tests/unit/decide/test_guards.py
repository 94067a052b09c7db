"""Check each guard's reason and the numbers it leaves, on cases that a person can follow."""

from dataclasses import replace

import pytest

from models.decision import Reason
from models.observation import QUEUE_GAP, Gap, PoolState, StartingReplica
from models.policy import DecidePolicy, PoolPolicy
from models.topology import Topology
from planner.decide.pipeline import decide
from tests.builders import AT_S, layouts, observation, plan_policy, pool
from tests.unit.decide.deciding import DECODE, PREFILL, decided, reasons, sizing


def test_an_up_is_ordered_whole_and_at_once() -> None:
    decision = decided({PREFILL: pool(4), DECODE: pool(1)}, sizing(11, 3))
    assert decision.final == {PREFILL: 11, DECODE: 3}
    assert decision.adjustments == ()


def test_a_down_goes_one_step_at_a_time() -> None:
    decision = decided({PREFILL: pool(30), DECODE: pool(3)}, sizing(10, 1))
    # A tenth of 30 is 3; of 3 it is less than one, so one.
    assert decision.final == {PREFILL: 27, DECODE: 2}
    assert reasons(decision, PREFILL) == [Reason.STEP]


def test_a_down_stops_at_what_the_hold_time_needs() -> None:
    decision = decided({PREFILL: pool(10), DECODE: pool(2)}, sizing(5, 2, upper={PREFILL: 10}))
    assert decision.final[PREFILL] == 10
    assert reasons(decision, PREFILL) == [Reason.HOLD]


def test_a_small_surplus_is_tolerated_when_asked() -> None:
    tolerant = DecidePolicy(tolerance_ratio=0.1)
    decision = decided({PREFILL: pool(20), DECODE: pool(2)}, sizing(18, 2), policy=tolerant)
    assert decision.final[PREFILL] == 20
    assert reasons(decision, PREFILL) == [Reason.WITHIN_BAND]


def test_tolerance_never_holds_an_up_back() -> None:
    tolerant = DecidePolicy(tolerance_ratio=0.5)
    assert decided({PREFILL: pool(20), DECODE: pool(2)}, sizing(21, 2), policy=tolerant).final[PREFILL] == 21


def test_a_pause_holds_one_role_and_leaves_the_other() -> None:
    decision = decided({PREFILL: pool(4, paused=True), DECODE: pool(1)}, sizing(9, 3))
    assert decision.final == {PREFILL: 4, DECODE: 3}
    assert reasons(decision, PREFILL) == [Reason.PAUSED]


def test_a_pin_wins_over_the_sizing() -> None:
    decision = decided({PREFILL: pool(4, pinned_replicas=6), DECODE: pool(1)}, sizing(9, 1))
    assert decision.final[PREFILL] == 6
    assert reasons(decision, PREFILL) == [Reason.PINNED]


def test_a_rollout_holds_its_role_only() -> None:
    decision = decided({PREFILL: pool(4, rollout_in_progress=True), DECODE: pool(1)}, sizing(9, 3))
    assert decision.final == {PREFILL: 4, DECODE: 3}
    assert reasons(decision, PREFILL) == [Reason.ROLLOUT]


def test_an_up_may_be_topped_up_while_replicas_start() -> None:
    coming = PoolState(desired=8, ready=5, starting=(StartingReplica(AT_S - 30),) * 3)
    assert decided({PREFILL: coming, DECODE: pool(1)}, sizing(11, 1)).final[PREFILL] == 11


def test_a_down_waits_while_replicas_start() -> None:
    coming = PoolState(desired=8, ready=5, starting=(StartingReplica(AT_S - 30),) * 3)
    decision = decided({PREFILL: coming, DECODE: pool(1)}, sizing(2, 1))
    assert decision.final[PREFILL] == 8
    assert reasons(decision, PREFILL) == [Reason.STARTING]


@pytest.mark.parametrize(
    "jammed",
    [StartingReplica(AT_S - 30, "quota refused"), StartingReplica(AT_S - 3600)],
    ids=["stuck", "late"],
)
def test_replicas_that_cannot_start_may_be_given_up(jammed: StartingReplica) -> None:
    state = PoolState(desired=8, ready=5, starting=(jammed,) * 3)
    decision = decided({PREFILL: state, DECODE: pool(1)}, sizing(2, 1))
    assert decision.final[PREFILL] == 7


def test_when_the_budget_binds_the_donor_gives_at_once_and_the_up_waits_for_its_gpus() -> None:
    plan = plan_policy(budget_gpus=24)
    first = decided({PREFILL: pool(12), DECODE: pool(3)}, sizing(16, 2, upper={DECODE: 3}), plan)
    assert first.final == {PREFILL: 12, DECODE: 2}
    assert Reason.BUDGET in reasons(first, DECODE)
    assert Reason.FREEING in reasons(first, PREFILL)
    draining = decided({PREFILL: pool(12), DECODE: pool(2, draining=1)}, sizing(16, 2), plan)
    assert draining.final == {PREFILL: 12, DECODE: 2}
    freed = decided({PREFILL: pool(12), DECODE: pool(2)}, sizing(16, 2), plan)
    assert freed.final == {PREFILL: 16, DECODE: 2}


def test_floors_and_ceilings_bound_the_final_count() -> None:
    plan = plan_policy(pools={PREFILL: PoolPolicy(3, 5), DECODE: PoolPolicy(2)})
    decision = decided({PREFILL: pool(4), DECODE: pool(2)}, sizing(9, 1), plan)
    assert decision.final == {PREFILL: 5, DECODE: 2}
    assert reasons(decision, PREFILL) == [Reason.CEILING]


def test_counts_that_the_trays_cannot_hold_are_not_asked_for() -> None:
    # Two trays of 4: one TP4 decode replica fills a tray, so 4 prefill GPUs are left.
    plan = replace(plan_policy(budget_gpus=8), topology=Topology(4, 8, 1))
    decision = decided({PREFILL: pool(2), DECODE: pool(1)}, sizing(4, 1), plan)
    assert decision.final == {PREFILL: 4, DECODE: 1}
    crowded = replace(plan, budget_gpus=None)
    decision = decided({PREFILL: pool(2), DECODE: pool(1)}, sizing(6, 1), crowded)
    assert decision.final[PREFILL] == 4
    assert Reason.TOPOLOGY in reasons(decision, PREFILL)


def test_late_demand_raises_counts_but_lowers_none() -> None:
    seen = observation(pools={PREFILL: pool(4), DECODE: pool(5)}, demand_at_s=AT_S - 120)
    decision = decide(seen, sizing(9, 1), plan_policy(), DecidePolicy(), layouts())
    assert decision.final == {PREFILL: 9, DECODE: 5}
    assert reasons(decision, DECODE) == [Reason.STALE]


def test_the_sentence_tells_the_change_and_every_reason() -> None:
    decision = decided({PREFILL: pool(30), DECODE: pool(1)}, sizing(10, 1))
    assert decision.sentence(PREFILL) == "prefill 30 -> 27: needs 10; down by 3 to 27 for now"
    assert decision.sentence(DECODE) == "decode 1: needs 1"


def test_a_queue_that_should_be_seen_and_is_not_lowers_no_prefill() -> None:
    gap = Gap(QUEUE_GAP, "queued_requests is missing")
    seen = observation(pools={PREFILL: pool(8), DECODE: pool(5)}, gaps=(gap,))
    decision = decide(seen, sizing(4, 1), plan_policy(), DecidePolicy(), layouts())
    assert decision.final == {PREFILL: 8, DECODE: 4}
    assert reasons(decision, PREFILL) == [Reason.STALE]


def test_a_pin_holds_even_without_data_and_says_so() -> None:
    seen = observation(pools={PREFILL: pool(8, pinned_replicas=3), DECODE: pool(5)}, demand_at_s=None)
    decision = decide(seen, None, plan_policy(), DecidePolicy(), layouts())
    assert decision.final == {PREFILL: 3, DECODE: 5}
    assert reasons(decision, PREFILL) == [Reason.PINNED]
    assert decision.held


def test_donors_keep_what_is_starting_although_the_budget_binds() -> None:
    coming = PoolState(desired=4, ready=2, starting=(StartingReplica(AT_S - 30),) * 2)
    decision = decided({PREFILL: pool(6), DECODE: coming}, sizing(16, 2), plan_policy(budget_gpus=24))
    # 6 + 4 * 4 GPUs are held, two are free.
    assert decision.final == {PREFILL: 8, DECODE: 4}


def test_replicas_that_wait_for_quota_hold_no_gpus() -> None:
    refused = PoolState(desired=5, ready=1, starting=(StartingReplica(AT_S - 900, "quota refused"),) * 4)
    decision = decided({PREFILL: pool(4), DECODE: refused}, sizing(8, 4), plan_policy(budget_gpus=24))
    assert decision.final[PREFILL] == 8


def test_replicas_that_are_merely_late_hold_their_gpus() -> None:
    # 1 + 4 decode replicas and 4 prefill ones stand on the 24 GPUs, whatever the late ones do there.
    late = PoolState(desired=5, ready=1, starting=(StartingReplica(AT_S - 900),) * 4)
    decision = decided({PREFILL: pool(4), DECODE: late}, sizing(8, 4), plan_policy(budget_gpus=24))
    assert decision.final[PREFILL] == 4
    assert Reason.FREEING in reasons(decision, PREFILL)
