"""Check what is said about each count: what sets it, and what one fewer and one more would attain."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import codec
from models.decision import RoleSizing, Sizing
from models.observation import Observation, QueueReading
from models.plan.scenarios import scenarios
from models.plan.sizing import bind, size
from models.policy import PlanPolicy, PoolPolicy
from models.values import Binding, Role
from tests.builders import (
    CHAT,
    EMAIL,
    PAGES,
    aggregated_layout,
    forecast,
    layouts,
    observation,
    plan_policy,
    pool,
)

PREFILL, DECODE, AGGREGATED = Role.PREFILL, Role.DECODE, Role.AGGREGATED
RATES = {"pages": 180.0, "email": 20.0}
PROMISES = (Binding.TTFT, Binding.ITL, Binding.E2E, Binding.THROUGHPUT, Binding.KV_CACHE)
# A wait is modelled as the worse of two tails, and a batch by a few points: neighbours may differ by this
# much against the trend and no more.
TREND = 1e-4

rates = st.fixed_dictionaries({"pages": st.floats(0.5, 250.0), "email": st.floats(0.5, 350.0)})
budgets = st.one_of(st.none(), st.integers(6, 60))


def sized(seen: Observation, policy: PlanPolicy, spread: float = 0.05) -> Sizing:
    now = {name: demand.arrivals_rps or 0.0 for name, demand in seen.demand.items()}
    found = size(seen, forecast(now, spread), layouts(), policy)
    assert found is not None
    return found


def attained(sizing: Sizing, role: Role) -> tuple[RoleSizing, float, float, float]:
    """Return one role, and what one fewer, the target and one more attain for the class it is set for."""
    one = sizing.roles[role]
    assert one.binding_class is not None
    assert one.more is not None
    fewer = one.fewer.attainment[one.binding_class] if one.fewer else 0.0
    return one, fewer, sizing.attainment[one.binding_class], one.more.attainment[one.binding_class]


@given(rates, budgets, st.floats(0.0, 0.2))
def test_one_more_attains_no_less_and_one_fewer_no_more(
    load: dict[str, float], budget: int | None, spread: float
) -> None:
    sizing = sized(observation(load), plan_policy(budget_gpus=budget), spread)
    for one in sizing.roles.values():
        assert one.more is not None
        assert (one.fewer is None) == (one.target == 1)
        assert one.more.expected_attainment >= sizing.expected_attainment - TREND
        if one.fewer is not None:
            assert one.fewer.expected_attainment <= sizing.expected_attainment + TREND
        for name, here in sizing.attainment.items():
            assert one.more.attainment[name] >= here - TREND
            assert one.fewer is None or one.fewer.attainment[name] <= here + TREND


@given(rates)
def test_a_count_that_a_promise_sets_would_miss_it_with_one_fewer(load: dict[str, float]) -> None:
    policy = plan_policy()
    sizing = sized(observation(load), policy)
    for role in (PREFILL, DECODE):
        one, fewer, here, _ = attained(sizing, role)
        if one.binding in PROMISES:
            target = policy.targets()[one.binding_class or ""]
            assert fewer < target - 1e-9 <= here


def test_neighbours_attain_what_the_model_predicts_for_their_fleets() -> None:
    seen, policy = observation(RATES), plan_policy()
    sizing = sized(seen, policy)
    ahead = scenarios(seen, forecast(RATES), policy.classes, policy.ready_horizon_s())
    assert ahead is not None
    for role in (PREFILL, DECODE):
        for step, told in ((-1, sizing.roles[role].fewer), (1, sizing.roles[role].more)):
            fleet = {**sizing.replicas(), role: sizing.roles[role].target + step}
            # A model of its own, asked for this one fleet.
            if told is None:
                assert fleet[role] == 0
                continue
            overall, per_class = bind(ahead, layouts(), policy).model.expected(fleet, ahead.weights)
            assert told.expected_attainment == pytest.approx(overall, abs=1e-12)
            assert told.attainment == pytest.approx(per_class, abs=1e-12)


def test_the_sentence_says_the_figures_of_both_neighbours() -> None:
    sizing = sized(observation(RATES), plan_policy())
    one, fewer, here, more = attained(sizing, PREFILL)
    assert one.binding_class == "pages"
    cut = int(fewer * (1000 if fewer < 0.99 else 10_000)) / (10 if fewer < 0.99 else 100)
    assert f"{one.target - 1} would keep the promise to {cut:g} % of pages" in one.sentence
    # The target of 99 % is far exceeded at 17: an eighteenth has next to nothing to add.
    assert 0 < more - here < 0.0005
    assert one.sentence.endswith(f"{one.target + 1} adds under 0.1 points")


def test_a_count_that_only_the_queue_asks_for_says_so() -> None:
    counts = {PREFILL: pool(12), DECODE: pool(2)}
    calm = sized(observation(RATES, pools=counts), plan_policy())
    queue = QueueReading(5000, 5000 * 8000.0)
    jammed = sized(observation(RATES, pools=counts, queue=queue), plan_policy())
    assert calm.roles[PREFILL].binding in PROMISES
    assert jammed.roles[PREFILL].binding is Binding.BACKLOG
    assert "to work the queue off within 2m" in jammed.roles[PREFILL].sentence


def test_a_budget_says_what_one_replica_more_would_bring() -> None:
    sizing = sized(observation(RATES), plan_policy(budget_gpus=18))
    one, fewer, here, more = attained(sizing, PREFILL)
    assert one.binding is Binding.BUDGET
    assert fewer < here < more
    assert f"{one.target + 1} adds {(more - here) * 100:.1f} points" in one.sentence


def test_a_class_without_a_latency_promise_is_served_not_kept() -> None:
    # Mails at night, alone: what counts is that they are worked off.
    policy = plan_policy((EMAIL,), budget_gpus=6)
    sizing = sized(observation({"email": 300.0}), policy)
    assert sizing.roles[PREFILL].fewer is None or "would serve" in sizing.roles[PREFILL].sentence


def test_an_aggregated_pool_has_neighbours_as_well() -> None:
    seen = replace(observation({"chat": 60.0}), pools={AGGREGATED: pool(3)})
    policy = plan_policy((CHAT,), pools={AGGREGATED: PoolPolicy()})
    sizing = size(seen, forecast({"chat": 60.0}), {AGGREGATED: aggregated_layout()}, policy)
    assert sizing is not None
    _, fewer, here, more = attained(sizing, AGGREGATED)
    assert fewer <= here <= more + TREND


def test_a_sizing_of_before_is_read_without_neighbours() -> None:
    sizing = sized(observation({"pages": 50.0}), plan_policy((PAGES,)))
    plain = codec.to_plain(sizing)
    assert codec.from_plain(Sizing, plain) == sizing
    for one in plain["roles"].values():
        for added in ("fewer", "more", "binding_class"):
            del one[added]
    old = codec.from_plain(Sizing, plain)
    assert old.replicas() == sizing.replicas()
    assert all((one.fewer, one.more, one.binding_class) == (None,) * 3 for one in old.roles.values())
