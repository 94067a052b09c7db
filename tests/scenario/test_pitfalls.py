"""Fall into none of the pitfalls that other autoscalers of this field are known for.

Each test computes what the naive behaviour would answer, shows that this is the mistake, then asks Headgate.
Those with a star stand in `test_pitfalls_of_data.py`.

NaN at zero traffic blocked scale-down: `test_zero_traffic_lowers_the_fleet_to_its_floor`
An outage read as zero requests removed replicas: `test_an_outage_removes_no_replica`
A non-200 read as queue 0 scaled to zero: * `test_a_failed_query_is_no_empty_queue`
One silent pod blocked a service: * `test_one_silent_pod_blocks_nobody_for_long`
Cold-start samples multiplied decode replicas: `test_cold_start_latencies_multiply_no_replicas`
A rebalance half applied exceeded the budget: `test_a_rebalance_never_exceeds_the_budget_and_ends`
Latency floors pinned replicas after traffic: `test_latency_pins_no_replica_after_traffic_stopped`
A recommender ratcheted down on its own output: `test_a_dip_and_a_return_come_back_to_the_same_fleet`
History lost on restart: * `test_a_restart_forgets_no_season`
ARIMA order frozen at five points: * `test_no_model_stays_what_five_points_made_it`
Prophet fed invented calendar time over 2.5 h: * `test_hours_are_no_season_and_gaps_move_no_clock`
A planner frozen an hour by one pending pod: `test_one_pending_pod_freezes_nobody`
Unknown config keys silently ignored: * `test_an_unknown_key_is_an_error`
A GPU budget failed open on a new API version: * `test_a_pool_of_unknown_shape_opens_no_budget`
Scale-down killed requests in flight: `test_a_release_finishes_what_it_holds`
"""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.observation import (
    ClassDemand,
    Gap,
    LatencyReading,
    Observation,
    PoolState,
    QueueReading,
    StartingReplica,
)
from models.plan.sizing import size
from models.policy import DecidePolicy
from models.simulation.workload import Workload
from models.values import RequestClass, Role, Slo
from planner.decide.pipeline import decide
from tests.builders import AT_S, forecast, layouts, observation, plan_policy, pool
from tests.drawn import DrawnPools, DrawnWorld
from tests.unit.decide.deciding import sizing
from tests.unit.simulation import fleets

PREFILL, DECODE = Role.PREFILL, Role.DECODE
LAYOUTS, DECIDE = layouts(), DecidePolicy()
RATES = {"pages": 100.0, "email": 20.0}
QUIET = {"pages": 0.0, "email": 0.0}


def settled(
    rates: dict[str, float], counts: dict[Role, int], ticks: int = 60, **seen: object
) -> dict[Role, int]:
    """Decide again and again on the same demand; what is decided is there at the next look."""
    plan = plan_policy()
    for _ in range(ticks):
        look = replace(observation(rates, counts), **seen)  # type: ignore[arg-type]
        counts = dict(decide(look, size(look, forecast(rates), LAYOUTS, plan), plan, DECIDE, LAYOUTS).final)
    return counts


def test_zero_traffic_lowers_the_fleet_to_its_floor() -> None:
    """Naive: mean TTFT is seconds per request, 0 / 0; no comparison with NaN is true: nothing goes down."""
    with np.errstate(invalid="ignore"):
        mean_ttft_s = float(np.float64(0.0) / np.float64(0.0))
    running = {PREFILL: 12, DECODE: 2}
    naive = 12 - int(mean_ttft_s / 0.3 < 0.5)
    assert naive == running[PREFILL]
    assert settled(QUIET, running, latency={"pages": LatencyReading()}) == {PREFILL: 1, DECODE: 1}


def test_an_outage_removes_no_replica() -> None:
    """Naive: requests that nobody reported are summed to zero, and zero requests need one replica."""
    began, ended = 60, 120

    def unseen(seen: Observation) -> Observation:
        minute = len(looks)
        looks.append(seen)
        if not began <= minute < ended:
            return seen
        dark = {name: ClassDemand(None, None, None) for name in seen.demand}
        gap = Gap("arrivals", "connection refused")
        last_s = looks[began - 1].at_s
        return replace(seen, demand=dark, demand_at_s=last_s, gaps=(gap,))

    looks: list[Observation] = []
    naive = size(observation(QUIET, {PREFILL: 12, DECODE: 2}), forecast(QUIET), LAYOUTS, plan_policy())
    assert naive is not None
    assert naive.replicas() == {PREFILL: 1, DECODE: 1}

    rates = {"pages": np.full(600 + 240, 100.0), "email": np.full(600 + 240, 20.0)}
    pools = DrawnPools({PREFILL: 12, DECODE: 2})
    world = DrawnWorld(rates, pools, plan_policy(), history_minutes=600, disturb=unseen)
    records = world.run()
    before = records[began - 1].decision.final
    # Neither while it lasts nor when it is over is anything lower: what was not seen was not zero.
    for record in records[began:]:
        assert all(record.decision.final[role] >= n for role, n in before.items())
    assert all(r.decision.held for r in records[began + 4 : ended])


def test_cold_start_latencies_multiply_no_replicas() -> None:
    """Naive: the first tokens after a start take ten times as long: there must be ten times the replicas."""
    chat = RequestClass("chat", Slo(ttft_s=0.5, itl_s=0.03))
    plan, rates = plan_policy([chat]), {"chat": 200.0}
    need = size(observation(rates), forecast(rates), LAYOUTS, plan)
    assert need is not None
    cold = {"chat": LatencyReading(ttft_p90_s=5.0, itl_p90_s=0.3)}
    naive = math.ceil(need.roles[DECODE].target * 0.3 / 0.03)
    assert naive == 10 * need.roles[DECODE].target

    counts = need.replicas()
    for _ in range(10):
        # They stay cold for ten looks, and what was ordered gets ready all the same.
        look = observation(rates, counts, latency=cold, queue=QueueReading(0, 0.0))
        counts = dict(decide(look, size(look, forecast(rates), LAYOUTS, plan), plan, DECIDE, LAYOUTS).final)
    assert counts[DECODE] <= math.ceil(1.5 * need.roles[DECODE].target)
    assert counts[PREFILL] <= need.roles[PREFILL].target


