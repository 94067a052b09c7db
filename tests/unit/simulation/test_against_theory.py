"""Hold the event simulation to queueing theory and to a plain simulation of every single step."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.simulation.workload import Workload
from models.values import Role
from tests.unit.simulation.fleets import decode, fleet, pair, prefill

INSTANT = decode(1e-7)


def waits_s(workload: Workload, front: LayoutProfile, replicas: int = 1) -> NDArray[np.float64]:
    """Return TTFT of all requests of a fleet whose decode takes no time."""
    opened = fleet(workload, pair(front, INSTANT), {Role.PREFILL: replicas, Role.DECODE: 1})
    opened.advance(workload.span_s + 1e4)
    assert opened.in_flight == 0
    return opened.ledger.latencies(np.arange(len(workload)))[0]


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_constant_prompts_on_one_replica_wait_as_in_m_d_1(rho: float) -> None:
    rng = np.random.default_rng(1)
    service_s, count = 0.01, 200_000
    arrivals = np.cumsum(rng.exponential(service_s / rho, count))

    ttft = waits_s(Workload.of(arrivals, 1000, 1), prefill(1e-5, seqs=1))

    # Pollaczek-Khinchine. The mean of 200,000 correlated waits varies by about 2 % at this load.
    assert ttft.mean() - service_s == pytest.approx(rho * service_s / (2 * (1 - rho)), rel=0.05)


def test_exponential_prompts_on_one_replica_wait_as_in_m_m_1() -> None:
    rng = np.random.default_rng(2)
    rho, count = 0.7, 200_000
    lengths = np.maximum(np.rint(rng.exponential(10_000, count)), 1)
    arrivals = np.cumsum(rng.exponential(0.1 / rho, count))

    ttft = waits_s(Workload.of(arrivals, lengths, 1), prefill(1e-5, seqs=1))

    # Sojourn 1/(mu - lambda), exponential: its 99 % point is ln(100) times the mean.
    assert ttft.mean() == pytest.approx(0.1 / (1 - rho), rel=0.05)
    assert np.quantile(ttft, 0.99) == pytest.approx(np.log(100) * 0.1 / (1 - rho), rel=0.07)


def test_a_batch_that_slows_with_its_size_shares_as_in_m_g_1_ps() -> None:
    rng = np.random.default_rng(3)
    rho, count, token_s = 0.6, 60_000, 1e-5
    lengths = np.maximum(np.rint(rng.exponential(1000, count)), 1)
    arrivals = np.cumsum(rng.exponential(1000 * token_s / rho, count))
    workload = Workload.of(arrivals, 1, lengths)

    opened = fleet(workload, pair(prefill(1e-12), decode(1e-12, per_sequence_s=token_s)))
    opened.advance(workload.span_s + 1e4)
    e2e = opened.ledger.latencies(np.arange(count))[2]

    # Processor sharing: E[T] = E[S]/(1 - rho) whatever the distribution. Steps are not infinitely small.
    assert e2e.mean() == pytest.approx(1000 * token_s / (1 - rho), rel=0.05)


def test_the_token_clock_agrees_with_simulating_every_step() -> None:
    rng = np.random.default_rng(4)
    count = 1500
    arrivals = np.cumsum(rng.exponential(0.02, count))
    isl, osl = rng.integers(100, 8000, count), rng.integers(1, 400, count)
    layout = decode(0.002, 2e-5, 2e-9)
    opened = fleet(Workload.of(arrivals, isl, osl), pair(prefill(1e-12), layout))
    opened.advance(1e4)

    _, tpot, e2e = opened.ledger.latencies(np.arange(count))
    ttft = opened.ledger.latencies(np.arange(count))[0]
    first, last = step_by_step(arrivals, isl, osl, layout)

    # A pace is read at joins and leaves and not at each step; the difference stays well under a step.
    assert np.abs(ttft - (first - arrivals)).max() < 0.006
    np.testing.assert_allclose(e2e, last - arrivals, rtol=0.02, atol=0.006)
    for q in (0.5, 0.95, 0.99):
        many = osl > 20
        expected = np.quantile(((last - first) / np.maximum(osl - 1, 1))[many], q)
        assert np.quantile(tpot[many], q) == pytest.approx(expected, rel=0.01)


def test_a_batch_that_never_empties_keeps_the_context_of_its_sequences() -> None:
    rng = np.random.default_rng(6)
    arrivals = np.sort(rng.uniform(0, 600.0, 30_000))
    opened = fleet(Workload.of(arrivals, 2000, 200), pair(prefill(1e-12), decode(0.002, 1e-5)))
    opened.advance(500.0)
    replica = opened._decode.ready[0]
    mean = replica._context / replica.batch
    true = np.mean([2200 - (end - replica._step) for end, _ in replica._ends])

    # Whoever joins in the middle of a step once kept that half step: 370 tokens too many by now.
    assert replica.batch > 10
    assert mean == pytest.approx(true, abs=0.6)


def step_by_step(
    arrivals: NDArray[np.float64], isl: NDArray[np.int64], osl: NDArray[np.int64], layout: LayoutProfile
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Run one engine a step at a time: whoever has arrived joins before each step."""
    assert layout.decode is not None
    first, last = np.zeros(len(arrivals)), np.zeros(len(arrivals))
    running: dict[int, int] = {}
    now, following = 0.0, 0
    while following < len(arrivals) or running:
        if not running:
            now = max(now, float(arrivals[following]))
        while following < len(arrivals) and arrivals[following] <= now:
            running[following] = 0
            following += 1
        context = sum(int(isl[i]) + done for i, done in running.items()) / len(running)
        now += layout.decode.at(context, len(running))
        for i in list(running):
            running[i] += 1
            if running[i] == 1:
                first[i] = now
            if running[i] == osl[i]:
                last[i] = now
                del running[i]
    return first, last
