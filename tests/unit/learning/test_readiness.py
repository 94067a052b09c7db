"""What a role is planned with, given the start-ups that were seen."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.policy import LONGEST_STARTUP_S, PoolPolicy
from models.readiness import LEAST_ORDERS, SLOW_RATIO, Readiness, StartUp, readiness, with_readiness
from models.values import Role
from tests import builders

TICK_S = 60.0
STATED = PoolPolicy(startup_s=60.0, startup_p99_s=600.0)


def orders(*took_s: float, replicas: int = 1) -> list[StartUp]:
    """One order per time, each seen ready at the first look after it."""
    return [StartUp(1e9 + 3600 * i, replicas, max(s - TICK_S, 0.0), s) for i, s in enumerate(took_s)]


def test_before_anything_was_seen_the_stated_times_count() -> None:
    assert readiness([], STATED) == Readiness(60.0, 600.0)


@pytest.mark.parametrize(
    ("stated_s", "took_s", "planned_s"),
    [
        (60.0, [300.0], 60.0),  # one order may be wild
        (60.0, [300.0] * 2, 300.0),  # two are a tenth of ten and more
        (60.0, [300.0, 60.0, 60.0], 60.0),
        (60.0, [300.0] * 40, 300.0),
        (300.0, [60.0] * 8, 300.0),  # down only when nine of ten say so
        (300.0, [60.0] * 9, 60.0),
        (300.0, [60.0] * 8 + [300.0] * 2, 300.0),
        (120.0, [120.0] * 20, 120.0),
        (90.0, [120.0] * 20, 90.0),  # between the looks at 60 and 120: confirmed
        (90.0, [120.0] * 2, 90.0),
        (60.0, [120.0] * 2, 120.0),
        (119.5, [120.0] * 20, 119.5),
        (60.0, [120.0] * 20, 120.0),  # the looks at 60 saw all of them starting
        (130.0, [120.0] * 20, 120.0),
    ],
)
def test_the_p90_of_looks_counts_unless_the_stated_time_lies_between_them(
    stated_s: float, took_s: list[float], planned_s: float
) -> None:
    assert readiness(orders(*took_s), replace(STATED, startup_s=stated_s)).startup_s == planned_s


def test_measured_as_stated_changes_nothing_of_the_plan() -> None:
    stated = PoolPolicy(startup_s=120.0, startup_p99_s=600.0)
    plan = builders.plan_policy(pools={Role.PREFILL: stated, Role.DECODE: stated})
    found = readiness(orders(*[120.0] * 30), stated)

    assert found.sentence == ""
    assert with_readiness(plan, {Role.PREFILL: found, Role.DECODE: found}) == plan


def test_ten_replicas_that_waited_for_one_node_are_one_order() -> None:
    seen = [*orders(*[60.0] * 12), StartUp(9e9, 10, 2940.0, 3000.0)]

    assert readiness(seen, STATED).startup_s == 60.0


def test_an_order_that_arrives_in_parts_weighs_by_its_parts() -> None:
    seen = [StartUp(1.0 + i, 8, 0.0, 60.0) for i in range(20)]
    late = [replace(each, replicas=2, least_s=240.0, most_s=300.0) for each in seen]

    # Two of ten are late in every order: more than the tenth that the P90 leaves.
    assert readiness(seen + late, STATED).startup_s == 300.0
    assert readiness(seen + late[:5], STATED).startup_s == 60.0


def test_the_quantiles_are_those_of_what_was_seen() -> None:
    found = readiness(orders(*(60.0 * i for i in range(1, 21))), STATED)

    assert (found.p50_s, found.p90_s, found.p99_s) == (600.0, 1080.0, 1200.0)
    assert (found.orders, found.replicas) == (20, 20)


def test_the_sentence_names_time_evidence_and_what_was_stated() -> None:
    assert readiness(orders(*[300.0] * 12, replicas=2), STATED).sentence == (
        "ready within 5m (P90 of 24 replicas in 12 orders; 1m stated)"
    )
    assert readiness(orders(300.0, 300.0), STATED).sentence == (
        "ready within 5m (P90 of 2 replicas in 2 orders; 1m stated)"
    )


def test_slow_pools_are_given_up_later_and_fast_ones_no_sooner_than_stated() -> None:
    assert readiness(orders(*[1200.0] * 12), STATED).startup_p99_s == SLOW_RATIO * 1200.0
    assert readiness(orders(*[300.0] * 12), STATED).startup_p99_s == 600.0
    assert readiness(orders(*[60.0] * 12), replace(STATED, startup_s=300.0)).startup_p99_s == 600.0


def test_roles_that_were_not_measured_keep_their_times() -> None:
    plan = builders.plan_policy()
    found = with_readiness(plan, {Role.DECODE: readiness(orders(*[300.0] * 12), plan.pools[Role.DECODE])})

    assert found.pools[Role.PREFILL] == plan.pools[Role.PREFILL]
    assert found.pools[Role.DECODE].startup_s == 300.0
    assert found.ready_horizon_s() == 300.0 + plan.interval_s + plan.observation_lag_s


times = st.floats(1.0, 7000.0)
stated = st.builds(
    lambda usual_s, ratio: PoolPolicy(startup_s=usual_s, startup_p99_s=usual_s * ratio),
    times,
    st.floats(1, 10),
)


@given(st.lists(times, max_size=40), stated, st.floats(0.0, LONGEST_STARTUP_S))
def test_one_wild_order_moves_no_plan_past_what_the_others_and_the_user_say(
    took_s: list[float], usual: PoolPolicy, wild_s: float
) -> None:
    calm = readiness(orders(*took_s), usual)
    seen = [*orders(*took_s), StartUp(9e9, 3, max(wild_s - TICK_S, 0.0), wild_s)]

    found = readiness(seen, usual)

    # One order more moves the P90 by one place at most, and never to the wild one above all others.
    assert found.startup_s <= max([usual.startup_s, *took_s])
    if wild_s >= calm.startup_s:
        assert found.startup_s >= min(calm.startup_s, *took_s, usual.startup_s)


@given(st.lists(times, min_size=LEAST_ORDERS, max_size=40), stated)
def test_with_enough_orders_nine_of_ten_are_ready_within_the_planned_time_or_a_tick(
    took_s: list[float], usual: PoolPolicy
) -> None:
    found = readiness(orders(*took_s), usual)

    within = sum(s <= found.startup_s + TICK_S for s in took_s)
    assert within >= 0.9 * len(took_s)


@given(st.lists(times, max_size=40), stated, times)
def test_slower_start_ups_never_shorten_the_plan_by_more_than_a_tick(
    took_s: list[float], usual: PoolPolicy, more_s: float
) -> None:
    before = readiness(orders(*took_s), usual)
    after = readiness(orders(*(s + more_s for s in took_s)), usual)

    # A stated time between two looks stands for either of them.
    assert after.startup_s >= before.startup_s - TICK_S
    assert after.startup_p99_s >= min(before.startup_p99_s, usual.startup_p99_s)


@given(st.lists(times, max_size=40), stated)
def test_a_plan_keeps_its_times_in_order(took_s: list[float], usual: PoolPolicy) -> None:
    found = readiness(orders(*took_s), usual)

    assert 0 < found.startup_s <= found.startup_p99_s <= LONGEST_STARTUP_S
    assert (found.sentence == "") == (found.startup_s == usual.startup_s)