def test_a_rebalance_never_exceeds_the_budget_and_ends() -> None:
    """Naive: both patches at once. Draining replicas keep their GPUs: 28 are asked for where 24 are."""
    budget, wanted = 24, {PREFILL: 16, DECODE: 2}
    gpus = {role: layout.gpus for role, layout in LAYOUTS.items()}
    naive = wanted[PREFILL] * gpus[PREFILL] + 3 * gpus[DECODE]
    assert naive > budget

    plan = plan_policy(budget_gpus=budget)
    ready, draining, taken = {PREFILL: 12, DECODE: 3}, 0, []
    for look in range(8):
        pools = {PREFILL: pool(ready[PREFILL]), DECODE: pool(ready[DECODE], draining=draining)}
        seen = observation(pools=pools)
        final = decide(seen, sizing(16, 2), plan, DECIDE, LAYOUTS).final
        # A crash between the two patches at the first look: the donor's alone was made.
        gone = ready[DECODE] - final[DECODE]
        ready = {PREFILL: ready[PREFILL] if look == 0 else final[PREFILL], DECODE: final[DECODE]}
        # A drain takes three looks.
        draining = gone or draining * (look < 3)
        taken.append(sum(gpus[r] * n for r, n in ready.items()) + draining * gpus[DECODE])
    assert max(taken) <= budget
    assert ready == wanted


def test_latency_pins_no_replica_after_traffic_stopped() -> None:
    """Naive: the last latency stays where no request measures another, and so does its floor."""
    last = {"pages": LatencyReading(ttft_p90_s=0.4, itl_p90_s=0.05)}
    naive = 12
    for _ in range(60):
        naive = max(1, math.ceil(naive * 0.4 / 0.3))
    assert naive > 12
    # Nobody can tell the queue, and an exporter repeats its last quantiles.
    assert settled(QUIET, {PREFILL: 12, DECODE: 2}, latency=last, queue=None) == {PREFILL: 1, DECODE: 1}


def test_a_dip_and_a_return_come_back_to_the_same_fleet() -> None:
    """Naive: smooth with what was recommended before; cut to whole replicas it only ever goes down."""
    rates = [100.0] * 30 + [60.0] * 40 + [100.0] * 30
    naive = [12]
    for rate in rates:
        naive.append(math.floor(0.9 * naive[-1] + 0.1 * math.ceil(0.12 * rate)))
    assert naive[30] == 12
    assert naive[-1] < 12

    counts, trail = {PREFILL: 12, DECODE: 2}, []
    for rate in rates:
        counts = settled({"pages": rate, "email": 20.0}, counts, ticks=1)
        trail.append(counts[PREFILL])
    assert min(trail) < trail[29] - 2
    assert trail[-1] >= trail[29]


@pytest.mark.parametrize("budget", [None, 64])
def test_one_pending_pod_freezes_nobody(budget: int | None) -> None:
    """Naive: while any pod of the deployment is not ready nothing is decided, for as long as it pends."""
    plan = plan_policy(budget_gpus=budget)
    pending = StartingReplica(AT_S - 3600.0, "0/18 nodes are available: insufficient nvidia.com/gpu")
    pools = {PREFILL: pool(4), DECODE: PoolState(3, 2, (pending,))}
    naive = {role: state.desired for role, state in pools.items() if any(p.starting for p in pools.values())}
    assert naive == {PREFILL: 4, DECODE: 3}

    def final(prefill: int, decode: int) -> dict[Role, int]:
        return dict(decide(observation(pools=pools), sizing(prefill, decode), plan, DECIDE, LAYOUTS).final)

    assert final(9, 3) == {PREFILL: 9, DECODE: 3}
    # Its own role may grow, and give it up, too.
    assert final(4, 5)[DECODE] == 5
    assert final(3, 2) == {PREFILL: 3, DECODE: 2}


def test_a_release_finishes_what_it_holds() -> None:
    """Naive: the replica's process ends with its count, and all that it was writing is lost."""
    requests = 400
    arrivals = np.arange(requests, dtype=np.float64) * 0.05
    work = Workload.of(arrivals, np.full(requests, 1000), np.full(requests, 200))
    fleet = fleets.fleet(
        work, fleets.pair(fleets.prefill(1e-5), fleets.decode(0.02)), {PREFILL: 2, DECODE: 4}
    )
    fleet.advance(10.0)
    held = fleet.in_use()[DECODE]
    naive = requests - math.floor(held * 3 / 4)
    assert naive < requests - 30

    fleet.scale(DECODE, 1)
    fleet.scale(PREFILL, 1)
    assert fleet.pools()[DECODE].draining == 3
    for second in range(11, 60):
        fleet.advance(float(second))
    assert fleet.ledger.completed == requests
    assert fleet.pools()[DECODE].draining == 0


def test_every_pitfall_of_the_table_has_its_test() -> None:
    assert __doc__ is not None
    named = re.findall(r": (\*? ?)`(test_\w+)`", __doc__)
    here = set(globals())
    there = (Path(__file__).parent / "test_pitfalls_of_data.py").read_text()
    assert len({name for _, name in named}) == 15
    for star, name in named:
        assert f"def {name}(" in there if star else name in here, name
