"""Hold the promises of the design as properties; each test names the promise that it keeps."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import codec
from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.decision import Decision, Outcome, Reason, Record, Sizing, Status
from models.mix import RequestMix
from models.observation import Gap, Observation, PoolState, StartingReplica
from models.plan.search import FleetSearch
from models.plan.sizing import size
from models.policy import DecidePolicy, ForecastPolicy, PlanPolicy, PoolPolicy, TickPolicy
from models.prediction import Forecast
from models.readiness import Readiness, StartUp, readiness
from models.simulation.fleet import Fleet, FleetPlan
from models.simulation.workload import Workload
from models.values import RequestClass, Role, Router, Slo
from planner.act.dryrun import DryRun
from planner.act.simulated import SimulatedActuator
from planner.decide.guard import Context, Proposal
from planner.decide.pipeline import decide, run_guards
from planner.learning.time_to_ready import TimeToReady
from planner.ports import Actuator, Ports
from planner.record.line import from_line, to_line
from planner.tick import Served, plan, tick
from tests import builders
from tests.builders import (
    AT_S,
    CHAT,
    CHAT_MIX,
    EMAIL,
    EMAIL_MIX,
    PAGES_MIX,
    aggregated_layout,
    forecast,
    layouts,
    observation,
    plan_policy,
)

ROLES = (Role.PREFILL, Role.DECODE)
LAYOUTS = layouts()
DECIDE = DecidePolicy()

rates = st.fixed_dictionaries({"pages": st.floats(0.5, 250.0), "email": st.floats(0.5, 350.0)})
budgets = st.one_of(st.none(), st.integers(6, 60))
spreads = st.floats(0.0, 0.3)


@st.composite
def pools(draw: st.DrawFn) -> dict[Role, PoolState]:
    """Draw pools in any state: settled, starting, stuck, draining, rolling, paused or pinned."""
    drawn = {}
    for role in ROLES:
        ready = draw(st.integers(0, 20))
        ages = draw(st.lists(st.floats(0, 1200), max_size=4))
        stuck = draw(st.lists(st.sampled_from([None, "quota refused"]), min_size=4, max_size=4))
        starting = tuple(StartingReplica(AT_S - a, s) for a, s in zip(ages, stuck, strict=False))
        drawn[role] = PoolState(
            desired=max(ready + len(starting), 1),
            ready=ready,
            starting=starting,
            draining=draw(st.integers(0, 3)),
            rollout_in_progress=draw(st.integers(0, 9)) == 0,
            paused=draw(st.integers(0, 9)) == 0,
            pinned_replicas=draw(st.one_of(st.none(), st.integers(1, 30)))
            if draw(st.integers(0, 9)) == 0
            else None,
        )
    return drawn


def sizing_of(seen: Observation, expected: Forecast, policy: PlanPolicy) -> Sizing | None:
    return size(seen, expected, LAYOUTS, policy)


def gpus(counts: Mapping[Role, int]) -> int:
    return sum(LAYOUTS[role].gpus * n for role, n in counts.items())


@given(rates, pools(), budgets, st.one_of(st.none(), st.floats(0, 2000)))
def test_1_missing_or_stale_data_never_lowers_replicas(
    load: Mapping[str, float], state: dict[Role, PoolState], budget: int | None, age_s: float | None
) -> None:
    at = None if age_s is None else AT_S - age_s
    state = {role: replace(pool, pinned_replicas=None) for role, pool in state.items()}
    policy = plan_policy(budget_gpus=budget)
    late = age_s is None or age_s > policy.interval_s + policy.observation_lag_s
    seen = observation(load, pools=state, demand_at_s=at, gaps=(Gap("arrivals", "no samples"),))
    decision = decide(seen, sizing_of(seen, forecast(load), policy), policy, DECIDE, LAYOUTS)
    if late:
        assert all(decision.final[role] >= state[role].desired for role in ROLES)
    if age_s is None or age_s > DECIDE.max_demand_age_s:
        assert decision.held
        assert all(decision.final[role] == state[role].desired for role in ROLES)


@given(rates, pools(), st.booleans())
def test_1_without_any_forecast_counts_are_held(
    load: Mapping[str, float], state: dict[Role, PoolState], known: bool
) -> None:
    state = {role: replace(pool, pinned_replicas=None) for role, pool in state.items()}
    seen = observation(load if known else {"pages": None, "email": None}, pools=state)
    decision = decide(seen, sizing_of(seen, Forecast(AT_S), plan_policy()), plan_policy(), DECIDE, LAYOUTS)
    assert decision.held
    assert decision.changes == {}


@given(rates, pools(), budgets, spreads)
def test_2_same_inputs_same_decision(
    load: Mapping[str, float], state: dict[Role, PoolState], budget: int | None, spread: float
) -> None:
    policy = plan_policy(budget_gpus=budget)

    def once() -> Decision:
        seen = observation(load, pools=dict(state))
        return decide(seen, sizing_of(seen, forecast(load, spread), policy), policy, DECIDE, layouts())

    assert codec.to_json(once()) == codec.to_json(once())


@given(rates, pools(), budgets, spreads)
def test_3_decide_is_idempotent(
    load: Mapping[str, float], state: dict[Role, PoolState], budget: int | None, spread: float
) -> None:
    policy = plan_policy(budget_gpus=budget)
    seen = observation(load, pools=state)
    context = Context(seen, sizing_of(seen, forecast(load, spread), policy), policy, DECIDE, LAYOUTS)
    first, _ = run_guards(Proposal(context.sizing.replicas() if context.sizing else {}), context)
    second, _ = run_guards(Proposal(first.counts), context)
    assert second.counts == first.counts


@given(rates, pools(), st.integers(6, 60), spreads)
def test_3_decisions_stay_inside_the_budget(
    load: Mapping[str, float], state: dict[Role, PoolState], budget: int, spread: float
) -> None:
    policy = plan_policy(budget_gpus=budget)
    seen = observation(load, pools=state)
    decision = decide(seen, sizing_of(seen, forecast(load, spread), policy), policy, DECIDE, LAYOUTS)
    # Where more was running already, a decision may not add to it.
    assert gpus(decision.final) <= max(budget, gpus({role: state[role].desired for role in ROLES}))


@given(rates, st.integers(6, 60), st.integers(0, 20), st.integers(0, 5))
def test_3_an_up_never_takes_gpus_that_a_draining_replica_still_holds(
    load: Mapping[str, float], budget: int, draining_prefill: int, draining_decode: int
) -> None:
    policy = plan_policy(budget_gpus=budget)
    state = {
        Role.PREFILL: builders.pool(2, draining=draining_prefill),
        Role.DECODE: builders.pool(1, draining=draining_decode),
    }
    seen = observation(load, pools=state)
    decision = decide(seen, sizing_of(seen, forecast(load), policy), policy, DECIDE, LAYOUTS)
    held = draining_prefill * LAYOUTS[Role.PREFILL].gpus + draining_decode * LAYOUTS[Role.DECODE].gpus
    if any(n > state[role].desired for role, n in decision.final.items()):
        assert gpus(decision.final) + held <= max(budget, 6 + held)


@given(rates, st.floats(1.0, 2.0), st.sampled_from(list(Router)))
def test_4_more_load_never_needs_fewer_replicas(
    load: Mapping[str, float], growth: float, router: Router
) -> None:
    policy = replace(plan_policy(), router=router)
    less = sizing_of(observation(load), forecast(load), policy)
    more_load = {name: rate * growth for name, rate in load.items()}
    more = sizing_of(observation(more_load), forecast(more_load), policy)
    assert less is not None
    assert more is not None
    for role in ROLES:
        assert more.roles[role].uncapped >= less.roles[role].uncapped


@given(rates, st.floats(1.0, 3.0), st.floats(1.0, 3.0))
def test_4_a_looser_promise_never_needs_more_replicas(
    load: Mapping[str, float], ttft: float, e2e: float
) -> None:
    def need(ttft_s: float, e2e_s: float) -> Sizing:
        classes = (RequestClass("pages", Slo(ttft_s=ttft_s, e2e_s=e2e_s), 10), EMAIL)
        sizing = sizing_of(observation(load), forecast(load), plan_policy(classes))
        assert sizing is not None
        return sizing

    tight, loose = need(0.3, 0.5), need(0.3 * ttft, 0.5 * e2e)
    for role in ROLES:
        assert loose.roles[role].uncapped <= tight.roles[role].uncapped


@given(rates, pools(), budgets)
def test_5_a_down_waits_for_replicas_that_are_starting(
    load: Mapping[str, float], state: dict[Role, PoolState], budget: int | None
) -> None:
    policy = plan_policy(budget_gpus=budget)
    seen = observation(load, pools=state)
    decision = decide(seen, sizing_of(seen, forecast(load), policy), policy, DECIDE, LAYOUTS)
    for role, pool in state.items():
        limit_s = policy.pools[role].startup_p99_s
        healthy = sum(1 for r in pool.starting if r.stuck is None and AT_S - r.since_s <= limit_s)
        if healthy and pool.pinned_replicas is None:
            assert decision.final[role] >= pool.desired - (len(pool.starting) - healthy)


@given(rates, st.integers(1, 4), st.one_of(st.none(), st.integers(40, 120)))
def test_5_a_stuck_role_never_blocks_the_other(
    load: Mapping[str, float], stuck: int, budget: int | None
) -> None:
    policy = plan_policy(budget_gpus=budget)
    waiting = tuple(StartingReplica(AT_S - 5000, "quota refused") for _ in range(stuck))
    free = {Role.PREFILL: builders.pool(1), Role.DECODE: builders.pool(1)}
    jammed = {**free, Role.DECODE: PoolState(desired=1 + stuck, ready=1, starting=waiting)}
    expected = forecast(load)
    alone = observation(load, pools=free)
    beside = observation(load, pools=jammed)
    before = decide(alone, sizing_of(alone, expected, policy), policy, DECIDE, LAYOUTS)
    after = decide(beside, sizing_of(beside, expected, policy), policy, DECIDE, LAYOUTS)
    assert after.final[Role.PREFILL] == before.final[Role.PREFILL]


@given(rates, pools(), budgets, spreads)
def test_6_each_replica_between_proposed_and_final_is_attributed(
    load: Mapping[str, float], state: dict[Role, PoolState], budget: int | None, spread: float
) -> None:
    policy = plan_policy(budget_gpus=budget)
    seen = observation(load, pools=state)
    decision = decide(seen, sizing_of(seen, forecast(load, spread), policy), policy, DECIDE, LAYOUTS)
    for role in ROLES:
        chain = [a for a in decision.adjustments if a.role is role]
        count = decision.proposed[role]
        for adjustment in chain:
            assert adjustment.before == count
            assert adjustment.sentence
            count = adjustment.after
        assert count == decision.final[role]


class _Observer:
    def __init__(self, seen: Observation) -> None:
        self.seen = seen

    def observe(self, now_s: float) -> Observation:
        return self.seen


class _Forecaster:
    def __init__(self, expected: Forecast) -> None:
        self.expected = expected

    def absorb(self, observation: Observation) -> None:
        """Remember nothing: the forecast is given."""

    def forecast(self, now_s: float) -> Forecast:
        return self.expected


class _LiveActuator:
    """Change a simulated fleet for real."""

    def __init__(self, state: Mapping[Role, PoolState]) -> None:
        counts = {role: pool.desired for role, pool in state.items()}
        nothing = Workload.of([0.0], 1000, 10)
        self.fleet = Fleet(nothing, FleetPlan(LAYOUTS, counts, dict.fromkeys(counts, 120.0)))

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        return SimulatedActuator(self.fleet).act(decision, observation)


class _Journal:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def record(self, record: Record) -> None:
        self.lines.append(to_line(record))


def _policy(budget: int | None) -> TickPolicy:
    return TickPolicy("shop", ForecastPolicy(), plan_policy(budget_gpus=budget), DECIDE, "sha256:config")


def _tick(
    seen: Observation,
    expected: Forecast,
    budget: int | None,
    actuator: Actuator,
    started: Mapping[Role, Readiness] = MappingProxyType({}),
) -> tuple[Record, _Journal]:
    journal, learner = _Journal(), TimeToReady(_policy(budget).plan)
    learner.seed(started)
    ports = Ports(_Observer(seen), _Forecaster(expected), actuator, journal, learner)
    return tick(AT_S, ports, _policy(budget), Served(LAYOUTS, "sha256:profile", "test")), journal


@given(rates, pools(), budgets, spreads)
def test_7_dry_run_and_live_decide_byte_for_byte_alike(
    load: Mapping[str, float], state: dict[Role, PoolState], budget: int | None, spread: float
) -> None:
    seen, expected = observation(load, pools=state), forecast(load, spread)
    actuator = _LiveActuator(state)
    live, _ = _tick(seen, expected, budget, actuator)
    dry, _ = _tick(seen, expected, budget, DryRun())
    assert codec.to_json(live.decision) == codec.to_json(dry.decision)
    # One of them really changed its fleet, the other said that it would not.
    assert actuator.fleet.desired() == dict(live.decision.final)
    assert (live.outcome.status is Status.APPLIED) == bool(live.decision.changes)
    assert dry.outcome.status is not Status.APPLIED


start_ups = st.lists(st.floats(1.0, 900.0), max_size=12).map(
    lambda took_s: readiness(
        [StartUp(AT_S - 9000.0 + 600 * i, 1 + i % 3, s / 2, s) for i, s in enumerate(took_s)], PoolPolicy()
    )
)


@given(rates, pools(), budgets, spreads, st.dictionaries(st.sampled_from(ROLES), start_ups))
def test_9_every_record_replays_from_its_line(
    load: Mapping[str, float],
    state: dict[Role, PoolState],
    budget: int | None,
    spread: float,
    started: Mapping[Role, Readiness],
) -> None:
    seen = observation(load, pools=state)
    record, journal = _tick(seen, forecast(load, spread), budget, DryRun(), started)
    assert {role: record.readiness[role] for role in started} == started
    read = from_line(journal.lines[0])
    assert read == record
    sizing, decision = plan(read.observation, read.forecast, _policy(budget), LAYOUTS, read.readiness)
    assert sizing == record.sizing
    assert decision == record.decision


@given(rates, budgets, spreads)
def test_10_running_on_the_recommended_state_recommends_no_change(
    load: Mapping[str, float], budget: int | None, spread: float
) -> None:
    policy, expected = plan_policy(budget_gpus=budget), forecast(load, spread)
    seen = observation(load)
    sizing = sizing_of(seen, expected, policy)
    assert sizing is not None
    settled = observation(load, counts=sizing.replicas())
    again = sizing_of(settled, expected, policy)
    assert decide(settled, again, policy, DECIDE, LAYOUTS).changes == {}


@given(rates, budgets, spreads)
def test_10_deciding_step_by_step_comes_to_rest(
    load: Mapping[str, float], budget: int | None, spread: float
) -> None:
    policy, expected = plan_policy(budget_gpus=budget), forecast(load, spread)
    counts: Mapping[Role, int] = {Role.PREFILL: 2, Role.DECODE: 1}
    trail = [counts]
    for _ in range(60):
        seen = observation(load, counts=counts)
        counts = decide(seen, sizing_of(seen, expected, policy), policy, DECIDE, LAYOUTS).final
        if counts == trail[-1]:
            return
        trail.append(counts)
    pytest.fail(f"still changing after 60 ticks: {trail[-5:]}")


def test_13_a_pool_without_a_replica_is_never_proposed() -> None:
    sizing = sizing_of(
        observation({"pages": 0.0, "email": 0.0}), forecast({"pages": 0.0, "email": 0.0}), plan_policy()
    )
    assert sizing is not None
    assert all(s.target >= 1 for s in sizing.roles.values())


def test_a_held_decision_names_its_reason() -> None:
    seen = observation(demand_at_s=AT_S - 1000, gaps=(Gap("arrivals", "connection refused"),))
    decision = decide(seen, None, plan_policy(), DECIDE, LAYOUTS)
    assert {a.reason for a in decision.adjustments} == {Reason.STALE}
    assert "connection refused" in str(decision)


def test_pools_keep_their_floor_even_without_load() -> None:
    policy = plan_policy(
        pools={Role.PREFILL: PoolPolicy(min_replicas=3), Role.DECODE: PoolPolicy(min_replicas=2)}
    )
    quiet = {"pages": 0.1, "email": 0.1}
    seen = observation(quiet, counts={Role.PREFILL: 3, Role.DECODE: 2})
    assert decide(seen, sizing_of(seen, forecast(quiet), policy), policy, DECIDE, LAYOUTS).changes == {}


@given(st.floats(1.0, 120.0), st.floats(1.0, 2.0), st.sampled_from([CHAT_MIX, PAGES_MIX, EMAIL_MIX]))
def test_4_holds_for_an_aggregated_pool_too(rate: float, growth: float, mix: RequestMix) -> None:
    def need(rate_rps: float) -> int:
        model = FleetModel(
            {Role.AGGREGATED: aggregated_layout()}, [[ClassLoad.steady(CHAT, rate_rps, mix)]], Router.LOAD
        )
        return FleetSearch(model, np.ones(1), {"chat": 0.99}).alone(Role.AGGREGATED)

    assert need(rate * growth) >= need(rate)


@given(st.floats(1.0, 200.0), st.sampled_from([CHAT_MIX, PAGES_MIX, EMAIL_MIX]))
def test_one_more_aggregated_replica_never_lowers_attainment(rate: float, mix: RequestMix) -> None:
    load = [[ClassLoad.steady(CHAT, rate, mix)]]
    model = FleetModel({Role.AGGREGATED: aggregated_layout()}, load, Router.LOAD)
    kept = [model.expected({Role.AGGREGATED: n}, np.ones(1))[0] for n in range(1, 25)]
    assert all(b >= a - 1e-9 for a, b in pairwise(kept))
