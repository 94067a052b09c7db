"""Say of a layout that is still being measured whether it can win at all, against those that are done."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.artifact import EngineLimits, LayoutProfile, Phase, Question
from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.monotone import highest_below, lowest_above
from models.plan.search import FleetSearch
from models.surface import Surface
from models.units import show_count, show_duration
from models.values import Parallelism, Role, Router
from profiler.selecting import price_of, promise
from profiler.tasks import Task

# The answer names a winner and a runner-up: so many layouts of a role must be better.
BETTER = 2
# A rival must do within this share of the promised latencies; the other role may take the rest.
ITS_SHARE = 0.5
# By what factor even the candidate's least cost must exceed what its rivals take at most: bands are 95 %.
MARGIN = 1.25
# No time is believed to be shorter than this share of its estimate.
_LEAST = 0.05

_LIMITS = EngineLimits(1 << 20, 1 << 30)


class Contest:
    """Hold the layouts that are done, and judge the one that is being measured; see `why_lost`."""

    def __init__(self, question: Question) -> None:
        """Judge for this load and promise."""
        self._question = question
        self._done: dict[Role, list[Need]] = {role: [] for role in Role}
        self._surfaces: dict[tuple[Role, str], dict[Phase, Surface]] = {}

    def lost(self, task: Task, phase: Phase, surface: Surface) -> str | None:
        """Return why the layout cannot win any more, None while it can.

        An aggregated layout is judged once both of its surfaces are under way.
        """
        held = self._surfaces.setdefault((task.role, task.layout.name), {})
        held[phase] = surface
        if task.role is Role.AGGREGATED and len(held) < len(Phase):
            return None
        rivals = self._done[task.role]
        if len(rivals) < BETTER:
            return None
        hoped = {each: optimistic(known) for each, known in held.items()}
        profile = task.replica.profile(task.role, task.layout, hoped)
        return why_lost(need(profile, self._question), rivals)

    def add(self, layout: LayoutProfile) -> None:
        """Take in a layout that is done."""
        feared = replace(
            layout,
            prefill=layout.prefill and pessimistic(layout.prefill),
            decode=layout.decode and pessimistic(layout.decode),
        )
        self._done[layout.role].append(need(feared, tightened(self._question)))
        self._surfaces.pop((layout.role, layout.parallelism.name), None)


@dataclass(frozen=True, slots=True)
class Need:
    """Hold what one layout takes in its role when the other role costs nothing and takes no time.

    `cost` is GPUs, or money per hour where every GPU has a price. `kept` says whether one request alone keeps
    the promise. `first_s` and `each_s` are one request's engine time to its first token and per token, where
    the layout's role has a part in it; `wholly` that the promise ends with the whole answer.
    """

    name: str
    cost: float
    kept: bool
    first_s: float
    each_s: float
    wholly: bool
    limits: str
    unit: str


def why_lost(hoped: Need, rivals: Sequence[Need]) -> str | None:
    """Return why a layout at its best cannot be among the best two of its role, None when it may.

    It breaks the promise even alone where two others keep it; or two others that keep it take less by a clear
    margin even at their worst. Where the whole answer has a deadline, a quick layout may pay for itself by
    the time that it leaves to the other role: then the two must be no slower than it, too.
    """
    able = sorted((rival for rival in rivals if rival.kept), key=lambda rival: rival.cost)
    if len(able) < BETTER:
        return None
    if not hoped.kept:
        return (
            f"one request alone breaks the promise: {hoped.limits} at best, "
            f"and {_names(able[:BETTER])} keep it"
        )
    better = [rival for rival in able if hoped.cost > MARGIN * rival.cost]
    if hoped.wholly:
        better = [r for r in better if r.first_s <= hoped.first_s and r.each_s <= hoped.each_s]
    if len(better) < BETTER:
        return None
    others = " and ".join(f"{rival.name} {show_count(rival.cost)}" for rival in better[:BETTER])
    return f"needs {show_count(hoped.cost)} {hoped.unit} or more for this load, others at most: {others}"


def need(layout: LayoutProfile, question: Question) -> Need:
    """Return what a layout takes for the question in its role, beside an ideal other role."""
    load = ClassLoad.steady(promise(question), question.rate_rps, question.mix)
    pairing = {layout.role: layout}
    if layout.role is not Role.AGGREGATED:
        other = Role.DECODE if layout.role is Role.PREFILL else Role.PREFILL
        pairing = {
            role: layout if role is layout.role else _ideal(other) for role in (Role.PREFILL, Role.DECODE)
        }
    model = FleetModel(pairing, [[load]], Router.LOAD)
    search = FleetSearch(model, np.ones(1), {load.request_class.name: question.quantile})
    longest = max(atom.isl_tokens + atom.osl_tokens for atom in question.mix.atoms)
    kept = not search.by_layout and longest + layout.kv_fixed_tokens <= layout.kv_capacity_tokens
    first_s, each_s = float(model.classes[0].work.alone_s.max()), model.curve.at(1.0)
    replicas = search.alone(layout.role) if kept else 0
    return Need(
        name=layout.parallelism.name,
        cost=replicas * layout.gpus * price_of(layout, question),
        kept=kept,
        first_s=first_s,
        each_s=each_s,
        wholly=question.e2e_s is not None,
        limits=f"TTFT {show_duration(first_s + each_s)}, ITL {show_duration(each_s)}",
        unit="per hour" if question.price_per_gpu_h else "GPUs",
    )


def optimistic(surface: Surface) -> Surface:
    """Return the lower edge of a surface's band, never falling."""
    return _edge(surface, -1.0)


def pessimistic(surface: Surface) -> Surface:
    """Return the upper edge of a surface's band, never falling."""
    return _edge(surface, 1.0)


def tightened(question: Question) -> Question:
    """Return the question with the latencies that one role may take while the other takes the rest.

    The time per output token is the decode role's alone.
    """
    share = {
        name: limit * ITS_SHARE
        for name in ("ttft_s", "e2e_s")
        if (limit := getattr(question, name)) is not None
    }
    return replace(question, **share)


def _edge(surface: Surface, side: float) -> Surface:
    if not surface.band_ratio:
        return surface
    values = np.array(surface.values_s) * np.maximum(1.0 + side * np.array(surface.band_ratio), _LEAST)
    values = highest_below(values) if side > 0 else lowest_above(values)
    return replace(surface, values_s=tuple(tuple(float(v) for v in row) for row in values))


def _ideal(role: Role) -> LayoutProfile:
    """Return a layout that takes next to no time and holds everything."""
    at_once = Surface((1.0, 2.0), (1.0, 2.0), ((1e-9, 1e-9), (1e-9, 1e-9)))
    prefill, decode = (at_once, None) if role is Role.PREFILL else (None, at_once)
    return LayoutProfile(role, Parallelism(), _LIMITS, 1e18, prefill, decode)


def _names(needs: Sequence[Need]) -> str:
    return " and ".join(each.name for each in needs)
