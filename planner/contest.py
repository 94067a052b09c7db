"""Run several policies on one stage, side by side, and gather what a report needs."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from models.errors import ConfigError
from models.policy import MOST_REPLICAS, JournalPolicy, TickPolicy
from models.simulation.scorecard import PolicyResult
from models.track.criteria import Criteria
from models.values import Role
from planner.forecasting import Forecasting
from planner.policies import oracle, sizing
from planner.policies.headgate import Headgate
from planner.policies.hpa import Hpa, Metric
from planner.policies.perfect import PerfectForecaster
from planner.policies.policy import Policy
from planner.policies.recorded import Recorded
from planner.policies.static import Static
from planner.policies.static_peak import StaticPeak
from planner.ports import Recorder
from planner.processes import Progress, side_by_side
from planner.record.journal import Journal
from planner.record.setting import Setting, write_setting
from planner.replay import Stage, attainment_of, replay
from planner.tick import Served

HEADGATE, REACTIVE, PERFECT = "headgate", "headgate-reactive", "headgate-perfect"
POLICIES = (HEADGATE, "static-peak", "static-mean", "hpa", oracle.NAME, REACTIVE, PERFECT)
# Below this a second process costs more than it saves.
_PARALLEL_FROM = 300_000
# Policies that scale begin with a fleet for the first minutes of the trace, story time.
_FIRST_S = 600.0
# How often static-peak's fleet is enlarged when the whole trace does not confirm it.
_ENLARGE = 8
# The share of its progress that static-peak's search takes.
_SEARCH_SHARE = 0.5

# A journal of a replay keeps all of it.
_MOST_FILES = 10_000

# Called with a policy's name and the share of its run that is done.
Watch = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Setup:
    """Hold what the contestants of one deployment are made of.

    `initial` is the fleet that policies which scale begin with (`None`: sized for the first ten minutes of
    the trace). Records of each policy are kept in a folder of its name in `journal` (`None`: nowhere).
    """

    policy: TickPolicy
    served: Served
    initial: Mapping[Role, int] | None = None
    journal: Path | None = None
    criteria: Criteria = field(default_factory=Criteria)


def contest(
    names: Sequence[str], stage: Stage, setup: Setup, watch: Watch | None = None, jobs: int | None = None
) -> tuple[PolicyResult, ...]:
    """Replay every named policy, in the order given; raises ConfigError for a name that is none.

    `jobs` processes run at once (`None`: one per core, and a single one for a small workload).
    """
    for name in names:
        check_name(name, tuple(stage.layouts))
    seen = watch or _nobody
    most = min(len(names), jobs or os.cpu_count() or 1)
    if most <= 1 or (jobs is None and len(stage.workload) < _PARALLEL_FROM):
        return tuple(compete(name, stage, setup, _for(name, seen)) for name in names)
    tasks = [partial(compete, name, stage, setup) for name in names]
    return side_by_side(tasks, most, lambda i, share: seen(names[i], share))


def check_name(name: str, roles: Sequence[Role]) -> None:
    """Raise ConfigError unless `name` is a policy that can run with pools of these roles."""
    if name in POLICIES:
        return
    if not name.startswith("static:"):
        known = ", ".join((*POLICIES, "static:P,D"))
        raise ConfigError(f"policy {name[:40]!r} is not known; choose among {known}")
    _stated(name, roles)


def split_names(text: str) -> list[str]:
    """Cut `headgate,static:3,2,hpa` into policies: a number after a static fleet belongs to it."""
    names: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        if part.isdecimal() and names and names[-1].startswith("static:"):
            names[-1] += f",{part}"
        elif part:
            names.append(part)
    return list(dict.fromkeys(names))


def compete(name: str, stage: Stage, setup: Setup, progress: Progress) -> PolicyResult:
    """Run one policy by its name."""
    if name == "static-peak":
        return _static_peak(stage, setup, progress)
    if name == oracle.NAME:
        return _oracle(stage, setup, progress)
    return replay(stage, _kept(name, stage, setup), progress)


def _kept(name: str, stage: Stage, setup: Setup) -> Policy:
    """Return a policy that keeps a journal where one is wanted."""
    recorder = _recorder(name, setup)
    policy = _policy(name, stage, setup, recorder)
    if recorder is None or isinstance(policy, Headgate):
        return policy
    return Recorded(policy, recorder, setup.policy, setup.served)


def _recorder(name: str, setup: Setup) -> Recorder | None:
    """Return the journal of one policy, with what its records were decided with beside them."""
    if setup.journal is None:
        return None
    folder = setup.journal / journal_name(name)
    served = setup.served
    write_setting(folder, Setting(setup.policy, served.layouts, served.profile_digest, setup.criteria))
    return Journal(JournalPolicy(str(folder), keep_files=_MOST_FILES))


def journal_name(policy: str) -> str:
    """Return the folder in which a policy's records are kept: static:3,1 is static-3-1."""
    return policy.replace(":", "-").replace(",", "-")


