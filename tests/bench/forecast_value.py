"""Measure what forecasting buys in the closed loop: with it, without it, and knowing the future.

Off is the last value within its own calibrated bands, as headgate is when it demotes a forecast; a reactive
policy without bands is cheaper and misses more, and hpa stands beside it. Attainment is that of the classes
with a promise. A difference counts where it is larger than the spread of its seeds.

To see one cell: `python -m tests.bench.forecast_value --scenario 2 --startup 300`.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from models.policy import USUAL_FORECASTERS, DecidePolicy, ForecastPolicy, TickPolicy
from models.render.worth import Run, run_of, worth
from planner.contest import HEADGATE, PERFECT, REACTIVE, Setup, compete
from planner.processes import Progress, side_by_side
from planner.tick import Served
from tests import builders
from tests.bench.value_scenarios import STARTUPS_S, pools, scenarios

POLICIES = {"on": HEADGATE, "off": REACTIVE, "perfect": PERFECT, "hpa": "hpa"}
SEEDS = (0, 1, 2)
TARGET = 0.99
# As a configuration that states none.
WINDOW_S = 86_400.0
PROCESSES = 2

Task = tuple[int, float, int, str]


def run() -> dict[str, str]:
    """Replay every scenario, start-up, seed and policy; a table and a sentence for each cell."""
    return figures(range(len(scenarios())), STARTUPS_S, SEEDS)


def figures(chosen: Sequence[int], startups_s: Sequence[float], seeds: Sequence[int]) -> dict[str, str]:
    """Return a line a policy and a sentence a cell, for these scenarios, start-up times and seeds."""
    tasks: list[Task] = [
        (i, startup_s, seed, name)
        for i in chosen
        for startup_s in startups_s
        for seed in seeds
        for name in POLICIES.values()
    ]
    answers = side_by_side([partial(replayed, task) for task in tasks], PROCESSES, lambda i, share: None)
    runs = dict(zip(tasks, answers, strict=True))
    found: dict[str, str] = {}
    for i in chosen:
        for startup_s in startups_s:
            label = f"{scenarios()[i].name}, {startup_s:.0f} s"
            cell = {key: [runs[i, startup_s, n, name] for n in seeds] for key, name in POLICIES.items()}
            found |= {f"{label}, {key}": _line(some) for key, some in cell.items()}
            found[f"{label}:"] = worth(cell["on"], cell["off"], cell["perfect"], TARGET).sentence
    return found


def replayed(task: Task, progress: Progress) -> Run:
    """Replay one policy on one stage."""
    number, startup_s, seed, name = task
    stage = scenarios()[number].make(startup_s, seed)
    plan = builders.plan_policy(stage.classes, attainment=TARGET, pools=pools(stage))
    plan = replace(plan, attainment_window_s=WINDOW_S)
    reach_s = max(ForecastPolicy().reach_s, plan.least_reach_s())
    forecast = ForecastPolicy(reach_s=reach_s, forecasters=USUAL_FORECASTERS)
    policy = TickPolicy(stage.trace, forecast, plan, DecidePolicy())
    result = compete(name, stage, Setup(policy, Served(stage.layouts, "", "")), progress)
    return run_of(result, [c.name for c in stage.classes if not c.slo.throughput_only])


def _line(runs: Sequence[Run]) -> str:
    """Say mean and extremes over the seeds."""
    hours, kept = [r.gpu_hours for r in runs], [100 * r.attainment for r in runs]
    mean_hours, mean_kept = sum(hours) / len(runs), sum(kept) / len(runs)
    return (
        f"{mean_kept:6.2f} % ({min(kept):.2f} to {max(kept):.2f}), "
        f"{mean_hours:6.1f} GPU-hours ({min(hours):.1f} to {max(hours):.1f})"
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description="Measure what forecasting buys, in a part of the cells.")
    parser.add_argument("--scenario", type=int, nargs="*", default=list(range(len(scenarios()))))
    parser.add_argument("--startup", type=float, nargs="*", default=list(STARTUPS_S))
    parser.add_argument("--seed", type=int, nargs="*", default=list(SEEDS))
    asked = parser.parse_args()
    for figure, value in figures(asked.scenario, asked.startup, asked.seed).items():
        print(f"{figure:<43} {value}")


if __name__ == "__main__":
    _main()
