"""What a deployment asks of a shared pool: the best fleets for their GPUs, and no more than it may use."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.gpu_pool import Membership
from models.plan.claims import make_claim
from models.plan.fleet_plan import Claim
from models.plan.ladder import find_ladder
from models.plan.scenarios import scenarios
from models.plan.search import Bounds
from models.plan.sizing import bind, size
from models.policy import DecidePolicy, PlanPolicy
from models.values import Role
from models.window import Allowed, Once, Window
from tests.builders import AT_S, forecast, layouts, observation, plan_policy, pool

PREFILL, DECODE = Role.PREFILL, Role.DECODE
POOL_GPUS = 72
MEMBER = Membership("shop", guaranteed_gpus=6, priority=3)
RATES = {"pages": 180.0, "email": 60.0}


def claim(plan: PlanPolicy | None = None, pool_gpus: int = POOL_GPUS, **changes: object) -> Claim:
    bounded = plan or plan_policy(budget_gpus=pool_gpus)
    seen = observation(RATES, **changes)  # type: ignore[arg-type]
    return make_claim(MEMBER, seen, forecast(RATES), layouts(), bounded, DecidePolicy(), pool_gpus)


def test_the_ladder_leads_from_the_floor_to_what_sizing_needs() -> None:
    sizing = size(observation(RATES), forecast(RATES), layouts(), plan_policy())
    asked = claim()

    assert sizing is not None
    assert dict(asked.ladder[0].counts) == {PREFILL: 1, DECODE: 1}
    assert dict(asked.ladder[-1].counts) == sizing.replicas()
    assert asked.needed_gpus == asked.ladder[-1].gpus
    assert asked.hold_gpus >= asked.needed_gpus
    assert (asked.priority, asked.guaranteed_gpus) == (3, 6)


@settings(max_examples=12, deadline=None)
@given(st.floats(40.0, 260.0), st.floats(10.0, 300.0))
def test_no_fleet_of_as_many_gpus_keeps_more(pages: float, email: float) -> None:
    """Held against every split of each rung's GPUs: the highest tier first, then what is served."""
    rates, plan = {"pages": pages, "email": email}, plan_policy()
    seen, expected = observation(rates), forecast(rates)
    sizing = size(seen, expected, layouts(), plan)
    ahead = scenarios(seen, expected, plan.classes, plan.ready_horizon_s())
    assert sizing is not None
    assert ahead is not None
    search, top = bind(ahead, layouts(), plan), sizing.replicas()
    bounds = {role: Bounds(1, n) for role, n in top.items()}
    ladder = find_ladder(search, bounds, {}, {"pages": 10, "email": 0}, plan.placeable)
    pages_mass = search.model.rates[:, search.model.names.index("pages")] * search.weights

    def kept(counts: dict[Role, int]) -> float:
        attained = search.model.attainment(counts)[:, search.model.names.index("pages")]
        return float(pages_mass @ attained) / float(pages_mass.sum())

    for rung in ladder[:: max(len(ladder) // 5, 1)]:
        mine = kept(dict(rung.counts))
        every = product(range(1, top[PREFILL] + 3), range(1, top[DECODE] + 3))
        best = max(kept({PREFILL: p, DECODE: d}) for p, d in every if p + 4 * d <= rung.gpus)
        # Tiers are compared to a tenth of a per cent, and rounding may cost as much again.
        assert mine >= best - 0.0021, (rung.gpus, mine, best)
    assert all(b.gpus > a.gpus for a, b in pairwise(ladder))


def test_a_need_above_the_whole_pool_is_told_and_not_offered() -> None:
    asked = claim(pool_gpus=12)

    assert asked.ladder[-1].gpus <= 12
    assert asked.needed_gpus == claim().needed_gpus > 12


def test_a_budget_of_its_own_bounds_what_a_deployment_asks_for() -> None:
    asked = claim(plan_policy(budget_gpus=12))

    assert asked.ladder[-1].gpus <= 12
    assert asked.needed_gpus <= 12


@pytest.mark.parametrize("age_s", [None, 500.0])
def test_without_demand_that_counts_a_deployment_keeps_what_it_runs(age_s: float | None) -> None:
    asked = claim(demand_at_s=None if age_s is None else AT_S - age_s)

    assert [(rung.gpus, dict(rung.counts)) for rung in asked.ladder] == [(20, {PREFILL: 12, DECODE: 2})]


def test_late_demand_asks_for_more_and_offers_nothing() -> None:
    asked = claim(counts={PREFILL: 25, DECODE: 2}, demand_at_s=AT_S - 120.0)

    assert asked.ladder[0].counts[PREFILL] == 25


@pytest.mark.parametrize(
    ("state", "count"),
    [({"paused": True}, 5), ({"rollout_in_progress": True}, 5), ({"pinned_replicas": 7}, 7)],
)
def test_a_role_that_is_held_claims_what_it_is_held_at(state: dict[str, object], count: int) -> None:
    asked = claim(pools={PREFILL: pool(5, **state), DECODE: pool(1)})

    assert {rung.counts[PREFILL] for rung in asked.ladder} == {count}


def test_a_pause_on_one_side_offers_nothing_or_asks_for_nothing() -> None:
    in_paused = claim(pools={PREFILL: pool(9, paused_scale_in=True), DECODE: pool(1)})
    out_paused = claim(pools={PREFILL: pool(9, paused_scale_out=True), DECODE: pool(1)})

    assert min(rung.counts[PREFILL] for rung in in_paused.ladder) == 9
    assert in_paused.ladder[-1].counts[PREFILL] > 9
    assert max(rung.counts[PREFILL] for rung in out_paused.ladder) == 9
    assert out_paused.ladder[0].counts[PREFILL] == 1


@pytest.mark.parametrize(("allowed", "low", "high"), [("up", 9, 17), ("down", 1, 9), ("nothing", 9, 9)])
def test_an_open_maintenance_window_bounds_a_claim(allowed: str, low: int, high: int) -> None:
    window = Window("launch", Allowed(allowed), Once(AT_S - 60.0, AT_S + 60.0))
    decide = DecidePolicy(windows=(window,))
    seen = observation(RATES, {PREFILL: 9, DECODE: 1})
    plan = plan_policy(budget_gpus=POOL_GPUS)
    asked = make_claim(MEMBER, seen, forecast(RATES), layouts(), plan, decide, POOL_GPUS)

    counts = [rung.counts[PREFILL] for rung in asked.ladder]
    assert min(counts) == low
    assert max(counts) == high if high <= 9 else max(counts) >= high


def test_ceilings_are_kept_on_every_rung() -> None:
    plan = plan_policy(budget_gpus=POOL_GPUS)
    few = {role: replace(each, max_replicas=8) for role, each in plan.pools.items()}
    asked = claim(replace(plan, pools=few))

    assert all(rung.counts[PREFILL] <= 8 for rung in asked.ladder)


def test_what_rungs_keep_rises_with_their_gpus() -> None:
    worth = np.array([rung.worth_rps for rung in claim().ladder])

    assert (np.diff(worth) > 0).all()
