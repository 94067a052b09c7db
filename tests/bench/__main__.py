"""Run every benchmark and print one line a figure: `make bench`, or `python -m tests.bench NAME ...`."""

import importlib
import sys

from _pytest.outcomes import Skipped

BENCHES = {
    "ticks": "pure ticks per second",
    "run_cost": "fifty deployments in one process: processor, memory and requests; a day of ticks",
    "capacity": "safe loads of the model beside those of the simulated fleet",
    "fleet_plan": "one pool of GPUs divided among 200 deployments",
    "sweep": "points per second of the profiler",
    "replay": "simulated requests per second and peak memory",
    "forecast": "time of a fit and of a forecast, coverage",
    "fitting": "the fitting worker: a day of its fits, and ticks beside it",
    "forecast_peers": "forecasts beside Dynamo's predictors and statsforecast on real series",
    "forecast_value": "what forecasting buys in the closed loop: on, off, and knowing the future",
    "arena": "Headgate beside constant fleets, the best HPA and an oracle on recorded hours",
    "neighbours": "what caches, tiers, speculation, hardware per phase and start-up are worth",
    "dynamo_replay": "inside Dynamo's own replay: the simulated fleet, and Headgate beside its planner",
    "live_loop": "the whole loop on real servers: promises kept and GPU-seconds as load climbs and falls",
    "stability": "changes of a fleet in a day of constant noisy load",
    "calibrate": "the estimator against published measurements",
    "published": "published benchmarks and capacity plans beside what the model says",
    "sampling": "few noisy points against the whole grid: error, bands, the layouts chosen",
    "silicon": "measured kernels against published runs, the estimator against measured kernels",
}


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    unknown = set(names) - set(BENCHES)
    if unknown:
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    for name in names or BENCHES:
        print(f"{name}: {BENCHES[name]}", flush=True)
        try:
            figures = importlib.import_module(f"tests.bench.{name}").run()
        except Skipped as absent:
            # Recorded traffic or published measurements that are not here.
            print(f"  left out: {absent.msg}", flush=True)
            continue
        for figure, value in figures.items():
            print(f"  {figure:<43} {value}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
