"""Plan a sweep before it starts: which layouts, which grids, and what measuring them takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.artifact import LeftOut, Phase
from models.engine import Serving
from models.hardware import Hardware
from models.values import Parallelism, Role
from profiler.layouts import Candidates
from profiler.measure.backend import PHASES, Backend, Refusal, Replica
from profiler.tasks import Grid, Task

SMALLEST_PROMPT_TOKENS = 16
PREFILL_BATCH_PER_RANK = 128


@dataclass(frozen=True, slots=True)
class RoleBench:
    """Hold what one role is profiled with: hardware, layouts and the way of measuring."""

    hardware: Hardware
    candidates: Candidates
    backend: Backend


@dataclass(frozen=True, slots=True)
class Scope:
    """Bound the grids: tokens up to the model's context, or to what is asked; points per axis.

    `most_points` gives per phase the most points of the token and batch axes (`None`: as fine as a computed
    surface wants them). Prefill points find `serving.prefix_ratio` of each prompt in the prefix cache.
    """

    max_context_tokens: int
    serving: Serving = field(default_factory=Serving)
    most_points: Mapping[Phase, tuple[int, int]] | None = None


# What a backend that pays for each point is asked: 12 x 12 for prefill, 6 contexts x 12 batches for decode.
COARSE = {Phase.PREFILL: (12, 12), Phase.DECODE: (6, 12)}


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """Hold the work of a sweep, and the layouts that are left out before it starts."""

    tasks: tuple[Task, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def points(self) -> int:
        """Points in all grids."""
        return sum(task.size for task in self.tasks)


def plan(benches: Mapping[Role, RoleBench], scope: Scope) -> SweepPlan:
    """Describe each legal layout in each role; what cannot be measured is left out with its reason."""
    tasks, left_out = [], []
    for role, bench in benches.items():
        left_out += [LeftOut(role, name, why) for name, why in bench.candidates.ruled_out]
        for layout in bench.candidates.legal:
            replica = bench.backend.describe(role, layout)
            if isinstance(replica, Refusal):
                left_out.append(LeftOut(role, layout.name, replica.reason))
            else:
                tasks.append(Task(role, layout, replica, _grids(role, layout, replica, scope)))
    return SweepPlan(tuple(tasks), tuple(left_out))


def gpu_minutes(task: Task, backend: Backend) -> float:
    """Return the GPU-minutes that starting a layout's replica and measuring its whole grids would hold."""
    points = (grid.point(x, y) for grid in task.grids for x in grid.tokens for y in grid.batches)
    return (task.replica.start_s + sum(map(backend.cost_s, points))) * task.layout.gpus / 60.0


def _grids(role: Role, layout: Parallelism, replica: Replica, scope: Scope) -> tuple[Grid, ...]:
    """Return the axes of each phase: tokens, then sequences of the whole replica."""
    limits, longest = replica.limits, scope.max_context_tokens
    most_prompts = min(
        limits.max_num_seqs,
        limits.max_num_batched_tokens // SMALLEST_PROMPT_TOKENS,
        PREFILL_BATCH_PER_RANK * layout.dp,
    )
    longest_computed = max(longest * (1.0 - scope.serving.prefix_ratio), SMALLEST_PROMPT_TOKENS + 1.0)
    axes = {
        Phase.PREFILL: (geometric(SMALLEST_PROMPT_TOKENS, float(int(longest_computed))), whole(most_prompts)),
        # Times are straight lines in context but for the sliding window: few points carry them.
        Phase.DECODE: (doubling(SMALLEST_PROMPT_TOKENS, longest), whole(limits.max_num_seqs)),
    }
    grids = []
    for phase in PHASES[role]:
        tokens, batches = axes[phase]
        if scope.most_points is not None:
            most_tokens, most_batches = scope.most_points[phase]
            tokens, batches = thinned(tokens, most_tokens), thinned(batches, most_batches)
        grids.append(Grid(role, layout, phase, tokens, batches, scope.serving.prefix_ratio))
    return tuple(grids)


def geometric(first: float, last: float) -> tuple[float, ...]:
    """Return 1, 1.5, 2, 3, 4, 6, 8 ... times `first` up to `last`, which ends the axis."""
    axis, step = [], float(first)
    while step < last:
        axis.append(step)
        if step * 1.5 < last:
            axis.append(step * 1.5)
        step *= 2
    return (*axis, float(last))


def whole(last: int) -> tuple[float, ...]:
    """Return 1, 2, 3, 4, 6, 8, 12 ... up to `last`: batches are whole numbers."""
    return tuple(dict.fromkeys(float(int(n)) for n in geometric(1, last)))


def doubling(first: int, last: int) -> tuple[float, ...]:
    """Return 1, 2, 4 ... times `first` up to `last`, which ends the axis."""
    axis = [float(first)]
    while axis[-1] * 2 < last:
        axis.append(axis[-1] * 2)
    return (*axis, float(last))


def thinned(axis: tuple[float, ...], most: int) -> tuple[float, ...]:
    """Return at most `most` points of an axis, both ends among them, evenly by position."""
    if len(axis) <= most:
        return axis
    return tuple(axis[round(i * (len(axis) - 1) / (most - 1))] for i in range(most))
