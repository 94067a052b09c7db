"""Replay one contestant on one stage of the contest, and keep what is judged in one line of JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from models.series import Floats
from models.simulation.scorecard import PolicyResult, TimelinePoint
from models.simulation.workload import Ints, Workload
from models.values import Role
from planner.contest import compete
from planner.processes import Progress, side_by_side
from planner.replay import replay
from tests.bench.arena_hpa import Tuning, autoscaler, load_test
from tests.bench.arena_scenarios import TARGET, busiest, development, scenarios, setup, stage
from tests.bench.recorded_load import CLASS_NAME

# The seed of development days; those of judged ones begin at 0.
TUNING_SEED = 100
# A promise is kept where five minutes together keep it: of the 500 requests of a minute six miss it by chance
# now and then.
KEPT_MINUTES = 5
# For so long after a shock began it is asked when the promise was kept again for good.
WATCHED_MINUTES = 30


@dataclass(frozen=True, slots=True)
class Task:
    """Name one replay.

    `tuning` is the autoscaler's setting; `attainment` is what headgate aims at: all are judged by the same
    target.
    """

    scenario: str
    startup_s: float
    seed: int
    policy: str
    tuning: Tuning | None = None
    attainment: float = TARGET


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold what one replay showed.

    `regained_s` is the time from the onset of a shock until the promise was kept for good, `None` where it
    was not within `WATCHED_MINUTES`, or where nothing shook. `mean_to_peak` says per role how the mean work
    of the span compares with that of its busiest ten minutes.
    """

    task: Task
    attainment: float
    gpu_hours: float
    by_role: Mapping[str, float]
    mean_to_peak: Mapping[str, float]
    regained_s: float | None
    scale_events: int
    wall_s: float


class Runs:
    """Replay tasks, each once: what a file of earlier outcomes holds is not replayed again."""

    def __init__(self, processes: int = 1, kept: Path | None = None, again: Iterable[str] = ()) -> None:
        """Read earlier outcomes, except those of the policies that are to run `again`."""
        self._processes, self._kept = processes, kept
        self._known: dict[Task, Outcome] = {}
        if kept is not None and kept.exists():
            forget = set(again)
            for line in kept.read_text().splitlines():
                outcome = _read(json.loads(line))
                if outcome.task.policy not in forget:
                    self._known[outcome.task] = outcome

    def of(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Return the outcomes in the tasks' order; new ones are added to the file as they come."""
        new = [task for task in dict.fromkeys(tasks) if task not in self._known]
        if self._processes > 1:
            self._add(side_by_side([partial(run_task, t) for t in new], self._processes, lambda i, s: None))
        else:
            for task in new:
                self._add([run_task(task, lambda share: None)])
        return [self._known[task] for task in tasks]

    def _add(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self._known[outcome.task] = outcome
            if self._kept is not None:
                with self._kept.open("a") as file:
                    file.write(json.dumps(asdict(outcome)) + "\n")


def _read(row: dict[str, Any]) -> Outcome:
    tuning = row["task"]["tuning"]
    task = Task(**{**row["task"], "tuning": None if tuning is None else Tuning(**tuning)})
    return Outcome(**{**row, "task": task})


def run_task(task: Task, progress: Progress) -> Outcome:
    """Replay one contestant."""
    judged = {s.key: s for s in scenarios()}
    tuned = {s.key: s for s in map(development, sorted({s.service for s in judged.values()}))}
    scenario = (judged | tuned)[task.scenario]
    on = stage(scenario, task.startup_s, task.seed)
    made = setup(on, task.attainment)
    if task.tuning is None:
        result = compete(task.policy, on, made, progress)
    else:
        tried_on = stage(development(scenario.service), task.startup_s, TUNING_SEED)
        measured = load_test(tried_on, made.policy.plan)
        result = replay(on, autoscaler(task.tuning, measured, on, made), progress)
    return _outcome(task, result, on.workload, scenario.shape().onset_min)


def _outcome(task: Task, result: PolicyResult, workload: Workload, onset_min: int | None) -> Outcome:
    work = {Role.PREFILL: workload.prefill_tokens(), Role.DECODE: workload.osl_tokens}
    shaken = onset_min is not None
    return Outcome(
        task=task,
        attainment=result.slo_attainment or 0.0,
        gpu_hours=result.gpu_hours,
        by_role={role.value: hours for role, hours in result.gpu_hours_by_role.items()},
        mean_to_peak={role.value: mean_to_peak(workload, tokens) for role, tokens in work.items()},
        regained_s=regained_s(result.timeline, onset_min) if shaken and onset_min is not None else None,
        scale_events=result.scale_events,
        wall_s=result.wall_s,
    )


def mean_to_peak(workload: Workload, tokens: Ints) -> float:
    """Return the mean work of a workload over that of its busiest `PEAK_WINDOW` minutes."""
    minute = ((workload.arrival_s - workload.start_s) // 60.0).astype(np.intp)
    per_minute = np.bincount(minute, weights=tokens).astype(np.float64)
    return float(per_minute.mean() / busiest(per_minute))


def regained_s(points: Sequence[TimelinePoint], onset_min: int) -> float | None:
    """Return the seconds after the onset from which on every five minutes together keep the promise.

    0 where all of them did; `None` where the last that is watched does not.
    """
    here = points[onset_min : onset_min + WATCHED_MINUTES + KEPT_MINUTES - 1]
    came = np.array([p.arrivals_rps[CLASS_NAME] for p in here])
    kept = came * np.array([p.attainment[CLASS_NAME] or 0.0 for p in here])

    def together(values: Floats) -> Floats:
        return np.asarray(np.lib.stride_tricks.sliding_window_view(values, KEPT_MINUTES).sum(axis=1))

    broken = np.flatnonzero(together(kept) < TARGET * together(came))
    if broken.size == 0:
        return 0.0
    return None if broken[-1] == WATCHED_MINUTES - 1 else 60.0 * float(broken[-1] + 1)
