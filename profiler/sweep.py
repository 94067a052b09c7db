"""Carry out a plan: measure each layout in its roles, keep every point, fit the surfaces."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from models.artifact import Effort, LayoutProfile, LeftOut, MeasuredPoint, Phase
from models.scattered import Sampled
from models.surface import Surface
from models.values import Role
from profiler.measure.backend import Backend, Measurement, Refusal, Replica, SweepPoint
from profiler.planning import RoleBench, SweepPlan
from profiler.store import Entry, NoStore, Store
from profiler.tasks import Ask, Grid, IsLost, Lost, Task

Progress = Callable[[int, int, str], None]
"""Called with points done, points in all, and what is being measured."""


class Sampler(Protocol):
    """Choose the points of a grid, and fit its surface."""

    def __call__(self, grid: Grid, ask: Ask, replica: Replica, lost: IsLost) -> Sampled | Lost:
        """Measure through `ask` what the surface takes, at each point once.

        `lost` says of the surface so far why its layout cannot win any more. Raises ValueError when too few
        points could be measured for a surface.
        """
        ...


class Rivals(Protocol):
    """Say of a layout that is being measured whether it can still win against those that are done."""

    def lost(self, task: Task, phase: Phase, surface: Surface) -> str | None:
        """Return why the layout cannot win any more, None while it can."""
        ...

    def add(self, layout: LayoutProfile) -> None:
        """Take in a layout that is done."""
        ...


class NoRivals:
    """Measure every layout to the end."""

    def lost(self, task: Task, phase: Phase, surface: Surface) -> str | None:
        """Return None: no layout is given up."""
        return None

    def add(self, layout: LayoutProfile) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True)
class Swept:
    """Hold what a sweep found: layouts with their surfaces, and those left out with the reason."""

    layouts: tuple[LayoutProfile, ...]
    left_out: tuple[LeftOut, ...]
    effort: Effort

    @property
    def points(self) -> int:
        """Points that were measured."""
        return self.effort.points


@dataclass(frozen=True, slots=True)
class Terms:
    """Say how a plan is carried out.

    `budget_gpu_minutes` bounds what measuring may hold, points of earlier runs included; a point that would
    exceed it is not measured. `clock` counts seconds.
    """

    sampler: Sampler
    store: Store = field(default_factory=NoStore)
    rivals: Rivals = field(default_factory=NoRivals)
    budget_gpu_minutes: float | None = None
    clock: Callable[[], float] = time.monotonic


def sweep(
    plan: SweepPlan, benches: Mapping[Role, RoleBench], terms: Terms, progress: Progress | None = None
) -> Swept:
    """Measure the plan's layouts one after the other; what fails is left out with its reason.

    Raises MeasureError when a backend breaks down; what was measured until then is in the store.
    """
    meter = _Meter(terms, plan.points, progress)
    left_out, layouts = list(plan.left_out), []
    for task in plan.tasks:
        bench = benches[task.role]
        meter.begin(task)
        try:
            found = _measured(task, bench, terms, meter)
        finally:
            bench.backend.release(task.role, task.layout)
        if isinstance(found, LeftOut):
            left_out.append(found)
        else:
            terms.rivals.add(found)
            layouts.append(found)
    meter.finish()
    return Swept(
        tuple(layouts), tuple(left_out), Effort(meter.points, plan.points, round(meter.gpu_minutes, 3))
    )


def _measured(task: Task, bench: RoleBench, terms: Terms, meter: "_Meter") -> LayoutProfile | LeftOut:
    """Measure one layout; a layout that cannot win any more, or has too few points, is left out."""
    surfaces: dict[Phase, Surface] = {}
    measured: list[MeasuredPoint] = []
    for grid in task.grids:

        def lost(surface: Surface, phase: Phase = grid.phase) -> str | None:
            return terms.rivals.lost(task, phase, surface)

        ask = meter.asking(task, bench.backend)
        try:
            sampled = terms.sampler(grid, ask, task.replica, lost)
        except ValueError as error:
            return LeftOut(task.role, task.layout.name, meter.why_refused() or str(error))
        if isinstance(sampled, Lost):
            return LeftOut(task.role, task.layout.name, sampled.reason)
        surfaces[grid.phase] = sampled.surface
        measured += sampled.measured
    # Asked again: a backend may have learned limits and overheads from the running replica.
    described = bench.backend.describe(task.role, task.layout)
    replica = task.replica if isinstance(described, Refusal) else described
    profile = replica.profile(task.role, task.layout, surfaces)
    return replace(profile, hardware=bench.hardware.name, measured=tuple(measured))


class _Meter:
    """Ask for points: from the store where they are there, else measured, kept and counted."""

    def __init__(self, terms: Terms, total: int, progress: Progress | None) -> None:
        self._terms, self._progress, self._total = terms, progress, total
        self._known = dict(terms.store.read())
        self._refusals: list[str] = []
        self._passed, self._asked, self._task_size, self._name = 0, 0, 0, ""
        self._started = False
        self.points = 0
        self.gpu_minutes = sum(e.held_s * e.point.parallelism.gpus for e in self._known.values()) / 60.0

    def begin(self, task: Task) -> None:
        """Count what the last layout left unasked as done, and turn to the next."""
        self._passed += self._task_size
        self._asked, self._task_size, self._name = 0, task.size, task.name
        self._refusals.clear()
        self._started = False
        self._show()

    def finish(self) -> None:
        """Show that everything is done."""
        if self._progress:
            self._progress(self._total, self._total, "done")

    def why_refused(self) -> str:
        """Return the reason when every point of this layout was refused for one and the same."""
        return (
            self._refusals[0] if len(set(self._refusals)) == 1 and len(self._refusals) == self._asked else ""
        )

    def asking(self, task: Task, backend: Backend) -> Ask:
        """Return the function that a sampler asks."""

        def ask(point: SweepPoint) -> Measurement | Refusal:
            result = self._result(point, task, backend)
            self._asked += 1
            if isinstance(result, Refusal):
                self._refusals.append(result.reason)
            else:
                self.points += 1
            if self._asked % 16 == 0 or not backend.computed:
                self._show()
            return result

        return ask

    def _result(self, point: SweepPoint, task: Task, backend: Backend) -> Measurement | Refusal:
        if (entry := self._known.get(point)) is not None:
            return entry.result
        if backend.computed:
            return backend.measure(point)
        budget = self._terms.budget_gpu_minutes
        start_s = 0.0 if self._started else task.replica.start_s
        expected = (start_s + backend.cost_s(point)) * task.layout.gpus / 60.0
        if budget is not None and self.gpu_minutes + expected > budget:
            return Refusal(
                f"the sweep's budget of {budget:g} GPU-minutes is spent ({self.gpu_minutes:.1f}, and this "
                f"point would take {expected:.1f}); raise --gpu-minutes and run again to go on"
            )
        self._started = True
        before_s = self._terms.clock()
        result = backend.measure(point)
        held_s = self._terms.clock() - before_s
        self.gpu_minutes += held_s * task.layout.gpus / 60.0
        self._terms.store.add(Entry(point, result, held_s))
        return result

    def _show(self) -> None:
        if self._progress:
            self._progress(min(self._passed + self._asked, self._total), self._total, self._name)
