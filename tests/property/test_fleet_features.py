"""Hold fleets whose engines pre-empt, cache, offload and speculate, and whose replicas die, to the truth."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features import Features, KvTier, PrefixCache
from models.simulation.failures import Failures
from models.simulation.fleet import Fleet, FleetPlan
from models.simulation.preemption import Preempting
from models.simulation.workload import PrefixBlocks, Workload
from models.values import Role, Router
from tests.unit.simulation.fleets import aggregated, decode, pair, prefill

CAPACITY, BLOCK = 2500.0, 100

# How many requests, in how many seconds, and what they are drawn from: lists drawn one by one stay too short
# for a cache to run full.
requests = st.tuples(st.integers(1, 120), st.floats(0.05, 6.0), st.integers(0, 10**6))
Requests = tuple[int, float, int]
features = st.builds(
    Features,
    accepted_tokens=st.sampled_from([1.0, 1.7, 3.0]),
    preempts=st.booleans(),
    tier=st.sampled_from([None, KvTier(4000.0, 1e-6)]),
    prefix_cache=st.sampled_from([None, PrefixCache(1000.0), PrefixCache(500.0, 2.0, None, 1000.0, 1e-6)]),
)
deaths = st.none() | st.builds(
    Failures,
    at_s=st.lists(
        st.tuples(st.floats(0, 12, allow_nan=False), st.sampled_from([Role.PREFILL, Role.DECODE])), max_size=4
    ).map(tuple),
    retried=st.booleans(),
)


def workload(drawn: Requests) -> Workload:
    """Make requests of three families, each of which begins alike."""
    count, span_s, seed = drawn
    rng = np.random.default_rng(seed)
    times, family = np.sort(rng.uniform(0.0, span_s, count)), rng.integers(0, 3, count)
    isl, osl = rng.integers(1, 1500, count), rng.integers(1, 400, count)
    counts = isl // BLOCK
    offsets = np.concatenate(([0], np.cumsum(counts)))
    hashes = np.concatenate([1000 * f + np.arange(n) for f, n in zip(family, counts, strict=True)])
    blocks = PrefixBlocks(offsets.astype(np.int64), hashes.astype(np.int64), BLOCK)
    return replace(Workload.of(times, isl, osl), blocks=blocks)


def opened(rows: Requests, features: Features, deaths: Failures | None, together: bool) -> Fleet:
    apart = pair(prefill(1e-5, 0.001, 4000, handover_s_per_token=1e-7), decode(0.001, 1e-5, 1e-9))
    layouts = {Role.AGGREGATED: aggregated(1e-5, 0.001, 1e-5, batched_tokens=1000)} if together else apart
    made = {
        role: replace(
            layout,
            features=features,
            kv_capacity_tokens=layout.kv_capacity_tokens if role is Role.PREFILL else CAPACITY,
            kv_fixed_tokens=0.0 if role is Role.PREFILL else 10.0,
        )
        for role, layout in layouts.items()
    }
    if together and deaths is not None:
        deaths = replace(deaths, at_s=tuple((s, Role.AGGREGATED) for s, _ in deaths.at_s))
    times = dict.fromkeys(made, 1.0)
    return Fleet(workload(rows), FleetPlan(made, dict.fromkeys(made, 2), times, Router.LOAD, 1, deaths))


@settings(max_examples=200)
@given(requests, features, deaths, st.booleans())
def test_every_request_is_completed_lost_or_in_flight_and_no_cache_overflows(
    rows: Requests, features: Features, deaths: Failures | None, together: bool
) -> None:
    fleet = opened(rows, features, deaths, together)
    limit = CAPACITY + (0.0 if features.tier is None else features.tier.tokens)
    for tick in range(1, 60):
        fleet.advance(0.25 * tick)
        ledger = fleet.ledger
        assert ledger.completed + ledger.lost + fleet.rejected + fleet.in_flight == fleet.arrivals
        for role in set(fleet.plan.layouts) - {Role.PREFILL}:
            for replica in fleet._pools[role].ready:
                assert replica.held >= 0
                # Running sequences gain some tokens in an iteration of several chunks before anybody looks.
                slack = 200 if together else 1e-3
                assert not isinstance(replica, Preempting) or replica.resident_tokens <= limit + slack
    fleet.advance(2_000.0)

    done = np.array(fleet.ledger.finished, dtype=np.intp)
    ttft, tpot, e2e = fleet.ledger.latencies(done)
    assert fleet.in_flight == 0
    assert len(set(done.tolist())) == done.size == rows[0] - fleet.ledger.lost - fleet.rejected
    assert fleet.ledger.lost == 0 or (deaths is not None and not deaths.retried)
    assert all(held == 0 for held in fleet.in_use().values())
    assert all(abs(load) < 1e-6 for pool in fleet._pools.values() for load in pool.loads)
    assert (ttft > 0).all()
    assert (e2e >= ttft - 1e-9).all()
    # A step emits `accepted_tokens`, and takes that many times the surface's millisecond.
    longer = fleet.ledger.workload.osl_tokens[done] > 10 * features.accepted_tokens
    assert (tpot[longer] >= 0.001 * 0.85).all()


@settings(max_examples=60)
@given(requests, features, deaths, st.booleans())
def test_the_same_fleet_replays_the_same_times(
    rows: Requests, features: Features, deaths: Failures | None, together: bool
) -> None:
    one, two = (opened(rows, features, deaths, together) for _ in range(2))
    one.advance(2_000.0)
    for tick in range(1, 50):
        two.advance(0.3 * tick)
    two.advance(2_000.0)

    # Whoever looks on the way changes nothing.
    assert one.ledger.finish_s == two.ledger.finish_s
    assert one.ledger.first_token_s == two.ledger.first_token_s
