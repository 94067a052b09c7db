"""Sample noisy grids adaptively and in full; compare both with the noiseless times and the choice by them."""

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile, Question
from models.mix import RequestMix
from models.values import Parallelism, Role
from profiler.layouts import Candidates
from profiler.measure.backend import Backend, Measurement, Refusal, Replica, SweepPoint
from profiler.order import Order
from profiler.planning import COARSE, RoleBench, Scope, plan
from profiler.sampling.adaptive import TWO_SIDED_95, Adaptive
from profiler.sampling.focus import Focus
from profiler.sampling.full import Full
from profiler.sampling.points import Points
from profiler.sampling.rivals import Contest
from profiler.selecting import select
from profiler.sweep import NoRivals, Rivals, Sampler, Terms, sweep
from profiler.tasks import Task
from profiler.wiring import bench
from tests import components

NOISE_RATIO = 0.03
SEEDS = range(5)
WIDEST_GPUS = 8
ROLES = (Role.PREFILL, Role.DECODE)
# A load and a promise of each model's usual kind, at which one pairing of layouts is ahead of the next. Where
# two take the same GPUs, any noise decides between them: deepseek-r1 at 20/s of 2k/2k has five that take 24.
QUESTIONS: Mapping[tuple[str, str, str], Question] = {
    ("gpt-oss-120b", "trtllm", "GB200"): Question(1200.0, RequestMix.constant(1000, 1000), 0.99, 0.5, 0.008),
    ("deepseek-r1", "sglang", "GB200"): Question(50.0, RequestMix.constant(4000, 1000), 0.99, 1.5, 0.05),
    ("llama-3.1-70b", "trtllm", "GB200"): Question(120.0, RequestMix.constant(4000, 400), 0.99, 2.0, 0.02),
    ("qwen3-32b", "trtllm", "H100"): Question(180.0, RequestMix.constant(1500, 300), 0.99, 1.0, 0.02),
}


@dataclass(frozen=True, slots=True)
class Noisy:
    """Answer as another backend does, each time off by a factor that a single measurement may be off by."""

    exact: Backend
    seed: int
    name: str = "noisy"
    computed: bool = False

    @property
    def identity(self) -> str:
        return f"{self.exact.identity}, seed {self.seed}"

    def describe(self, role: Role, parallelism: Parallelism) -> Replica | Refusal:
        return self.exact.describe(role, parallelism)

    def cost_s(self, point: SweepPoint) -> float:
        return 0.0

    def release(self, role: Role, parallelism: Parallelism) -> None:
        return

    def measure(self, point: SweepPoint) -> Measurement | Refusal:
        result = self.exact.measure(point)
        if isinstance(result, Refusal):
            return result
        draw = np.random.default_rng([self.seed, zlib.crc32(repr(point).encode())]).normal(0.0, NOISE_RATIO)
        seconds = result.seconds * float(np.exp(draw))
        return Measurement(seconds, TWO_SIDED_95 * NOISE_RATIO * seconds)


@dataclass(slots=True)
class Tally:
    """Gather errors, bands and choices over seeds."""

    points: int = 0
    grid_points: int = 0
    dropped: int = 0
    same: int = 0
    excess: float = 0.0
    errors: list[NDArray[np.float64]] = field(default_factory=list)
    covered: list[NDArray[np.bool_]] = field(default_factory=list)

    def __str__(self) -> str:
        p95 = float(np.quantile(np.concatenate(self.errors), 0.95))
        covered = f"band covers {np.concatenate(self.covered).mean():.1%}, " if self.covered else ""
        dropped = f"{self.dropped / len(SEEDS):.0f} layouts given up, " if self.dropped else ""
        return (
            f"{self.points / self.grid_points:.1%} of the points, p95 error {p95:.1%}, {covered}{dropped}"
            f"same layouts {self.same}/{len(SEEDS)}"
            + (f" (else at most {self.excess:.0%} more GPUs)" if self.same < len(SEEDS) else "")
        )


@dataclass(frozen=True, slots=True)
class Truth:
    """Hold the noiseless times of one layout's grid, and which of its points a replica holds."""

    seconds: NDArray[np.float64]
    held: NDArray[np.bool_]

    @classmethod
    def of(cls, task: Task, backend: Backend) -> "Truth":
        grid = task.grids[0]
        points = Points.of(grid, task.replica)
        found = [
            backend.measure(grid.point(x, y)) for x, y in zip(points.tokens, points.batches, strict=True)
        ]
        seconds = np.array([m.seconds if isinstance(m, Measurement) else np.nan for m in found])
        return cls(seconds, points.held & np.isfinite(seconds))


