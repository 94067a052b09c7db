"""Measure how fast the profiler sweeps, and how far its estimates are from published runs."""

import time

from profiler.sweep import sweep
from profiler.wiring import bench
from tests.bench import calibrate
from tests.bench.measured import mape, read_runs, tpot_errors
from tests.components import SHARED, fact


def run() -> dict[str, float]:
    """Print and return the points per second of a full sweep, and TPOT errors where the facts lie at hand."""
    work = bench("gpt-oss-120b", "GB200", "trtllm")
    begin = time.perf_counter()
    swept = sweep(work.backend, work.candidates, work.arch.max_context_tokens)
    wall_s = time.perf_counter() - begin
    result = {
        "layouts": float(len(swept.layouts)),
        "points": float(swept.points),
        "wall_s": wall_s,
        "points_per_s": swept.points / wall_s,
    }
    print(
        f"sweep, roofline, gpt-oss-120b on GB200: {swept.points:,} points of {len(swept.layouts)} layouts "
        f"in {wall_s:.2f} s, {result['points_per_s']:,.0f} points/s"
    )
    if (SHARED / "facts").is_dir():
        for target in calibrate.TARGETS:
            runs = read_runs(fact("gb200_measured.csv"), target.model)
            estimator = calibrate.estimator(target, calibrate.card_constants(target))
            error = mape(tpot_errors(runs, estimator))
            result[f"tpot_mape_{target.engine}"] = error
            print(f"roofline TPOT against {len(runs)} published runs of {target.model}: MAPE {error:.1%}")
    return result


if __name__ == "__main__":
    run()
