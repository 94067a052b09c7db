"""Replay a workload under a policy: a virtual clock, a simulated fleet, and the policy's own ticks."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from models.artifact import LayoutProfile
from models.series import Series
from models.simulation.failures import Failures
from models.simulation.fleet import Fleet, FleetPlan
from models.simulation.scorecard import PolicyResult
from models.simulation.scoring import Run, Sample, attainment, score
from models.simulation.timescale import TimeScale
from models.simulation.workload import Workload
from models.stock import GpuLimit
from models.values import RequestClass, Role, Router, Signal
from planner.act.simulated import SimulatedActuator
from planner.observe.simulated import SimulatedObserver
from planner.policies.policy import Policy, World

# After the last arrival requests may finish, at no cost; what is not done by then never would be in time.
GRACE_S = 600.0
_GRACE_STEP_S = 5.0

# Called with the share of a run that is done, 0 to 1.
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """Hold everything of a replay that all policies share.

    `startup_s` and `interval_s` are story time; `interval_s` is one point of the timeline. `compression` is
    1 for recorded traces. `history` is per class and signal what was measured before the trace. `limits` are
    the budgets of each kind of hardware. `failures` are in story time; `None`: no replica dies.
    """

    trace: str
    workload: Workload
    layouts: Mapping[Role, LayoutProfile]
    classes: tuple[RequestClass, ...]
    startup_s: Mapping[Role, float]
    router: Router = Router.LOAD
    budget_gpus: int | None = None
    interval_s: float = 60.0
    compression: float = 1.0
    seed: int = 0
    skipped_rows: int = 0
    history: Mapping[str, Mapping[Signal, Series]] = field(default_factory=dict)
    limits: tuple[GpuLimit, ...] = ()
    failures: Failures | None = None

    @property
    def scale(self) -> TimeScale:
        """Map simulated time to the story's."""
        return TimeScale(self.workload.start_s, self.compression)

    def fleet(self, replicas: Mapping[Role, int], workload: Workload | None = None) -> Fleet:
        """Open a fleet on this stage, for its workload or another one."""
        startup = {role: s / self.compression for role, s in self.startup_s.items()}
        failures = None if self.failures is None else self.failures.compressed(self.compression)
        plan = FleetPlan(self.layouts, replicas, startup, self.router, self.seed, failures)
        return Fleet(self.workload if workload is None else workload, plan)


def replay(stage: Stage, policy: Policy, progress: Progress | None = None) -> PolicyResult:
    """Run one policy over the stage's workload and score it.

    The policy ticks at multiples of its interval after the first arrival, until the last. Requests in
    flight then get `GRACE_S` simulated seconds to finish, with the fleet as it is.
    """
    started_s = time.perf_counter()
    fleet = stage.fleet(policy.initial)
    driver = _Driver(stage, policy, fleet)
    driver.run(progress or _silent)
    gpu_seconds = fleet.gpu_seconds()
    _finish(fleet)
    run = Run(
        policy=policy.name,
        gpu_seconds=gpu_seconds,
        samples=tuple(driver.samples),
        scale_events=driver.world.actuator.scale_events,
        decisions=driver.decisions,
        policy_cpu_s=driver.policy_cpu_s,
        wall_s=time.perf_counter() - started_s,
        replica_failures=fleet.replica_failures,
    )
    return score(fleet.ledger, stage.classes, run, stage.skipped_rows, stage.compression)


class _Driver:
    """Alternate between the fleet's time and the policy's ticks."""

    def __init__(self, stage: Stage, policy: Policy, fleet: Fleet) -> None:
        self.stage, self.policy, self.fleet = stage, policy, fleet
        # A fleet that never changes shows what the promise takes, not what may be run.
        bounds = (None, ()) if policy.interval_s is None else (stage.budget_gpus, stage.limits)
        self.world = World(
            SimulatedObserver(fleet, stage.scale, [c.name for c in stage.classes]),
            SimulatedActuator(fleet, *bounds),
            fleet,
        )
        self.samples: list[Sample] = []
        self.decisions = 0
        self.policy_cpu_s = 0.0
        self._said: list[str] = []

    def run(self, progress: Progress) -> None:
        """Run from the first to the last arrival."""
        stage, scale = self.stage, self.stage.scale
        end_s = scale.story_s(stage.workload.span_s)
        next_tick_s = scale.origin_s + (self.policy.interval_s or float("inf"))
        next_sample_s = scale.origin_s + stage.interval_s
        while min(next_tick_s, next_sample_s) < end_s:
            now_s = min(next_tick_s, next_sample_s)
            self.fleet.advance(scale.simulated_s(now_s))
            if now_s >= next_tick_s:
                self._tick(now_s)
                next_tick_s += self.policy.interval_s or float("inf")
            if now_s >= next_sample_s:
                self._sample()
                next_sample_s += stage.interval_s
                progress((now_s - scale.origin_s) / (end_s - scale.origin_s))
        self.fleet.advance(stage.workload.span_s)
        self._sample()
        progress(1.0)

    def _tick(self, now_s: float) -> None:
        cpu_s = time.process_time()
        sentence = self.policy.tick(now_s, self.world)
        self.policy_cpu_s += time.process_time() - cpu_s
        self.decisions += 1
        if sentence is not None:
            self._said.append(sentence)

    def _sample(self) -> None:
        fleet = self.fleet
        said = "; ".join(self._said) or None
        self._said.clear()
        self.samples.append(Sample(fleet.now_s, fleet.pools(), fleet.queue().requests, said))


def attainment_of(
    stage: Stage, replicas: Mapping[Role, int], workload: Workload | None = None
) -> dict[str, float | None]:
    """Simulate a constant fleet and return the share of each class that kept its promise."""
    fleet = stage.fleet(replicas, workload)
    fleet.advance((stage.workload if workload is None else workload).span_s)
    _finish(fleet)
    return attainment(fleet.ledger, stage.classes)


def _finish(fleet: Fleet) -> None:
    until_s = fleet.now_s + GRACE_S
    while fleet.in_flight and fleet.now_s < until_s:
        fleet.advance(fleet.now_s + _GRACE_STEP_S)


def _silent(share: float) -> None:
    """Report to nobody."""
