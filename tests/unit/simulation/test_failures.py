"""Let replicas die, and follow what they held."""

import numpy as np
import pytest

from models.simulation.failures import Failures
from models.simulation.ledger import COMPLETED, LOST
from models.simulation.workload import Workload
from models.values import Role
from tests.unit.simulation.fleets import aggregated, decode, fleet, pair, prefill

# 1,000 tokens are read in 10 ms, a step takes 1 ms.
LAYOUTS = pair(prefill(1e-5), decode(0.001))


def test_what_a_dead_decode_replica_had_made_is_read_and_continued_elsewhere() -> None:
    failures = Failures(((0.0605, Role.DECODE),))
    opened = fleet(Workload.of([0.0], 1000, 101), LAYOUTS, startup_s=2.0, failures=failures)
    opened.advance(100.0)
    ttft, tpot, e2e = opened.ledger.latencies(np.arange(1))

    # Read until 10 ms, 50 tokens by 60 ms; 1,050 are read by 71 ms. A new replica serves at 2.0605 s, and
    # makes the 51 that lack.
    assert ttft[0] == pytest.approx(0.011)
    assert e2e[0] == pytest.approx(2.0605 + 0.051)
    assert tpot[0] == pytest.approx((2.0605 + 0.051 - 0.011) / 100)
    assert opened.replica_failures == 1


def test_prompts_of_a_dead_prefill_replica_are_read_from_their_beginning() -> None:
    failures = Failures(((0.015, Role.PREFILL),))
    opened = fleet(Workload.of([0.0, 0.0, 0.0], 1000, 1), LAYOUTS, startup_s=2.0, failures=failures)
    opened.advance(100.0)
    ttft, _, _ = opened.ledger.latencies(np.arange(3))

    # The first was done at 10 ms. The two behind it had shared an iteration, and share one again.
    assert ttft[0] == pytest.approx(0.011)
    assert ttft[1:].tolist() == pytest.approx([2.015 + 0.010 + 0.001, 2.015 + 0.020 + 0.001])


def test_without_retries_what_it_held_is_lost_and_nothing_else() -> None:
    failures = Failures(((0.05, Role.DECODE),), retried=False)
    opened = fleet(Workload.of([0.0, 0.0, 3.0], 1000, 101), LAYOUTS, startup_s=2.0, failures=failures)
    opened.advance(100.0)

    assert opened.ledger.states().tolist() == [LOST, LOST, COMPLETED]
    assert (opened.in_flight, opened.ledger.lost, opened.ledger.completed) == (0, 2, 1)


def test_the_owner_starts_another_and_goes_on_paying() -> None:
    failures = Failures(((5.0, Role.DECODE),))
    opened = fleet(
        Workload.of([0.0], 10, 1), LAYOUTS, {Role.PREFILL: 1, Role.DECODE: 2}, 10.0, failures=failures
    )
    opened.advance(6.0)
    pool = opened.pools()[Role.DECODE]
    assert (pool.ready, [s.since_s for s in pool.starting], pool.desired) == (1, [5.0], 2)
    opened.advance(15.0)
    assert opened.pools()[Role.DECODE].ready == 2
    assert opened.gpu_seconds()[Role.DECODE] == pytest.approx(15.0 * 2 * 4)


def test_a_replica_that_drains_dies_for_good() -> None:
    failures = Failures(mtbf_s={Role.DECODE: 0.02})
    opened = fleet(Workload.of([0.0], 1000, 5000), LAYOUTS, startup_s=50.0, failures=failures)
    opened.advance(0.012)
    opened.scale(Role.DECODE, 0)
    opened.advance(3.0)

    pool = opened.pools()[Role.DECODE]
    assert (pool.ready, pool.draining, len(pool.starting)) == (0, 0, 0)
    assert opened.replica_failures == 1


def test_random_failures_come_as_often_as_stated_and_leave_the_share_of_time_that_theory_says() -> None:
    mean_s, startup_s, span_s, replicas = 200.0, 50.0, 20_000.0, 20
    opened = fleet(
        Workload.of([0.0], 10, 1),
        LAYOUTS,
        {Role.PREFILL: 1, Role.DECODE: replicas},
        startup_s,
        failures=Failures(mtbf_s={Role.DECODE: mean_s}),
    )
    ready = []
    for tick in range(1, 2001):
        opened.advance(tick * span_s / 2000)
        ready.append(opened.pools()[Role.DECODE].ready)

    # A renewal process: one failure per mean + start-up and replica, 1,600 in all, +- 2.5 % (sigma 1/sqrt n).
    expected = replicas * span_s / (mean_s + startup_s)
    assert opened.replica_failures == pytest.approx(expected, rel=4 / np.sqrt(expected))
    assert np.mean(ready) / replicas == pytest.approx(mean_s / (mean_s + startup_s), abs=0.02)


@pytest.mark.parametrize("retried", [True, False])
def test_no_request_is_served_twice_or_forgotten(retried: bool) -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.exponential(0.05, 2000))
    workload = Workload.of(times, rng.integers(10, 4000, 2000), rng.integers(1, 300, 2000))
    for layouts in (LAYOUTS, {Role.AGGREGATED: aggregated(1e-5, 0.001, 1e-5)}):
        failures = Failures(mtbf_s=dict.fromkeys(layouts, 10.0), retried=retried)
        opened = fleet(workload, layouts, dict.fromkeys(layouts, 3), 5.0, failures=failures)
        opened.advance(1e3)
        done = opened.ledger.finished

        assert opened.replica_failures > 20
        assert len(done) == len(set(done))
        assert len(done) + opened.ledger.lost == 2000
        assert (opened.ledger.lost == 0) == retried
        ttft, tpot, _ = opened.ledger.latencies(np.array(done, dtype=np.intp))
        assert (ttft > 0).all()
        # No token in less than a step, whatever became of the replicas.
        long = workload.osl_tokens[np.array(done)] > 1
        assert (tpot[long] >= 0.001 * (1 - 1e-3)).all()


def test_failures_of_a_told_story_come_as_much_sooner() -> None:
    told = Failures(((600.0, Role.DECODE),), {Role.PREFILL: 3600.0}, retried=False).compressed(6.0)

    assert told == Failures(((100.0, Role.DECODE),), {Role.PREFILL: 600.0}, retried=False)


@pytest.mark.parametrize("wrong", [{"at_s": ((-1.0, Role.DECODE),)}, {"mtbf_s": {Role.DECODE: 0.0}}])
def test_failures_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="fails after the start"):
        Failures(**wrong)  # type: ignore[arg-type]
