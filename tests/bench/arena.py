"""Let Headgate compete with constant fleets, the best HPA and an oracle on recorded hours.

`python -m tests.bench arena` judges a day and a flood at one start-up time and seed;
`python -m tests.bench.arena full` all of it, in an hour, and its options choose a part:

    python -m tests.bench.arena full --scenario day ramp --startup 120 --seed 0 --known out/arena.jsonl

With `--known` outcomes are kept in a file, and what it holds is not replayed; `--again headgate` replays one
policy nevertheless.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.contest import HEADGATE, PERFECT, REACTIVE
from planner.policies import oracle
from tests.bench.arena_hpa import TUNINGS, Tried, Tuning, best
from tests.bench.arena_judge import Cell, judge, line
from tests.bench.arena_runs import TUNING_SEED, Outcome, Runs, Task
from tests.bench.arena_scenarios import TARGET, Kind, Scenario, development, scenarios, setup, stage

PEAK, MEAN, HPA, ORACLE = "static-peak", "static-mean", "hpa", oracle.NAME
CONTESTANTS = (HEADGATE, HPA, ORACLE, PEAK, MEAN)
MORE = (REACTIVE, PERFECT)
# Start-up times in seconds, and the seeds at each.
FULL = {120.0: (0, 1, 2, 3, 4), 60.0: (0,), 300.0: (0,)}
SHORT = ("day", "flood")


@dataclass(frozen=True, slots=True)
class Asked:
    """Say which part of the contest to run, and what headgate aims at."""

    scenarios: Sequence[str]
    seeds: dict[float, tuple[int, ...]]
    policies: Sequence[str] = CONTESTANTS
    attainment: float = TARGET


def run() -> dict[str, str]:
    """Judge a day and a flood at 120 s with one seed."""
    return dict(figures(Asked(SHORT, {120.0: (0,)}), Runs()))


def figures(asked: Asked, runs: Runs) -> Iterator[tuple[str, str]]:
    """Yield a line a contestant and a line a criterion, cell by cell."""
    for startup_s, seeds in asked.seeds.items():
        for scenario in scenarios():
            if scenario.key in asked.scenarios:
                yield from _cell(scenario, startup_s, seeds, asked, runs)


def _cell(
    scenario: Scenario, startup_s: float, seeds: Sequence[int], asked: Asked, runs: Runs
) -> Iterator[tuple[str, str]]:
    label = f"{scenario.key} {startup_s:.0f} s"
    found: dict[str, list[Outcome]] = {}
    for policy in asked.policies:
        tuning: Tuning | None = None
        if policy == HPA:
            tuning = tuned(scenario.service, startup_s, runs)
            yield f"{label}, setting of {HPA}", str(tuning)
        aim = asked.attainment if policy in (HEADGATE, *MORE) else TARGET
        found[policy] = runs.of([Task(scenario.key, startup_s, n, policy, tuning, aim) for n in seeds])
    bounds = {name: found[name] for name in (ORACLE, HPA, PEAK) if name in found}
    for policy, outcomes in found.items():
        yield f"{label}, {policy}", line(outcomes, bounds) + _regained(scenario, outcomes)
    if {HEADGATE, HPA, ORACLE, PEAK} <= set(found):
        on = stage(scenario, startup_s, 0)
        plan = setup(on).policy.plan
        four = (found[name] for name in (HEADGATE, HPA, ORACLE, PEAK))
        cell = Cell(scenario.kind, startup_s, plan.interval_s, plan.backlog_recover_s, *four)
        for criterion in judge(cell):
            yield f"{label}: {criterion.name}", str(criterion)


def tuned(service: str, startup_s: float, runs: Runs) -> Tuning:
    """Return the setting that does best on the service's development day."""
    key = development(service).key
    tried = runs.of([Task(key, startup_s, TUNING_SEED, HPA, tuning) for tuning in TUNINGS])
    return best([Tried(t, o.attainment, o.gpu_hours) for t, o in zip(TUNINGS, tried, strict=True)]).tuning


def _regained(scenario: Scenario, outcomes: Sequence[Outcome]) -> str:
    if scenario.kind is not Kind.SHOCK:
        return ""
    said = ", ".join("never" if o.regained_s is None else f"{o.regained_s:.0f} s" for o in outcomes)
    return f"; regained after {said}"


def _main() -> None:
    parser = argparse.ArgumentParser(description="Let Headgate compete, in a part of the contest or all.")
    parser.add_argument("part", choices=("short", "full"))
    parser.add_argument("--scenario", nargs="*", default=None)
    parser.add_argument("--startup", type=float, nargs="*", default=None)
    parser.add_argument("--seed", type=int, nargs="*", default=None)
    parser.add_argument("--policy", nargs="*", default=list(CONTESTANTS), choices=(*CONTESTANTS, *MORE))
    parser.add_argument("--attainment", type=float, default=TARGET, help="what headgate aims at")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--known", type=Path, default=None, help="a file that keeps outcomes")
    parser.add_argument("--again", nargs="*", default=[], help="policies to replay though they are known")
    asked = parser.parse_args()
    chosen = asked.scenario or (SHORT if asked.part == "short" else [s.key for s in scenarios()])
    default = {120.0: (0,)} if asked.part == "short" else FULL
    startups = asked.startup or list(default)
    seeds = {s: tuple(asked.seed) if asked.seed is not None else default.get(s, (0,)) for s in startups}
    runs = Runs(asked.processes, asked.known, asked.again)
    for figure, value in figures(Asked(chosen, seeds, asked.policy, asked.attainment), runs):
        print(f"{figure:<34} {value}", flush=True)


if __name__ == "__main__":
    _main()
