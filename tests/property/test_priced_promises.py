"""The promises hold where money decides, and where hardware has budgets of its own."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decision import Record
from models.plan.sizing import size
from models.policy import DecidePolicy, ForecastPolicy, PlanPolicy, TickPolicy
from models.stock import Stock
from models.topology import Topology
from models.values import Binding, Role
from planner.act.dryrun import DryRun
from planner.decide.pipeline import decide
from planner.record.line import from_line, to_line
from planner.tick import plan
from tests import builders
from tests.builders import EMAIL, PAGES, forecast, layouts, observation, plan_policy
from tests.unit.plan.test_alternatives import expected

PREFILL, DECODE = Role.PREFILL, Role.DECODE
LAYOUTS = layouts()
DECIDE = DecidePolicy()
RATES = st.fixed_dictionaries({"pages": st.floats(1.0, 200.0), "email": st.floats(0.0, 200.0)})
SPREADS = st.sampled_from([0.0, 0.05, 0.2])


@st.composite
def policies(draw: st.DrawFn, priced: bool = True) -> PlanPolicy:
    """Draw prices, billing and budgets: one number, or one for each of two kinds of hardware, or none."""
    gpu = draw(st.floats(0.1, 20.0))
    miss = draw(st.floats(1e-5, 0.05))
    classes = (
        replace(PAGES, miss_price=miss),
        replace(EMAIL, miss_price=draw(st.sampled_from([None, miss]))),
    )
    plan = plan_policy(classes if priced else (PAGES, EMAIL), draw(st.none() | st.integers(6, 60)))
    if draw(st.booleans()):
        billed = draw(st.sampled_from([1, 4]))
        return replace(plan, stocks=(Stock("GB200", (PREFILL, DECODE), None, None, gpu, billed),))
    h100, gb200 = draw(st.none() | st.integers(2, 30)), draw(st.none() | st.integers(4, 40))
    nodes = None if gb200 is None else Topology.lay_out(4, 72, gb200)
    stocks = (
        Stock("H100", (PREFILL,), h100, None, gpu, 8),
        Stock("GB200", (DECODE,), gb200, nodes, gpu * draw(st.floats(0.5, 4.0)), 4),
    )
    return replace(plan, stocks=stocks)


def gpus(counts: Mapping[Role, int]) -> int:
    return sum(LAYOUTS[role].gpus * n for role, n in counts.items())


@settings(max_examples=40)
@given(RATES, policies(), SPREADS)
def test_10_running_on_what_costs_least_recommends_no_change(
    load: Mapping[str, float], policy: PlanPolicy, spread: float
) -> None:
    told = forecast(load, spread)
    sizing = size(observation(load), told, LAYOUTS, policy)
    assert sizing is not None

    settled = observation(load, counts=sizing.replicas())

    again = size(settled, told, LAYOUTS, policy)
    assert decide(settled, again, policy, DECIDE, LAYOUTS).changes == {}


@settings(max_examples=40)
@given(RATES, policies() | policies(priced=False), st.integers(1, 30), st.integers(1, 8), SPREADS)
def test_3_sizings_and_ups_stay_inside_every_budget(
    load: Mapping[str, float], policy: PlanPolicy, prefill: int, decode: int, spread: float
) -> None:
    now = {PREFILL: prefill, DECODE: decode}
    seen = observation(load, counts=now)
    sizing = size(seen, forecast(load, spread), LAYOUTS, policy)
    assert sizing is not None

    final = decide(seen, sizing, policy, DECIDE, LAYOUTS).final

    widths = {role: layout.gpus for role, layout in LAYOUTS.items()}
    floors = dict.fromkeys(LAYOUTS, 1)
    for limit in policy.limits():
        # Where not even the floors fit, what runs stays.
        if policy.within(floors, widths) and policy.placeable(floors, widths):
            assert limit.left(sizing.replicas(), widths) >= 0
        assert limit.left(final, widths) >= min(0, limit.left(now, widths))


@settings(max_examples=30)
@given(RATES, policies(), SPREADS)
def test_a_count_that_money_sets_says_what_its_neighbours_cost(
    load: Mapping[str, float], policy: PlanPolicy, spread: float
) -> None:
    sizing = size(observation(load), forecast(load, spread), LAYOUTS, policy)
    assert sizing is not None
    assert sizing.bill is not None

    for each in sizing.roles.values():
        assert each.more is not None
        assert each.more.bill is not None
        if each.binding is Binding.PRICE:
            assert "for the least cost: one more replica costs " in each.sentence
            assert each.more.bill.miss_per_h <= sizing.bill.miss_per_h + 1e-9


@settings(max_examples=15)
@given(st.floats(20.0, 150.0), policies() | policies(priced=False), st.floats(1.5, 4.0))
def test_9_a_record_with_prices_and_a_proposal_replays_from_its_line(
    rate: float, policy: PlanPolicy, faster: float
) -> None:
    policy = replace(policy, classes=policy.classes[:1])
    ticked = TickPolicy("shop", ForecastPolicy(), policy, DECIDE)
    seen, told = observation({"pages": rate}), expected(rate)
    others = {PREFILL: (builders.prefill_layout(110_000.0 * faster, 2),), DECODE: ()}
    sizing, decision = plan(seen, told, ticked, LAYOUTS, alternatives=others)
    outcome = DryRun().act(decision, seen)

    back = from_line(to_line(Record("t", "shop", seen, told, sizing, decision, outcome, "", "", "")))

    assert back.sizing == sizing
    replayed = plan(back.observation, back.forecast, ticked, LAYOUTS, alternatives=others)
    assert replayed == (sizing, decision)


@settings(max_examples=30)
@given(RATES, policies(priced=False), SPREADS)
def test_one_price_of_all_gpus_and_alternatives_change_no_decision(
    load: Mapping[str, float], policy: PlanPolicy, spread: float
) -> None:
    policy = replace(policy, stocks=tuple(replace(stock, price_per_gpu_h=3.2) for stock in policy.stocks))
    unpriced = replace(policy, stocks=tuple(replace(stock, price_per_gpu_h=None) for stock in policy.stocks))
    others = {PREFILL: (builders.prefill_layout(400_000.0, 2),), DECODE: ()}
    seen, told = observation(load), forecast(load, spread)

    with_all, without = (
        plan(seen, told, TickPolicy("shop", ForecastPolicy(), each, DECIDE), LAYOUTS, alternatives=some)
        for each, some in ((policy, others), (unpriced, {}))
    )

    assert with_all[1] == without[1]


def test_an_older_line_without_any_of_it_still_reads() -> None:
    seen, told = observation(), forecast({"pages": 100.0, "email": 20.0})
    ticked = TickPolicy("shop", ForecastPolicy(), plan_policy(), DECIDE)
    sizing, decision = plan(seen, told, ticked, LAYOUTS)
    assert sizing is not None
    line = to_line(
        Record("t", "shop", seen, told, sizing, decision, DryRun().act(decision, seen), "", "", "")
    )
    for field in (',"reshape":null', ',"bill":null', f',"demand_quantile":{sizing.demand_quantile}'):
        assert field in line
        line = line.replace(field, "")
    line = line.replace(',"past_day":[]', "")

    back = from_line(line)

    assert back.sizing is not None
    assert back.sizing.demand_quantile is None
    assert back.sizing.replicas() == sizing.replicas()
    assert gpus(back.decision.final) == pytest.approx(gpus(decision.final))
