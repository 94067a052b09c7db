"""What the learner takes for a start-up, and what it leaves out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.observation import Observation, PoolState, StartingReplica
from models.policy import PoolPolicy
from models.readiness import LEAST_ORDERS, Readiness, StartUp
from models.values import Role
from planner.learning.time_to_ready import KEPT_ORDERS, TimeToReady
from tests import builders

TICK_S = 60.0
BEGIN_S = builders.AT_S
STATED = PoolPolicy(startup_s=60.0, startup_p99_s=600.0)
PLAN = builders.plan_policy(pools={Role.DECODE: STATED})


def look(at_s: float, pool: PoolState) -> Observation:
    return builders.observation(at_s=BEGIN_S + at_s, pools={Role.DECODE: pool})


def pool(ready: int, *since_s: float, desired: int | None = None, stuck: str | None = None) -> PoolState:
    starting = tuple(StartingReplica(BEGIN_S + s, stuck) for s in since_s)
    return PoolState(ready + len(starting) if desired is None else desired, ready, starting)


def learned(*looks: PoolState, every_s: float = TICK_S) -> Readiness:
    learner = TimeToReady(PLAN)
    found = {}
    for number, each in enumerate(looks):
        found = learner.learn(look(number * every_s, each))
    return found[Role.DECODE]


def spans(found: Readiness) -> list[tuple[int, float, float]]:
    return [(s.replicas, s.least_s, s.most_s) for s in found.seen]


def test_a_start_up_lies_between_the_looks_that_saw_it_starting_and_ready() -> None:
    found = learned(pool(2), pool(2, 1), pool(2, 1), pool(2, 1), pool(3))

    assert found.seen == (StartUp(BEGIN_S + 60, 1, 179.0, 239.0),)
    assert (found.orders, found.replicas, found.p50_s, found.p99_s) == (1, 1, 239.0, 239.0)


def test_replicas_of_one_order_that_arrive_apart_are_one_order() -> None:
    found = learned(pool(2), pool(2, 0, 0, 0), pool(4, 0), pool(5))

    assert spans(found) == [(2, 60.0, 120.0), (1, 120.0, 180.0)]
    assert (found.orders, found.replicas) == (1, 3)


def test_a_replica_that_needs_less_than_a_tick_is_seen_ready_at_once() -> None:
    assert spans(learned(pool(2), pool(4), pool(4))) == [(2, 0.0, 60.0)]


def test_starts_before_the_first_look_are_not_counted() -> None:
    assert learned(pool(2, -60), pool(3)).seen == ()


@pytest.mark.parametrize(
    ("case", "looks"),
    [
        ("an order is cancelled", (pool(2), pool(2, 1), pool(2))),
        ("one is cancelled while a ready one drains", (pool(2), pool(2, 1), pool(1))),
        ("stuck at one look", (pool(2), pool(2, 1), pool(2, 1, stuck="quota"), pool(2, 1), pool(3))),
        ("stuck from the first look", (pool(2), pool(2, 1, stuck="capacity"), pool(2, 1), pool(3))),
        ("a crash replaces a ready pod", (pool(3), pool(2, 1), pool(3))),
        ("a pod that was ready long ago is ready again", (pool(3), pool(2, -9000), pool(3))),
        (
            "an older pod comes back while one more is asked for",
            (pool(2, desired=3), pool(2, -9000), pool(3)),
        ),
        ("since is told anew at every look", (pool(2), pool(2, 60), pool(2, 120), pool(2, 180), pool(3))),
        ("since lies in the future", (pool(2), pool(2, 500), pool(3))),
    ],
)
def test_what_may_be_no_start_up_is_not_counted(case: str, looks: tuple[PoolState, ...]) -> None:
    assert learned(*looks).seen == (), case


def test_one_of_two_that_vanish_without_a_gain_counts_for_neither() -> None:
    assert learned(pool(2), pool(2, 0, 1), pool(3, desired=4)).seen == ()


def test_what_a_rollout_touched_is_not_counted() -> None:
    rolling = replace(pool(2, 1), rollout_in_progress=True)

    assert learned(pool(2), pool(2, 1), rolling, pool(3)).seen == ()
    assert learned(pool(2), rolling, pool(2, 1), pool(3)).seen == ()
    assert learned(pool(2), pool(2, 1), replace(pool(3), rollout_in_progress=True)).seen == ()


def test_what_became_ready_in_a_pause_is_not_counted() -> None:
    learner = TimeToReady(PLAN)
    looks = ((0, pool(2)), (60, pool(2, 1)), (60 + 151, pool(3)), (271, pool(3, 270)), (331, pool(4)))
    found = [learner.learn(look(at_s, seen))[Role.DECODE] for at_s, seen in looks][-1]

    assert [s.order_s for s in found.seen] == [BEGIN_S + 271]


def test_a_drain_beside_an_arrival_costs_a_sample_and_no_more() -> None:
    found = learned(pool(2), pool(2, 1), pool(2, desired=2), pool(2, 121), pool(3))

    assert spans(found) == [(1, 59.0, 119.0)]


def test_roles_are_learned_apart() -> None:
    learner = TimeToReady(builders.plan_policy())
    looks = [(pool(2), pool(2)), (pool(2, 1), pool(2)), (pool(3), pool(2))]
    found = [
        learner.learn(
            builders.observation(at_s=BEGIN_S + 60 * i, pools={Role.PREFILL: prefill, Role.DECODE: decode})
        )
        for i, (prefill, decode) in enumerate(looks)
    ][-1]

    assert found[Role.PREFILL].replicas == 1
    assert found[Role.DECODE] == Readiness(120.0, 600.0)


def many_orders(learner: TimeToReady, orders: int) -> dict[Role, Readiness]:
    """Order a replica every other minute, ready within the next."""
    looks = [pool(2 + i // 2, *([60.0 * i] if i % 2 else [])) for i in range(2 * orders + 1)]
    return [learner.learn(look(60.0 * i, seen)) for i, seen in enumerate(looks)][-1]


def test_the_latest_orders_are_kept() -> None:
    found = many_orders(TimeToReady(PLAN), KEPT_ORDERS + 20)[Role.DECODE]

    assert found.orders == KEPT_ORDERS
    assert [round((s.order_s - BEGIN_S) / 60) for s in found.seen] == list(range(41, 100, 2))


def test_a_restart_goes_on_from_the_last_record() -> None:
    found = many_orders(TimeToReady(PLAN), LEAST_ORDERS)

    after = TimeToReady(PLAN)
    after.seed(found)

    assert found[Role.DECODE].orders == LEAST_ORDERS
    assert after.learn(look(9999, pool(2))) == found


AGES_S = st.sampled_from([0.0, 30.0, -30.0, 90.0, 1e6])
pools = st.builds(
    lambda ready, ages, desired: PoolState(
        desired, ready, tuple(StartingReplica(BEGIN_S - a, s) for a, s in ages)
    ),
    st.integers(0, 4),
    st.lists(
        st.tuples(st.sampled_from([0.0, 30.0, -30.0, 90.0, 1e6]), st.sampled_from([None, "x"])), max_size=3
    ),
    st.integers(0, 6),
)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 60.0, 120.0, 200.0]), pools), max_size=12))
def test_whatever_is_seen_a_start_up_is_possible_and_a_look_twice_changes_nothing(
    looks: list[tuple[float, PoolState]],
) -> None:
    learner, at_s = TimeToReady(PLAN), 0.0
    for after_s, seen in looks:
        at_s += after_s
        found = learner.learn(look(at_s, seen))
        assert learner.learn(look(at_s, seen)) == found
        for each in found[Role.DECODE].seen:
            assert 0 <= each.least_s < each.most_s
            assert each.replicas >= 1
            assert each.order_s <= BEGIN_S + at_s
