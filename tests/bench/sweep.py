"""Measure how fast the profiler sweeps."""

import time

from profiler.order import Order
from profiler.planning import plan
from profiler.sampling.full import Full
from profiler.sweep import Terms, sweep
from profiler.wiring import bench, scope


def run() -> dict[str, str]:
    """Sweep a model over its full grid once."""
    work = bench(Order("gpt-oss-120b", "GB200", "trtllm"))
    begin = time.perf_counter()
    swept = sweep(plan(work.roles, scope(work)), work.roles, Terms(Full(computed=True)))
    wall_s = time.perf_counter() - begin
    return {
        "gpt-oss-120b on GB200, full grid": f"{swept.points:,} points of {len(swept.layouts)} layouts",
        "roofline backend": f"{swept.points / wall_s:,.0f} points/s",
    }
