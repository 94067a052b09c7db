"""Measure every layout in every role over a full grid: prompts by batch, context by batch."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from models.artifact import LayoutProfile, LeftOut
from models.surface import Surface
from models.values import Parallelism, Role
from profiler.fitting import fit
from profiler.layouts import Candidates
from profiler.measure.backend import Backend, Phase, Refusal, Replica, SweepPoint

Progress = Callable[[int, int, str], None]
"""Called with points done, points in all, and what is being measured."""

SMALLEST_PROMPT_TOKENS = 16
PREFILL_BATCH_PER_RANK = 128
PHASES = {
    Role.PREFILL: (Phase.PREFILL,),
    Role.DECODE: (Phase.DECODE,),
    Role.AGGREGATED: (Phase.PREFILL, Phase.DECODE),
}


@dataclass(frozen=True, slots=True)
class Swept:
    """Hold what a sweep found: layouts with their surfaces, and those left out with the reason."""

    layouts: tuple[LayoutProfile, ...]
    left_out: tuple[LeftOut, ...]
    points: int


@dataclass(frozen=True, slots=True)
class _Task:
    role: Role
    layout: Parallelism
    replica: Replica
    grids: tuple[tuple[Phase, tuple[float, ...], tuple[float, ...]], ...]

    @property
    def points(self) -> int:
        return sum(len(x) * len(y) for _, x, y in self.grids)


def sweep(
    backend: Backend,
    candidates: Candidates,
    max_context_tokens: int,
    roles: Sequence[Role] = tuple(Role),
    progress: Progress | None = None,
) -> Swept:
    """Measure each legal layout in each role; what the backend refuses is left out with its reason."""
    left_out = [LeftOut(role, name, why) for role in roles for name, why in candidates.ruled_out]
    tasks = []
    for role in roles:
        for layout in candidates.legal:
            replica = backend.describe(role, layout)
            if isinstance(replica, Refusal):
                left_out.append(LeftOut(role, layout.name, replica.reason))
            else:
                tasks.append(_Task(role, layout, replica, _grids(role, layout, replica, max_context_tokens)))
    total, done = sum(task.points for task in tasks), 0
    measured = []
    for task in tasks:
        if progress:
            progress(done, total, f"{task.role} {task.layout}")
        try:
            measured.append(_measured(backend, task))
        except ValueError as error:
            left_out.append(LeftOut(task.role, task.layout.name, str(error)))
        done += task.points
    if progress:
        progress(done, total, "done")
    return Swept(tuple(measured), tuple(left_out), total)


def geometric(first: float, last: float) -> tuple[float, ...]:
    """Return 1, 1.5, 2, 3, 4, 6, 8 ... times `first` up to `last`, which ends the axis."""
    axis, step = [], float(first)
    while step < last:
        axis.append(step)
        if step * 1.5 < last:
            axis.append(step * 1.5)
        step *= 2
    return (*axis, float(last))


def _grids(
    role: Role, layout: Parallelism, replica: Replica, max_context_tokens: int
) -> tuple[tuple[Phase, tuple[float, ...], tuple[float, ...]], ...]:
    """Return per phase the axes of its grid: tokens, then sequences of the whole replica."""
    limits = replica.limits
    most_prompts = min(
        limits.max_num_seqs,
        limits.max_num_batched_tokens // SMALLEST_PROMPT_TOKENS,
        PREFILL_BATCH_PER_RANK * layout.dp,
    )
    axes = {
        Phase.PREFILL: (geometric(SMALLEST_PROMPT_TOKENS, max_context_tokens), whole(most_prompts)),
        # Times are straight lines in context but for the sliding window: few points carry them.
        Phase.DECODE: (_doubling(SMALLEST_PROMPT_TOKENS, max_context_tokens), whole(limits.max_num_seqs)),
    }
    return tuple((phase, *axes[phase]) for phase in PHASES[role])


def whole(last: int) -> tuple[float, ...]:
    """Return 1, 2, 3, 4, 6, 8, 12 ... up to `last`: batches are whole numbers."""
    return tuple(dict.fromkeys(float(int(n)) for n in geometric(1, last)))


def _doubling(first: int, last: int) -> tuple[float, ...]:
    axis = [float(first)]
    while axis[-1] * 2 < last:
        axis.append(axis[-1] * 2)
    return (*axis, float(last))


def _measured(backend: Backend, task: _Task) -> LayoutProfile:
    surfaces: dict[Phase, Surface] = {
        phase: fit(x, y, _rows(backend, task, phase, x, y), backend.computed) for phase, x, y in task.grids
    }
    replica = task.replica
    return LayoutProfile(
        role=task.role,
        parallelism=task.layout,
        limits=replica.limits,
        kv_capacity_tokens=replica.kv_capacity_tokens,
        prefill=surfaces.get(Phase.PREFILL),
        decode=surfaces.get(Phase.DECODE),
        overhead_s=replica.overhead_s,
        handover_s_per_token=replica.handover_s_per_token,
        kv_fixed_tokens=replica.kv_fixed_tokens,
        provenance=replica.provenance,
    )


def _rows(
    backend: Backend, task: _Task, phase: Phase, x: Iterable[float], y: Sequence[float]
) -> list[list[float | None]]:
    return [
        [backend.measure(SweepPoint(task.role, task.layout, phase, tokens, batch)) for batch in y]
        for tokens in x
    ]