class Ground:
    """Hold a model's layouts, their noiseless times, and the layouts chosen by them."""

    def __init__(self, model: str, engine: str, hardware: str, question: Question) -> None:
        work = bench(Order(model, hardware, engine, backend="silicon"))
        self.roles = {role: _narrow(work.roles[role]) for role in ROLES}
        self.question, self.machines = question, work.machines
        self.plan = plan(self.roles, Scope(work.arch.max_context_tokens, work.serving, COARSE))
        backends = {role: each.backend for role, each in self.roles.items()}
        self.truth = {(t.role, t.layout): Truth.of(t, backends[t.role]) for t in self.plan.tasks}
        exact = sweep(self.plan, self.roles, Terms(Full(computed=True))).layouts
        self.chosen = self._choose(exact)
        self.layouts = {layout.key: layout for layout in exact}

    def adaptive(self) -> Sampler:
        """Return what a sweep for the question samples with, which has seen no layout yet."""
        return Adaptive(focus=Focus(self.question))

    def tally(self, make: Callable[[], Sampler], early_drop: bool = False) -> Tally:
        """Sweep once per seed, each with a sampler of its own, and compare."""
        total = Tally()
        for seed in SEEDS:
            roles = {
                role: replace(each, backend=Noisy(each.backend, seed)) for role, each in self.roles.items()
            }
            rivals: Rivals = Contest(self.question) if early_drop else NoRivals()
            swept = sweep(self.plan, roles, Terms(make(), rivals=rivals))
            total.points += swept.effort.points
            total.grid_points += swept.effort.grid_points
            total.dropped += len(swept.left_out) - len(self.plan.left_out)
            chosen = self._choose(swept.layouts)
            total.same += chosen == self.chosen
            total.excess = max(total.excess, self._gpus(chosen) / self._gpus(self.chosen) - 1.0)
            for layout in swept.layouts:
                self._compare(layout, total)
        return total

    def _choose(self, layouts: Sequence[LayoutProfile]) -> Mapping[Role, str]:
        return select(layouts, self.question, self.machines).layouts

    def _gpus(self, chosen: Mapping[Role, str]) -> int:
        """Return what these layouts take by the noiseless times."""
        only = [self.layouts[f"{role}={name}"] for role, name in chosen.items()]
        return select(only, self.question, self.machines).gpus

    def _compare(self, layout: LayoutProfile, total: Tally) -> None:
        surface = layout.prefill or layout.decode
        assert surface is not None
        truth = self.truth[layout.role, layout.parallelism]
        errors = np.abs(np.array(surface.values_s).ravel() / truth.seconds - 1.0)[truth.held]
        total.errors.append(errors)
        if surface.band_ratio:
            total.covered.append(errors <= np.array(surface.band_ratio).ravel()[truth.held])


def run() -> dict[str, str]:
    """Compare per model: few points, the whole grid as noisy, and few points with layouts given up early."""
    components.silicon()
    figures: dict[str, str] = {}
    for (model, engine, hardware), question in QUESTIONS.items():
        ground = Ground(model, engine, hardware, question)
        begin = time.perf_counter()
        adaptive = ground.tally(ground.adaptive)
        wall_s = (time.perf_counter() - begin) / len(SEEDS) / len(ground.plan.tasks)
        chosen = ", ".join(f"{role} {name}" for role, name in ground.chosen.items()) or "none"
        name = f"{model} on {hardware}"
        figures[name] = f"{len(ground.plan.tasks)} layouts, noise {NOISE_RATIO:.0%}; without it: {chosen}"
        figures[f"{name}, adaptive"] = f"{adaptive}; {wall_s:.2f} s a layout"
        figures[f"{name}, adaptive, early drop"] = str(ground.tally(ground.adaptive, early_drop=True))
        figures[f"{name}, whole grid"] = str(ground.tally(lambda: Full(computed=False)))
    return figures


def _narrow(each: RoleBench) -> RoleBench:
    legal = tuple(layout for layout in each.candidates.legal if layout.gpus <= WIDEST_GPUS)
    return replace(each, candidates=Candidates(legal, ()))
