"""The oracle keeps its promises for fewer GPU-hours than anybody who does not know the future."""

import numpy as np
import pytest

from models.simulation.scorecard import PolicyResult
from models.simulation.workload import Workload
from models.track.foresight import ahead, filled
from models.values import Role
from planner.contest import compete
from planner.policies.cheapest import spare
from planner.policies.oracle import Oracle
from planner.replay import Stage, replay
from tests.unit.replay.stages import chat, setup, stage

NEED = np.array([1, 1, 4, 4, 1, 4, 4, 1, 1, 1, 2, 1])


def busy_middle() -> Stage:
    """Chat at 20 requests/s for a quarter of an hour, at 120 for the next, and at 20 again."""
    parts = []
    for i, rate_rps in enumerate((20.0, 120.0, 20.0)):
        part = chat(rate_rps, minutes=15.0, seed=i)
        parts.append(
            Workload(
                part.arrival_s + 900.0 * i,
                part.isl_tokens,
                part.osl_tokens,
                part.cached_tokens,
                part.class_index,
                part.class_names,
            )
        )
    return stage(Workload.merge(parts))


@pytest.fixture(scope="module")
def told() -> tuple[Stage, PolicyResult]:
    on = busy_middle()
    plan = setup().policy.plan
    oracle = Oracle(on.workload, on.scale, on.layouts, plan, on.startup_s)
    return on, oracle.find(lambda policy: replay(on, policy), plan.targets())


def test_a_valley_that_is_too_short_to_pay_is_filled_and_a_longer_one_is_not() -> None:
    assert filled(NEED, 2).tolist() == [1, 1, 4, 4, 4, 4, 4, 1, 1, 1, 2, 1]
    assert filled(NEED, 4).tolist() == [1, 1, 4, 4, 4, 4, 4, 2, 2, 2, 2, 1]
    assert filled(NEED, 1).tolist() == NEED.tolist()


def test_an_order_is_placed_a_start_up_ahead_and_ends_with_the_need() -> None:
    assert ahead(np.array([1, 1, 1, 5, 1, 1]), 3).tolist() == [1, 5, 5, 5, 1, 1]
    assert ahead(NEED, 1).tolist() == NEED.tolist()


def test_the_promise_is_kept_and_one_replica_less_would_break_it(told: tuple[Stage, PolicyResult]) -> None:
    on, result = told
    oracle = Oracle(on.workload, on.scale, on.layouts, setup().policy.plan, on.startup_s)
    smaller = replay(on, oracle.path(0.6))

    assert result.policy == "oracle"
    assert spare(result, {"chat": 0.99}) >= 0
    assert smaller.gpu_hours < result.gpu_hours
    assert spare(smaller, {"chat": 0.99}) < -0.5


def test_nobody_is_cheaper_who_keeps_it(told: tuple[Stage, PolicyResult]) -> None:
    on, oracle = told
    for name in ("static-peak", "headgate-perfect"):
        other = compete(name, on, setup(), lambda share: None)
        if spare(other, {"chat": 0.99}) >= 0:
            assert oracle.gpu_hours < other.gpu_hours


def test_it_is_a_policy_by_its_name(told: tuple[Stage, PolicyResult]) -> None:
    on, oracle = told
    seen: list[float] = []

    named = compete("oracle", on, setup(), seen.append)

    assert named.gpu_hours == oracle.gpu_hours
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_the_fleet_is_there_when_the_rush_begins_and_gone_when_it_is_over() -> None:
    on = busy_middle()
    plan = setup().policy.plan
    path = Oracle(on.workload, on.scale, on.layouts, plan, on.startup_s).path(1.0)

    prefill = path.counts[:, path.roles.index(Role.PREFILL)]
    assert prefill[12] < prefill[13]
    assert prefill[13:30].min() > prefill[:12].max()
    assert prefill[31] < prefill[29]


def test_a_budget_is_never_exceeded() -> None:
    on = busy_middle()
    plan = setup(budget_gpus=12).policy.plan
    path = Oracle(on.workload, on.scale, on.layouts, plan, on.startup_s).path(2.0)

    gpus = np.array([on.layouts[role].gpus for role in path.roles])
    assert (path.counts @ gpus).max() <= 12
