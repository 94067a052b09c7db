"""Check what is asked for when budget, floors and nodes get in each other's way."""

from dataclasses import replace

import pytest

from models.observation import QueueReading
from models.plan.scenarios import scenarios
from models.plan.sizing import bind, find_need, size
from models.stock import Stock
from models.topology import Topology
from models.values import Binding, Role
from tests.builders import forecast, layouts, observation, plan_policy

PREFILL, DECODE = Role.PREFILL, Role.DECODE
RATES = {"pages": 180.0, "email": 20.0}


def test_where_the_nodes_hold_no_fleet_at_all_what_runs_stays() -> None:
    # One node of four GPUs cannot hold a prefill replica beside TP4 decode.
    policy = replace(plan_policy(budget_gpus=60), topology=Topology(4, 4, 1))
    seen = observation(RATES, counts={PREFILL: 9, DECODE: 2})
    sizing = size(seen, forecast(RATES), layouts(), policy)
    assert sizing is not None
    assert sizing.replicas() == {PREFILL: 9, DECODE: 2}


def test_nodes_smaller_than_the_budget_bind_as_topology() -> None:
    policy = replace(plan_policy(budget_gpus=60), topology=Topology(4, 16, 1))
    sizing = size(observation(RATES), forecast(RATES), layouts(), policy)
    assert sizing is not None
    assert sizing.roles[PREFILL].binding is Binding.TOPOLOGY
    assert sizing.roles[PREFILL].target + 4 * sizing.roles[DECODE].target == 16


def test_a_backlog_asks_for_more_than_the_forecast_alone() -> None:
    calm = size(observation(RATES), forecast(RATES), layouts(), plan_policy())
    queue = QueueReading(5000, 5000 * 8000.0)
    jammed = size(observation(RATES, queue=queue), forecast(RATES), layouts(), plan_policy())
    assert calm is not None
    assert jammed is not None
    # 5,000 prompts in two minutes are 42 a second more, a fifth of the load again.
    assert jammed.roles[PREFILL].target >= calm.roles[PREFILL].target + 3


def test_a_queue_of_one_iteration_per_replica_is_no_backlog() -> None:
    counts = {PREFILL: 17, DECODE: 1}
    calm = size(observation(RATES, counts), forecast(RATES), layouts(), plan_policy())
    working = QueueReading(17, 17 * 8000.0)
    busy = size(observation(RATES, counts, queue=working), forecast(RATES), layouts(), plan_policy())
    assert calm == busy


def test_the_sentence_names_the_forecast_the_need_and_the_promise() -> None:
    sizing = size(observation(RATES), forecast(RATES), layouts(), plan_policy())
    assert sizing is not None
    sentence = sizing.roles[PREFILL].sentence
    assert sentence.startswith("p90 forecast 220 rps, 1.6M prefill tokens/s needs 17 replicas for ")


@pytest.mark.parametrize("ratio", [0.1, 1.0, 8.0])
def test_where_hardware_has_prices_the_target_is_reached_for_the_least_money(ratio: float) -> None:
    rates = {"pages": 120.0, "email": 60.0}
    stocks = (Stock("H100", (PREFILL,), None, None, 2.0), Stock("GB200", (DECODE,), None, None, 2.0 * ratio))
    policy = replace(plan_policy(), stocks=stocks)
    ahead = scenarios(observation(rates), forecast(rates), policy.classes, policy.ready_horizon_s())
    assert ahead is not None
    search = bind(ahead, layouts(), policy)

    need = find_need(search, policy)

    def money(prefill: int, decode: int) -> float:
        return 2.0 * prefill + 8.0 * ratio * decode

    enough = [
        money(p, d) for p in range(1, 30) for d in range(1, 10) if search.reaches({PREFILL: p, DECODE: d})
    ]
    assert money(need.wanted[PREFILL], need.wanted[DECODE]) == pytest.approx(min(enough))
    assert need.cut_by is None
