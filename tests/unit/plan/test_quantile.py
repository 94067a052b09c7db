"""The quantile of demand that a fleet stands for: one sized for it alone is that fleet."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.plan.quantile import demand_quantile
from models.plan.scenarios import scenarios
from models.plan.search import FleetSearch
from models.plan.sizing import bind, size
from models.values import Role
from tests.builders import forecast, layouts, observation, plan_policy

PREFILL, DECODE = Role.PREFILL, Role.DECODE
RATES = {"pages": 120.0, "email": 20.0}
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.975, 0.995)


def search(spread: float = 0.05) -> FleetSearch:
    policy = plan_policy()
    ahead = scenarios(observation(RATES), forecast(RATES, spread), policy.classes, policy.ready_horizon_s())
    assert ahead is not None
    return bind(ahead, layouts(), policy)


def test_it_rises_with_the_fleet_from_the_lowest_level_to_the_highest() -> None:
    found = search(0.1)

    each = [demand_quantile(found, {PREFILL: n, DECODE: 2}, LEVELS) for n in range(1, 30)]

    assert each[0] == 0.0
    assert each[-1] == 0.995
    assert each == sorted(q for q in each if q is not None)
    assert len(set(each)) >= 5


@settings(max_examples=20)
@given(st.integers(7, 18))
def test_levels_below_it_keep_every_promise_and_levels_above_do_not(prefill: int) -> None:
    found, counts = search(), {PREFILL: prefill, DECODE: 2}

    q = demand_quantile(found, counts, LEVELS)

    assert q is not None
    kept = found.model.attainment(counts)
    for level, row in zip(LEVELS, kept, strict=True):
        enough = all(a >= found.aims[n] - 1e-9 for a, n in zip(row, found.model.names, strict=True))
        assert enough == (level <= q)


def test_the_sizing_says_it() -> None:
    sizing = size(observation(RATES), forecast(RATES), layouts(), plan_policy())

    assert sizing is not None
    assert sizing.demand_quantile is not None
    assert sizing.demand_quantile == pytest.approx(demand_quantile(search(), sizing.replicas(), LEVELS))
    assert 0.5 < sizing.demand_quantile < 0.995


def test_other_levels_than_those_of_the_scenarios_say_nothing() -> None:
    assert demand_quantile(search(), {PREFILL: 9, DECODE: 2}, (0.5,)) is None
