"""The least cost against trying every count, and what raising either price may do."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.plan.bill import bill, kept_targets
from models.plan.price import PricedSearch, priced_need
from models.plan.search import Bounds, FleetSearch
from models.policy import PlanPolicy, PoolPolicy
from models.stock import Stock
from models.topology import Topology
from models.values import Binding, RequestClass, Role, Router
from tests.builders import (
    CHAT,
    CHAT_MIX,
    EMAIL,
    EMAIL_MIX,
    PAGES,
    PAGES_MIX,
    aggregated_layout,
    decode_layout,
    layouts,
    plan_policy,
    prefill_layout,
)

PREFILL, DECODE = Role.PREFILL, Role.DECODE
WEIGHTS = np.array([0.3, 0.4, 0.2, 0.1])
SPREAD = (0.8, 1.0, 1.15, 1.4)
FREE = {PREFILL: Bounds(1, 1000), DECODE: Bounds(1, 1000)}


def policy(
    gpu: float = 3.0,
    pages: float | None = 0.002,
    email: float | None = 0.0005,
    billed: int = 1,
    decode: float | None = None,
) -> PlanPolicy:
    plan = plan_policy((replace(PAGES, miss_price=pages), replace(EMAIL, miss_price=email)))
    if decode is None:
        return replace(plan, stocks=(Stock("GB200", (PREFILL, DECODE), None, None, gpu, billed),))
    apart = (
        Stock("H100", (PREFILL,), None, None, gpu, billed),
        Stock("GB200", (DECODE,), None, None, decode),
    )
    return replace(plan, stocks=apart)


def search(plan: PlanPolicy, pages: float = 40.0, email: float = 20.0) -> FleetSearch:
    mixes = {"pages": PAGES_MIX, "email": EMAIL_MIX}
    rates = {"pages": pages, "email": email}
    scenarios = [
        [ClassLoad.steady(c, rates[c.name] * by, mixes[c.name]) for c in plan.classes] for by in SPREAD
    ]
    return FleetSearch(FleetModel(layouts(), scenarios, Router.LOAD), WEIGHTS, plan.targets())


def costs(
    found: FleetSearch, plan: PlanPolicy, running: Mapping[Role, int] | None, top: Mapping[Role, int]
) -> dict[tuple[int, ...], float]:
    """Return the cost of every fleet up to `top` that keeps the targets beside the prices, one at a time."""
    known: dict[tuple[int, ...], float] = {}
    gpus = {role: found.model.layouts[role].gpus for role in found.roles}
    unit = {role: (s.price_per_gpu_h or 0.0) * gpus[role] for s in plan.stocks for role in s.roles}
    targets = kept_targets(plan)
    for place in np.ndindex(*(top[role] for role in found.roles)):
        fleet = {role: int(n) + 1 for role, n in zip(found.roles, place, strict=True)}
        kept = found.model.expected(fleet, WEIGHTS)[1]
        if any(kept[name] < targets[name] * found.aims[name] / plan.targets()[name] - 1e-9 for name in kept):
            continue
        started = (
            sum(
                unit[role] * plan.start_cost() * max(n - running.get(role, 0), 0) for role, n in fleet.items()
            )
            if running
            else 0.0
        )
        known[tuple(fleet.values())] = bill(fleet, kept, found, plan).per_h + started
    return known


@settings(max_examples=25)
@given(
    st.floats(0.05, 50),
    st.floats(1e-6, 0.1),
    st.none() | st.floats(1e-6, 0.1),
    st.sampled_from([1, 4]),
    st.none() | st.tuples(st.integers(1, 12), st.integers(1, 4)),
    st.floats(2, 60),
)
def test_the_cheapest_fleet_is_the_cheapest_of_all(
    gpu: float, pages: float, email: float | None, billed: int, now: tuple[int, int] | None, rate: float
) -> None:
    plan = policy(gpu, pages, email, billed)
    found = search(plan, rate)
    running = dict(zip((PREFILL, DECODE), now, strict=True)) if now else None

    best = PricedSearch(found, plan, running).cheapest(FREE, lambda counts: True)

    assert best is not None
    every = costs(
        found, plan, running, {PREFILL: max(20, best[PREFILL] + 3), DECODE: max(8, best[DECODE] + 3)}
    )
    assert every[tuple(best.values())] == pytest.approx(min(every.values()), rel=1e-9)


@settings(max_examples=15)
@given(st.floats(0.1, 30), st.floats(1e-5, 0.05), st.integers(6, 24), st.sampled_from([4, 8, 24]))
def test_inside_a_budget_it_is_the_cheapest_of_what_can_be_placed(
    gpu: float, pages: float, budget: int, clique: int
) -> None:
    plan = replace(policy(gpu, pages), budget_gpus=budget, topology=Topology.lay_out(4, clique, budget))
    found = search(plan)
    gpus = {PREFILL: 1, DECODE: 4}

    need = priced_need(found, plan)

    every = {
        counts: cost
        for counts, cost in costs(found, plan, None, {PREFILL: 24, DECODE: 6}).items()
        if counts[0] + 4 * counts[1] <= budget
        and plan.placeable(dict(zip((PREFILL, DECODE), counts, strict=True)), gpus)
    }
    if not every:
        assert need is None
        return
    assert need is not None
    assert every[tuple(need.affordable.values())] == pytest.approx(min(every.values()), rel=1e-9)
    assert (need.cut_by is None) == (need.affordable == need.wanted)


@settings(max_examples=25)
@given(st.floats(0.05, 20), st.floats(1e-5, 0.05), st.floats(1.0, 8.0))
def test_dearer_misses_never_make_more_of_them_and_dearer_gpus_never_more_gpus(
    gpu: float, miss: float, factor: float
) -> None:
    def fleet(gpu: float, miss: float) -> tuple[int, float]:
        plan = policy(gpu, miss, miss)
        found = search(plan)
        counts = PricedSearch(found, plan).cheapest(FREE, lambda counts: True)
        assert counts is not None
        kept = found.model.expected(counts, WEIGHTS)[1]
        missed = bill(counts, kept, found, policy(gpu, 1.0, 1.0)).miss_per_h
        return counts[PREFILL] + 4 * counts[DECODE], missed

    here, dearer_gpus, dearer_misses = fleet(gpu, miss), fleet(gpu * factor, miss), fleet(gpu, miss * factor)

    assert dearer_gpus[0] <= here[0]
    assert dearer_misses[0] >= here[0]
    assert dearer_misses[1] <= here[1] * (1 + 1e-9)
    assert dearer_gpus[1] >= here[1] * (1 - 1e-9)


@settings(max_examples=15)
@given(st.floats(0.1, 10), st.floats(1e-4, 0.02), st.floats(1.5, 20.0))
def test_a_role_on_dearer_hardware_never_gets_more(gpu: float, miss: float, factor: float) -> None:
    def counts(prefill: float, decode: float) -> dict[Role, int]:
        plan = policy(prefill, miss, miss, decode=decode)
        found = PricedSearch(search(plan), plan).cheapest(FREE, lambda counts: True)
        assert found is not None
        return found

    here = counts(gpu, gpu)

    assert counts(gpu * factor, gpu)[PREFILL] <= here[PREFILL]
    assert counts(gpu, gpu * factor)[DECODE] <= here[DECODE]


def test_a_class_without_a_price_keeps_its_target_whatever_the_others_pay() -> None:
    plan = policy(gpu=1000.0, pages=1e-9, email=None)
    found = search(plan, 150.0)

    counts = PricedSearch(found, plan).cheapest(FREE, lambda counts: True)

    assert counts is not None
    kept = found.model.expected(counts, WEIGHTS)[1]
    assert kept["email"] >= 0.99
    assert kept["pages"] < 0.99
    fewer = {**counts, PREFILL: counts[PREFILL] - 1}
    assert found.model.expected(fewer, WEIGHTS)[1]["email"] < 0.99


def test_a_priced_class_with_an_attainment_of_its_own_keeps_at_least_that() -> None:
    floor = replace(PAGES, miss_price=1e-9, slo=replace(PAGES.slo, attainment=0.9))
    plan = replace(policy(gpu=1000.0, email=1e-9), classes=(floor, replace(EMAIL, miss_price=1e-9)))
    found = search(plan, 150.0)

    counts = PricedSearch(found, plan).cheapest(FREE, lambda counts: True)

    assert counts is not None
    assert 0.9 <= found.model.expected(counts, WEIGHTS)[1]["pages"] < 0.99


def test_the_count_of_a_role_alone_is_the_cheapest_of_all_with_the_other_ample() -> None:
    for miss in (1e-6, 1e-4, 0.01, 1.0):
        plan = policy(2.0, miss, miss)
        found = search(plan)
        priced = PricedSearch(found, plan)
        for role, width in ((PREFILL, 1), (DECODE, 4)):
            attained = found.model.alone(role, list(range(1, 60)))
            mass = 3600 * found.model.rates * WEIGHTS[:, None] * miss
            each = 2.0 * width * np.arange(1, 60) + (mass * (1 - attained)).sum(axis=(-2, -1))
            assert priced.alone(role) == 1 + int(each.argmin())


def test_an_aggregated_fleet_is_bought_the_same_way() -> None:
    chat = replace(CHAT, miss_price=0.003)
    pools = {Role.AGGREGATED: PoolPolicy()}
    plan = replace(
        plan_policy((chat,), pools=pools), stocks=(Stock("GB200", (Role.AGGREGATED,), None, None, 3.0),)
    )
    loads = [[ClassLoad.steady(chat, 30.0 * by, CHAT_MIX)] for by in SPREAD]
    model = FleetModel({Role.AGGREGATED: aggregated_layout()}, loads, Router.LOAD)
    found = FleetSearch(model, WEIGHTS, plan.targets())

    best = PricedSearch(found, plan).cheapest({Role.AGGREGATED: Bounds(1, 1000)}, lambda counts: True)

    assert best is not None
    every = costs(found, plan, None, {Role.AGGREGATED: best[Role.AGGREGATED] + 30})
    assert every[tuple(best.values())] == pytest.approx(min(every.values()), rel=1e-9)


def test_where_the_targets_beside_the_prices_cannot_be_kept_the_prices_do_not_decide() -> None:
    plan = replace(policy(email=None), budget_gpus=5)

    assert priced_need(search(plan, email=3000.0), plan) is None


def test_floors_and_ceilings_bound_the_search_itself() -> None:
    pools = {PREFILL: PoolPolicy(min_replicas=2, max_replicas=3), DECODE: PoolPolicy(min_replicas=4)}
    plan = replace(policy(), pools=pools)
    found = search(plan)

    need = priced_need(found, plan)

    assert need is not None
    every = {
        c: v for c, v in costs(found, plan, None, {PREFILL: 3, DECODE: 9}).items() if c[0] >= 2 and c[1] >= 4
    }
    assert tuple(need.wanted.values()) == min(every, key=lambda c: every[c])
    assert need.affordable == need.wanted
    assert need.cut_by is None


def test_hardware_with_a_budget_of_its_own_bounds_its_own_role() -> None:
    plan = policy(decode=3.0)
    free = priced_need(search(plan, 120.0), plan)
    assert free is not None
    few = free.wanted[PREFILL] - 2
    stocks = (replace(plan.stocks[0], gpus=few), replace(plan.stocks[1], gpus=400))

    need = priced_need(search(plan, 120.0), replace(plan, stocks=stocks))

    assert need is not None
    assert need.affordable[PREFILL] <= few
    assert need.cut_by is Binding.BUDGET


def test_a_fleet_of_hundreds_is_searched_to_the_end() -> None:
    plan = policy(3.0, 0.002)
    found = search(plan, 2000.0, 200.0)

    best = PricedSearch(found, plan).cheapest(
        {r: Bounds(1, 65_536) for r in (PREFILL, DECODE)}, lambda c: True
    )

    assert best is not None

    def cost(prefill: int, decode: int) -> float:
        fleet = {PREFILL: prefill, DECODE: decode}
        return bill(fleet, found.model.expected(fleet, WEIGHTS)[1], found, plan).per_h

    here = cost(*best.values())
    near = [cost(best[PREFILL] + p, best[DECODE] + d) for p in range(-12, 13, 3) for d in (-2, -1, 0, 1, 2)]
    assert here <= min(near) * (1 + 1e-12)


def test_prices_of_layouts_count_their_width() -> None:
    wide = {PREFILL: prefill_layout(tp=2), DECODE: decode_layout(tp=8)}
    plan = policy()
    loads = [[ClassLoad.steady(RequestClass("pages", PAGES.slo, miss_price=0.002), 40.0, PAGES_MIX)]]
    found = FleetSearch(FleetModel(wide, loads, Router.LOAD), np.ones(1), {"pages": 0.99})

    assert bill({PREFILL: 3, DECODE: 2}, {"pages": 1.0}, found, plan).gpu_per_h == 3.0 * (3 * 2 + 2 * 8)
    assert bill({PREFILL: 3, DECODE: 2}, {"pages": 0.5}, found, plan).miss_per_h == pytest.approx(144.0)


def test_what_measured_latency_asks_for_is_a_least_count_of_the_search() -> None:
    plan = policy()
    found = search(plan)
    free = priced_need(found, plan)
    assert free is not None

    need = priced_need(found, plan, least={DECODE: free.wanted[DECODE] + 2})

    assert need is not None
    assert need.wanted[DECODE] == free.wanted[DECODE] + 2
    # A ceiling stands above it.
    capped = replace(plan, pools={**plan.pools, DECODE: PoolPolicy(max_replicas=1)})
    under = priced_need(found, capped, least={DECODE: 3})
    assert under is not None
    assert under.wanted[DECODE] == 1
