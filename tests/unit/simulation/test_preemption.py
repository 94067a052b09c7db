"""Throw sequences out of a KV cache that runs short, and count what becomes of them."""

from dataclasses import replace

import numpy as np
import pytest

from models.artifact import LayoutProfile
from models.features import Features
from models.simulation.fleet import Fleet
from models.simulation.preemption import Preempting
from models.simulation.workload import Workload
from models.values import Role
from tests.unit.simulation.fleets import aggregated, decode, fleet, pair, prefill

PREEMPTS = Features(preempts=True)


def preempting(layout: LayoutProfile, kv_tokens: float) -> LayoutProfile:
    return replace(layout, features=PREEMPTS, kv_capacity_tokens=kv_tokens)


def replica(opened: Fleet, role: Role) -> Preempting:
    found = opened._pools[role].ready[0]
    assert isinstance(found, Preempting)
    return found


def test_the_newest_is_thrown_out_and_recomputed_by_hand() -> None:
    # A step takes 1 ms; 1,000 tokens are read again in 10 ms, by the decode replica's own surface.
    own = replace(decode(0.001), prefill=prefill(1e-5).prefill)
    opened = fleet(Workload.of([0.0, 0.0], 50, 50), pair(prefill(1e-12), preempting(own, 170.0)))
    opened.advance(1e3)

    _, _, e2e = opened.ledger.latencies(np.arange(2))
    # Both enter with 50 tokens, and after 35 steps the batch holds 170. Before the 36th the second goes, with
    # 35 tokens made. The first is done after 50. Then 85 tokens are read again, and 15 steps are left.
    assert replica(opened, Role.DECODE).preempted == 1
    assert e2e[0] == pytest.approx(0.050, abs=1e-6)
    assert e2e[1] == pytest.approx(0.050 + 0.00085 + 0.015, abs=1e-6)


def test_what_is_read_again_takes_as_long_per_gpu_as_where_prompts_are_read() -> None:
    ends = []
    for gpus in (1, 4):
        layouts = pair(prefill(1e-5), preempting(decode(0.001, tp=gpus), 170.0))
        opened = fleet(Workload.of([0.0, 0.0], 50, 50), layouts)
        opened.advance(1e3)
        assert replica(opened, Role.DECODE).preempted == 1
        ends.append(max(opened.ledger.finish_s))

    # Both read 84 tokens again, at 10 us a token and GPU.
    assert ends[0] - ends[1] == pytest.approx(84 * 1e-5 * (1 - 1 / 4), abs=1e-9)


def requests(count: int = 600) -> Workload:
    rng = np.random.default_rng(8)
    arrivals = np.cumsum(rng.exponential(0.02, count))
    return Workload.of(arrivals, rng.integers(50, 800, count), rng.integers(1, 400, count))


@pytest.mark.parametrize("together", [False, True])
def test_with_room_for_all_nothing_is_different(together: bool) -> None:
    plain = (
        {Role.AGGREGATED: aggregated(1e-5, 0.002, 1e-5)}
        if together
        else pair(prefill(1e-5, fixed_s=0.001), decode(0.002, 1e-5))
    )
    role = Role.AGGREGATED if together else Role.DECODE
    other = {**plain, role: replace(plain[role], features=PREEMPTS)}
    one, two = (fleet(requests(), layouts) for layouts in (plain, other))
    for opened in (one, two):
        opened.advance(1e3)

    for mine, theirs in zip(
        one.ledger.latencies(np.arange(600)), two.ledger.latencies(np.arange(600)), strict=True
    ):
        # The first token is foretold at the pace of the batch as it is, or a few steps ahead.
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)
    assert replica(two, role).preempted == 0


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("accepted", [1.0, 2.0, 2.5])
def test_a_cache_that_runs_short_keeps_every_total(together: bool, accepted: float) -> None:
    features = replace(PREEMPTS, accepted_tokens=accepted)
    layouts = (
        {Role.AGGREGATED: replace(aggregated(1e-5, 0.002, 1e-5), features=features, kv_capacity_tokens=4000)}
        if together
        else pair(prefill(1e-5), replace(decode(0.002, 1e-5), features=features, kv_capacity_tokens=4000))
    )
    role = Role.AGGREGATED if together else Role.DECODE
    opened = fleet(requests(), layouts)
    held, most = replica(opened, role), 0.0
    for tick in range(1, 8000):
        opened.advance(0.05 * tick)
        most = max(most, held.resident_tokens)
    first, _, _ = opened.ledger.latencies(np.arange(600))

    assert held.preempted > 20
    assert (opened.in_flight, held.held, held.loads) == (0, 0, [0.0])
    assert (first > 0).all()
    assert len(set(opened.ledger.finished)) == 600
    # A mixed iteration of several chunks lets running sequences gain a few tokens before anybody looks.
    assert 3000 < most <= 4000 + (100 if together else 1e-6)


def test_admission_by_tokens_so_far_holds_more_than_admission_by_whole_requests() -> None:
    arrivals = np.zeros(200)
    layouts = {
        way: pair(prefill(1e-9), replace(decode(0.002, kv_tokens=10_000.0), features=features))
        for way, features in (("reserve", Features()), ("preempt", PREEMPTS))
    }
    done = {}
    for way, chosen in layouts.items():
        opened = fleet(Workload.of(arrivals, 20, 180), chosen)
        opened.advance(1e3)
        done[way] = max(opened.ledger.finish_s)

    # Whole requests: 50 at a time, four rounds of 180 steps. By tokens so far up to twice as many step at
    # once, of which some are made again.
    assert done["reserve"] == pytest.approx(4 * 180 * 0.002, rel=0.01)
    assert done["preempt"] < 0.85 * done["reserve"]
