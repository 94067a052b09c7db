"""Measure the simulated fleet: a day at 20 requests/s, in time and in memory."""

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from models.simulation.workload import Workload
from models.values import RequestClass, Role, Slo
from planner.policies.static import Static
from planner.replay import Stage, replay
from tests import builders

DAY_S = 86_400.0
RATE_RPS = 20.0
CLASS = RequestClass("chat", Slo(ttft_s=0.5, itl_s=0.03))


def day(rate_rps: float = RATE_RPS, span_s: float = DAY_S) -> Workload:
    """Generate Poisson arrivals with log-normal lengths, mean about 2,000 in and 200 out."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0.0, span_s, rng.poisson(rate_rps * span_s)))
    isl = np.clip(rng.lognormal(7.3, 0.8, times.size), 1, 60_000)
    osl = np.clip(rng.lognormal(5.0, 0.8, times.size), 1, 4_000)
    return Workload.of(times, isl, osl, class_names=("chat",))


def measure() -> tuple[int, float, float, float]:
    """Replay the day with a constant fleet; requests, seconds, peak MiB and attainment."""
    workload = day()
    fleet = {Role.PREFILL: 2, Role.DECODE: 1}
    stage = Stage("day", workload, builders.layouts(), (CLASS,), dict.fromkeys(fleet, 120.0))
    begin = time.perf_counter()
    result = replay(stage, Static("static:2,1", fleet))
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result.requests, seconds, peak, result.slo_attainment or 0.0


def run() -> dict[str, str]:
    """Measure in a fresh process, so that its peak memory is the replay's own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        requests, seconds, peak, attained = pool.submit(measure).result()
    return {
        "a day at 20 requests/s": f"{requests:,} requests in {seconds:.1f} s, {attained:.2%} attained",
        "simulated requests per second": f"{requests / seconds:,.0f}",
        "peak memory": f"{peak:,.0f} MiB",
    }
