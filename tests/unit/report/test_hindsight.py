"""What a moment needed in hindsight is the least that suffices, and an oracle orders it in time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from models.capacity.load import ClassLoad, Loads
from models.policy import PlanPolicy
from models.track.foresight import ahead, filled
from models.track.hindsight import RUNGS, Hindsight
from models.values import Role
from planner.policies.sizing import fleet_for
from tests import builders

RATES = (5.0, 40.0, 90.0, 150.0, 20.0)


def moments(rates: Sequence[float] = RATES) -> Loads:
    return Loads.of(
        [
            [
                ClassLoad.steady(builders.PAGES, rate, builders.PAGES_MIX),
                ClassLoad.steady(builders.EMAIL, 20.0, builders.EMAIL_MIX),
            ]
            for rate in rates
        ]
    )


def hindsight(plan: PlanPolicy | None = None, rates: Sequence[float] = RATES) -> Hindsight:
    return Hindsight(moments(rates), builders.layouts(), plan or builders.plan_policy())


def test_the_need_of_each_moment_is_that_of_a_sizing_at_its_load() -> None:
    need, _ = hindsight().need()

    gpus = np.array([builders.layouts()[role].gpus for role in (Role.PREFILL, Role.DECODE)])
    for i, loads in enumerate(moments()):
        sized = fleet_for(list(loads), builders.layouts(), builders.plan_policy())
        assert need[0, i] @ gpus == sum(builders.layouts()[role].gpus * n for role, n in sized.items())


def test_the_need_keeps_the_promise_and_one_replica_fewer_breaks_it() -> None:
    judge = hindsight()
    need, kept = judge.need()

    # A few moments share the shape of a decode step: their own differs by less than this.
    assert judge.kept(need[0]) == pytest.approx(kept[0], abs=1e-4)
    assert (kept[0] >= 0.99 - 1e-9).all()
    for role in range(2):
        fewer = need[0].copy()
        fewer[:, role] -= 1
        assert (judge.kept(fewer).min(axis=1) < 0.99).all()


def test_a_looser_rung_never_needs_more() -> None:
    need, kept = hindsight().need()
    gpus = need @ np.array([1, 4])

    assert (np.diff(gpus, axis=0) <= 0).all()
    for rung, share in zip(RUNGS, kept, strict=True):
        assert (share[:, 0] >= 1 - rung * 0.01 - 1e-9).all()


def test_moments_are_judged_alike_alone_and_together() -> None:
    together, _ = hindsight().need()
    for i, rate in enumerate(RATES):
        alone, _ = hindsight(rates=[rate]).need()
        assert alone[:, 0].tolist() == together[:, i].tolist()


def test_a_budget_that_carries_no_fleet_that_suffices_gives_the_best_it_carries() -> None:
    need, kept = hindsight(builders.plan_policy(budget_gpus=12)).need()
    gpus = need[0] @ np.array([1, 4])

    assert gpus.max() <= 12
    assert kept[0, 3, 0] < 0.99


def test_a_ceiling_and_a_floor_bound_the_need() -> None:
    plan = builders.plan_policy()
    pools = dict(plan.pools)
    pools[Role.PREFILL] = replace(pools[Role.PREFILL], min_replicas=3, max_replicas=6)
    need, _ = hindsight(replace(plan, pools=pools)).need()

    assert need[:, :, 0].min() == 3
    assert need[:, :, 0].max() == 6


def test_nothing_is_kept_without_a_replica_of_each_role() -> None:
    assert hindsight().kept(np.array([[0, 1]] * len(RATES))).max() == 0.0


def test_an_oracle_orders_ahead_and_fills_short_valleys() -> None:
    need = np.array([1, 1, 4, 1, 4, 4, 1, 1, 1, 1], dtype=np.intp)

    assert filled(need, 2).tolist() == [1, 1, 4, 4, 4, 4, 1, 1, 1, 1]
    assert ahead(need, 2).tolist() == [1, 4, 4, 4, 4, 4, 1, 1, 1, 1]
