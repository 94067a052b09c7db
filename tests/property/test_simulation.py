"""Hold the simulated fleet to what must be true whatever arrives and however it is scaled."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.artifact import LayoutProfile
from models.simulation.clockwork import Clockwork
from models.simulation.fleet import Fleet, FleetPlan
from models.simulation.ledger import COMPLETED, REJECTED, Ledger
from models.simulation.pace import PrefillPace
from models.simulation.prefill import PrefillReplica
from models.simulation.workload import Workload
from models.values import Role, Router
from tests.unit.simulation.fleets import aggregated, decode, pair, prefill

DISAGGREGATED = pair(
    prefill(1e-5, fixed_s=0.001, batched_tokens=4000, overhead_s=0.01, handover_s_per_token=1e-7),
    decode(0.001, 1e-5, 1e-9, seqs=8, kv_tokens=9000),
)
AGGREGATED = {Role.AGGREGATED: aggregated(1e-5, 0.001, 1e-5, batched_tokens=1000, seqs=8)}

requests = st.lists(
    st.tuples(
        st.floats(0, 20, allow_nan=False),
        st.integers(1, 10_000),
        st.integers(1, 300),
    ),
    min_size=1,
    max_size=60,
)
# When, which role (0: the first), how many replicas.
scalings = st.lists(
    st.tuples(st.floats(0, 25, allow_nan=False), st.integers(0, 1), st.integers(0, 4)), max_size=8
)


def opened(rows: list[tuple[float, int, int]], layouts: dict[Role, LayoutProfile], router: Router) -> Fleet:
    times, isl, osl = (np.array(column) for column in zip(*rows, strict=True))
    plan = FleetPlan(layouts, dict.fromkeys(layouts, 1), dict.fromkeys(layouts, 2.0), router, seed=1)
    return Fleet(Workload.of(times, isl, osl), plan)


@settings(max_examples=150)
@given(requests, scalings, st.sampled_from(list(Router)), st.booleans())
def test_every_request_is_completed_rejected_or_in_flight_at_any_time(
    rows: list[tuple[float, int, int]],
    changes: list[tuple[float, int, int]],
    router: Router,
    together: bool,
) -> None:
    layouts = AGGREGATED if together else DISAGGREGATED
    fleet = opened(rows, layouts, router)
    roles = list(layouts)
    for at_s, which, count in sorted(changes):
        fleet.advance(at_s)
        fleet.scale(roles[which % len(roles)], count)
        states = fleet.ledger.states()[: fleet.arrivals]
        assert fleet.ledger.completed == int((states == COMPLETED).sum())
        assert fleet.rejected == int((states == REJECTED).sum())
        assert fleet.ledger.completed + fleet.rejected + fleet.in_flight == fleet.arrivals
        assert fleet.in_flight >= 0
    # Whatever was scaled away, a single replica a role serves all that can be served.
    for role in roles:
        fleet.scale(role, max(fleet.desired()[role], 1))
    fleet.advance(5_000.0)

    assert fleet.arrivals == len(rows)
    assert fleet.in_flight == 0
    assert all(pool.draining == 0 for pool in fleet.pools().values())
    assert all(held == 0 for held in fleet.in_use().values())
    assert fleet.queue().requests == 0


@settings(max_examples=100)
@given(requests, st.booleans())
def test_no_token_comes_before_its_work_could_be_done(
    rows: list[tuple[float, int, int]], together: bool
) -> None:
    layouts = AGGREGATED if together else DISAGGREGATED
    fleet = opened(rows, layouts, Router.LOAD)
    fleet.advance(5_000.0)
    done = np.flatnonzero(fleet.ledger.states() == COMPLETED)
    ttft, tpot, e2e = fleet.ledger.latencies(done)
    workload = fleet.ledger.workload

    least_s = 1e-5 * workload.isl_tokens[done]
    assert (ttft >= least_s - 1e-9).all()
    assert (e2e >= ttft - 1e-9).all()
    longer = workload.osl_tokens[done] > 1
    # No step takes less than that of a batch of one.
    assert (tpot[longer] >= 0.001 * (1 - 1e-3)).all()


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.floats(0, 1, allow_nan=False), st.integers(1, 5000)), min_size=1, max_size=40),
    st.integers(1, 8),
    st.integers(1, 6000),
)
def test_a_prefill_replica_serves_first_come_first_served(
    rows: list[tuple[float, int]], seqs: int, batched_tokens: int
) -> None:
    times, isl = zip(*sorted(rows), strict=True)
    workload = Workload.of(times, isl, 1)
    clock, passed = Clockwork(), []
    layout = prefill(1e-5, fixed_s=0.001, seqs=seqs, batched_tokens=batched_tokens)
    replica = PrefillReplica(
        layout,
        PrefillPace(layout),
        clock,
        Ledger(workload, 0.0),
        lambda now_s, request: passed.append((now_s, request)),
    )
    for request, at_s in enumerate(workload.arrival_s.tolist()):
        clock.run_until(at_s)
        replica.accept(at_s, request)
    clock.run_until(1e6)

    assert [request for _, request in passed] == list(range(len(rows)))
    assert [at for at, _ in passed] == sorted(at for at, _ in passed)
    assert replica.held == 0
    assert replica.queued_tokens == 0
    assert replica.loads == [0.0]


@settings(max_examples=60)
@given(requests, scalings)
def test_gpu_seconds_are_the_integral_of_billed_replicas(
    rows: list[tuple[float, int, int]], changes: list[tuple[float, int, int]]
) -> None:
    fleet = opened(rows, DISAGGREGATED, Router.LOAD)
    roles = list(DISAGGREGATED)
    grid_s, until_s = 0.01, 30.0
    actions = sorted((round(at_s / grid_s) * grid_s, which, count) for at_s, which, count in changes)
    billed = dict.fromkeys(roles, 0.0)
    for step in range(round(until_s / grid_s)):
        now_s = step * grid_s
        fleet.advance(now_s)
        while actions and actions[0][0] <= now_s + 1e-9:
            _, which, count = actions.pop(0)
            fleet.scale(roles[which], count)
        for role, pool in fleet.pools().items():
            billed[role] += pool.billed * DISAGGREGATED[role].gpus * grid_s
    fleet.advance(until_s)

    for role, seconds in fleet.gpu_seconds().items():
        # A replica that drains to its end inside a grid step is off by less than that step.
        slack = 8 * 4 * grid_s * DISAGGREGATED[role].gpus
        assert abs(seconds - billed[role]) <= slack


@settings(max_examples=60)
@given(requests, st.floats(0.05, 20), st.integers(0, 5))
def test_scaling_the_rate_keeps_the_span_and_the_lengths(
    rows: list[tuple[float, int, int]], factor: float, seed: int
) -> None:
    times, isl, osl = (np.array(column) for column in zip(*rows, strict=True))
    workload = Workload.of(times, isl, osl)
    scaled = workload.scaled(factor, seed)

    again = workload.scaled(factor, seed)
    assert np.array_equal(scaled.arrival_s, again.arrival_s)
    if len(scaled):
        assert scaled.start_s >= workload.start_s
        assert scaled.end_s <= workload.end_s
    pairs = set(zip(workload.isl_tokens.tolist(), workload.osl_tokens.tolist(), strict=True))
    assert set(zip(scaled.isl_tokens.tolist(), scaled.osl_tokens.tolist(), strict=True)) <= pairs
    if factor >= 1:
        assert int(factor) * len(rows) <= len(scaled) <= (int(factor) + 1) * len(rows)
    else:
        assert len(scaled) <= len(rows)
