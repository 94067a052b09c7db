"""Measure how fast the profiler sweeps."""

import time

from profiler.sweep import sweep
from profiler.wiring import bench


def run() -> dict[str, str]:
    """Sweep a model over its full grid once."""
    work = bench("gpt-oss-120b", "GB200", "trtllm")
    begin = time.perf_counter()
    swept = sweep(work.backend, work.candidates, work.arch.max_context_tokens)
    wall_s = time.perf_counter() - begin
    return {
        "gpt-oss-120b on GB200, full grid": f"{swept.points:,} points of {len(swept.layouts)} layouts",
        "roofline backend": f"{swept.points / wall_s:,.0f} points/s",
    }
