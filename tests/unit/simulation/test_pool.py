"""Follow replicas through start-up, drain and cancellation, and count the GPU time by hand."""

import pytest

from models.simulation.fleet import Fleet
from models.simulation.workload import Workload
from models.values import Role
from tests.unit.simulation.fleets import decode, fleet, pair, prefill

LAYOUTS = pair(prefill(1e-5), decode(0.001, tp=4))


def idle(replicas: dict[Role, int]) -> Fleet:
    """Open a fleet whose only request comes long after the test."""
    return fleet(Workload.of([0.0], 1, 1), LAYOUTS, replicas)


def test_gpu_seconds_count_starting_ready_and_draining_replicas() -> None:
    opened = idle({Role.PREFILL: 2, Role.DECODE: 1})
    opened.advance(10.0)
    opened.scale(Role.PREFILL, 3)  # billed from 10 s on
    opened.scale(Role.DECODE, 2)
    opened.advance(30.0)
    opened.scale(Role.PREFILL, 1)  # idle replicas are gone at once
    opened.advance(50.0)

    assert opened.gpu_seconds() == {
        Role.PREFILL: pytest.approx(2 * 10 + 3 * 20 + 1 * 20),
        Role.DECODE: pytest.approx(4 * (1 * 10 + 2 * 40)),
    }


def test_a_replica_serves_only_after_its_startup() -> None:
    opened = idle({Role.PREFILL: 1, Role.DECODE: 1})
    opened.advance(5.0)
    opened.scale(Role.PREFILL, 2)

    opened.advance(14.9)
    assert (opened.pools()[Role.PREFILL].ready, len(opened.pools()[Role.PREFILL].starting)) == (1, 1)
    assert opened.pools()[Role.PREFILL].starting[0].since_s == 5.0
    opened.advance(15.0)
    assert (opened.pools()[Role.PREFILL].ready, len(opened.pools()[Role.PREFILL].starting)) == (2, 0)


def test_scaling_down_cancels_the_newest_start_first() -> None:
    opened = idle({Role.PREFILL: 1, Role.DECODE: 1})
    opened.scale(Role.PREFILL, 2)
    opened.advance(4.0)
    opened.scale(Role.PREFILL, 3)
    opened.advance(6.0)
    opened.scale(Role.PREFILL, 2)

    pool = opened.pools()[Role.PREFILL]
    assert [s.since_s for s in pool.starting] == [0.0]
    assert (pool.ready, pool.draining, pool.desired) == (1, 0, 2)
    opened.advance(20.0)
    assert opened.pools()[Role.PREFILL].ready == 2
    assert opened.gpu_seconds()[Role.PREFILL] == pytest.approx(20 + 20 + 2)


def test_a_draining_replica_finishes_what_it_holds_and_takes_nothing_new() -> None:
    # 1,000 tokens at 1 ms: each request decodes for a second.
    workload = Workload.of([0.0, 0.0, 0.5, 0.6], 1, 1000)
    opened = fleet(workload, LAYOUTS, {Role.PREFILL: 1, Role.DECODE: 2})
    opened.advance(0.1)
    opened.scale(Role.DECODE, 1)
    assert (opened.pools()[Role.DECODE].ready, opened.pools()[Role.DECODE].draining) == (1, 1)

    opened.advance(0.9)
    assert opened.pools()[Role.DECODE].draining == 1
    assert opened.in_use()[Role.DECODE] == 4
    opened.advance(1.1)
    assert opened.pools()[Role.DECODE].draining == 0
    opened.advance(10.0)

    assert opened.ledger.completed == 4
    # Two replicas until the drained one is empty at 1 s, then one.
    assert opened.gpu_seconds()[Role.DECODE] == pytest.approx(4 * (2 * 1.0 + 9.0), abs=0.01)


def test_a_draining_replica_waits_for_a_request_on_its_way() -> None:
    layouts = pair(prefill(1e-5, handover_s_per_token=1e-3), decode(0.001))
    opened = fleet(Workload.of([0.0], 1000, 5), layouts)
    opened.advance(0.5)  # prefill ended at 10 ms; the hand-over takes a second
    opened.scale(Role.DECODE, 0)

    assert opened.pools()[Role.DECODE].draining == 1
    opened.advance(2.0)

    assert (opened.ledger.completed, opened.pools()[Role.DECODE].draining) == (1, 0)


def test_a_draining_prefill_replica_works_off_its_queue() -> None:
    layouts = pair(prefill(1e-3, seqs=1), decode(1e-6))
    opened = fleet(Workload.of([0.0] * 6, 1000, 1), layouts, {Role.PREFILL: 2, Role.DECODE: 1})
    opened.advance(0.5)
    opened.scale(Role.PREFILL, 1)
    assert opened.queue().requests == 4

    opened.advance(2.5)
    assert opened.pools()[Role.PREFILL].draining == 1
    opened.advance(10.0)

    assert (opened.ledger.completed, opened.pools()[Role.PREFILL].draining) == (6, 0)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 replicas"):
        idle({Role.PREFILL: 1, Role.DECODE: 1}).scale(Role.PREFILL, -1)
