"""Headgate's tick drives Dynamo's own replay, and the simulated fleet says what that replay says."""

from pathlib import Path

import numpy as np
import pytest

from models.artifact import EngineLimits, LayoutProfile
from models.simulation.fleet import Fleet, FleetPlan
from models.simulation.workload import Workload
from models.surface import Surface
from models.values import Parallelism, Role, Router
from tests.dynamo_replay import HEADGATE, ROUTERS, Theatre, play

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TTFT_S, ITL_S = 2.0, 0.04
# A prompt of 1,500 tokens takes a worker 0.31 s.
QUIET_RPS, BUSY_RPS = 4.0, 12.0


def layouts() -> dict[Role, LayoutProfile]:
    isl = (16.0, 256.0, 1024.0, 4096.0, 16_384.0)
    alone = [0.01 + n / 5000.0 for n in isl]
    context, batch = (64.0, 512.0, 2048.0, 8192.0), (1.0, 4.0, 16.0, 64.0, 256.0)
    step = tuple(tuple(0.012 + n * (0.0006 + c * 2e-7) for n in batch) for c in context)
    return {
        Role.PREFILL: LayoutProfile(
            Role.PREFILL,
            Parallelism(),
            EngineLimits(1, 16_384),
            1e6,
            prefill=Surface(isl, (1.0, 2.0), tuple((s, 2 * s) for s in alone)),
        ),
        Role.DECODE: LayoutProfile(
            Role.DECODE,
            Parallelism(tp=2),
            EngineLimits(256, 16_384),
            400_000.0,
            decode=Surface(context, batch, step),
        ),
    }


def requests(*minutes: tuple[float, float], seed: int = 5) -> Workload:
    """Draw Poisson arrivals at (minutes, requests/s) in turn."""
    rng, times, begin_s = np.random.default_rng(seed), [np.zeros(1)], 0.0
    for length, rate in minutes:
        times.append(begin_s + rng.uniform(0, 60 * length, rng.poisson(60 * length * rate)))
        begin_s += 60 * length
    at_s = np.sort(np.concatenate(times))
    isl = np.clip(rng.lognormal(7.1, 0.6, at_s.size), 32, 12_000)
    return Workload.of(at_s, isl, np.clip(rng.lognormal(4.8, 0.6, at_s.size), 2, 1500))


@pytest.mark.parametrize("router", sorted(ROUTERS))
def test_the_simulated_fleet_agrees_with_dynamos_replay(tmp_path: Path, router: Router) -> None:
    workload, start = requests((5, 9.0)), {Role.PREFILL: 5, Role.DECODE: 2}
    theatre = Theatre(workload, layouts(), start, TTFT_S, ITL_S, router=router)

    theirs = play(tmp_path, theatre, "hold")

    fleet = Fleet(workload, FleetPlan(theatre.layouts, start, dict.fromkeys(start, 60.0), router))
    fleet.advance(workload.span_s + 120.0)
    assert fleet.ledger.completed == len(workload)
    ttft_s, tpot_s, _ = fleet.ledger.latencies(np.arange(len(workload)))
    quantiles = (0.5, 0.95, 0.99)
    # On three thousand requests chance alone moves a p99 by some per cent; a wrong model by tens.
    assert np.quantile(ttft_s, quantiles) == pytest.approx(np.quantile(theirs.ttft_s, quantiles), rel=0.1)
    assert np.quantile(tpot_s, quantiles) == pytest.approx(np.quantile(theirs.tpot_s, quantiles), rel=0.05)


def test_headgate_follows_load_through_dynamos_replay(tmp_path: Path) -> None:
    rise = [(1.0, QUIET_RPS + (BUSY_RPS - QUIET_RPS) * k / 15) for k in range(15)]
    workload = requests((5, QUIET_RPS), *rise, (8, BUSY_RPS), *rise[::-1], (5, QUIET_RPS))
    start = {Role.PREFILL: 3, Role.DECODE: 1}
    theatre = Theatre(workload, layouts(), start, TTFT_S, ITL_S, startup_s=60.0, gpu_cap=20)

    shown = play(tmp_path, theatre, HEADGATE)

    at_s, prefill, starting, _, decode, starting_too = shown.ticks[:, :6].T
    assert np.diff(at_s) == pytest.approx(15.0)
    # 4 requests/s of 0.31 s each keep 1.2 prefill workers busy without a pause, 12 keep 3.7.
    quiet, busy = at_s < 360.0, (at_s > 1260.0) & (at_s < 1680.0)
    assert prefill[busy].min() >= 4
    assert prefill[busy].mean() > prefill[quiet].mean() + 1.5
    assert decode[busy].mean() > decode[quiet].mean() + 0.5
    # What is ordered starts for a minute, four ticks, and serves then.
    ordered = np.flatnonzero(np.diff(starting, prepend=0.0) > 0)
    assert ordered.size >= 2
    # What the peak needed is released after it.
    assert prefill[at_s > 2700.0].min() <= prefill[busy].max() - 2
    assert (prefill + starting + 2 * (decode + starting_too)).max() <= 20
    # A fleet without forecast history trails a rise that triples the load in a quarter of an hour.
    assert shown.attainment > 0.9
    assert shown.gpu_hours < 0.75 * 20 * workload.span_s / 3600.0