def _policy(name: str, stage: Stage, setup: Setup, recorder: Recorder | None = None) -> Policy:
    plan, layouts = setup.policy.plan, stage.layouts
    if name == "static-mean":
        return Static(name, sizing.mean_fleet(stage.workload, layouts, plan))
    if name.startswith("static:"):
        return Static(name, _stated(name, tuple(layouts)))
    first_s = stage.scale.simulated_span_s(_FIRST_S)
    initial = setup.initial or sizing.first_fleet(stage.workload, layouts, plan, first_s)
    if name == "hpa":
        in_flight = sizing.in_flight_targets(stage.workload, layouts, plan)
        targets = {role: {Metric.IN_FLIGHT: value} for role, value in in_flight.items()}
        return Hpa(targets, plan.pools, initial)
    forecaster = _forecaster(name, stage, setup.policy)
    forecaster.seed(stage.history)
    return Headgate(setup.policy, setup.served, forecaster, initial, name, forecaster.history, recorder)


def _forecaster(name: str, stage: Stage, policy: TickPolicy) -> Forecasting | PerfectForecaster:
    """Make what tells Headgate and its variants apart: models that compete, the last value, or the truth."""
    classes = [c.name for c in policy.plan.classes]
    if name == PERFECT:
        return PerfectForecaster(stage.workload, stage.scale, policy.forecast, classes)
    chosen = replace(policy.forecast, enabled=False) if name == REACTIVE else policy.forecast
    return Forecasting(chosen, classes, policy.plan.hold_horizon_s())


def _stated(name: str, roles: Sequence[Role]) -> dict[Role, int]:
    """Read `static:P,D`: one count per role, in the order prefill, decode."""
    parts = name.removeprefix("static:").split(",")
    # The length first: Python refuses to read numbers of thousands of digits.
    counts = [int(part) for part in parts if part.isdecimal() and len(part) <= 9]
    if not len(counts) == len(parts) == len(roles) or not all(1 <= n <= MOST_REPLICAS for n in counts):
        wanted = ",".join(role[0].upper() for role in roles)
        raise ConfigError(
            f"policy {name[:40]!r}: write static:{wanted} with a count from 1 to {MOST_REPLICAS} for "
            f"{' and '.join(roles)}"
        )
    return dict(zip(roles, counts, strict=True))


def _static_peak(stage: Stage, setup: Setup, progress: Progress) -> PolicyResult:
    """Search the smallest sufficient fleet, and enlarge it until the whole trace confirms it."""
    plan, layouts = setup.policy.plan, stage.layouts
    tried = 0

    def simulate(counts: Mapping[Role, int], workload: Any) -> Mapping[str, float | None]:
        nonlocal tried
        tried += 1
        # How many candidates there will be is not known: each takes a share of what is left.
        progress(_SEARCH_SHARE * (1 - 0.85**tried))
        return attainment_of(stage, counts, workload)

    targets = plan.targets()
    search = StaticPeak(stage.workload, layouts, targets, simulate)
    counts = search.find(sizing.peak_fleet(stage.workload, layouts, plan))
    for left in reversed(range(_ENLARGE)):
        fleet = Static("static-peak", counts)
        result = replay(stage, fleet, lambda share: progress(_SEARCH_SHARE + (1 - _SEARCH_SHARE) * share))
        kept = all(c.slo_attainment is None or c.slo_attainment >= targets[c.name] for c in result.classes)
        if kept or search.exhausted or not left:
            return result
        counts = search.larger(counts)
    raise AssertionError("the last fleet is returned whatever it attains")


def _oracle(stage: Stage, setup: Setup, progress: Progress) -> PolicyResult:
    """Search the cheapest path that knows the future; each path that is tried is a whole replay."""
    plan, tried = setup.policy.plan, 0

    def run(path: Policy) -> PolicyResult:
        nonlocal tried
        begin, tried = 1 - 0.7**tried, tried + 1
        end = 1 - 0.7**tried
        return replay(stage, path, lambda share: progress(begin + (end - begin) * share))

    path = oracle.Oracle(stage.workload, stage.scale, stage.layouts, plan, stage.startup_s)
    result = path.find(run, plan.targets())
    progress(1.0)
    return result


def _for(name: str, watch: Watch) -> Progress:
    return lambda share: watch(name, share)


def _nobody(name: str, share: float) -> None:
    """Watch nothing."""
