"""Say which readings of a surface the selection rests on; they are to be known better than the rest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifact import Phase, Question
from models.capacity.decode import decode_curve
from models.capacity.prefill import full_batch
from models.surface import Surface
from models.values import Role
from profiler.measure.backend import Replica
from profiler.tasks import Grid

Floats = NDArray[np.float64]

# Batches that are looked at for the largest one that the promise allows: 3 % apart up to 4,096.
_BATCHES = 256
# A layout that takes this much more than the best one so far is not looked at more closely: whole replicas
# and what is not known yet may make up for less.
_IN_PLAY = 1.15


@dataclass(frozen=True, slots=True)
class Spot:
    """Name a place that a surface is read at, and by how much its seconds count."""

    tokens: float
    batch: float
    weight: float = 1.0


Reading = tuple[Spot, ...]
"""Places whose seconds add up to one figure of the selection."""


class Focus:
    """Return what a question's selection reads of each layout that may still win it."""

    def __init__(self, question: Question) -> None:
        """Look for the cheapest layouts of this load and promise."""
        self._question = question
        self._costs: dict[tuple[Role, Phase], dict[str, float]] = {}

    def __call__(self, grid: Grid, replica: Replica, surface: Surface) -> tuple[Reading, ...]:
        """Return the figure that decides, none when another layout of the role is clearly cheaper.

        Cheaper is by GPU-seconds, as the surfaces so far say; none is returned either when the promise allows
        no batch at all.
        """
        found = reading(self._question, grid, replica, surface)
        if not found:
            return ()
        seconds = sum(spot.weight * surface.at(spot.tokens, spot.batch) for spot in found)
        costs = self._costs.setdefault((grid.role, grid.phase), {})
        costs[grid.layout.name] = seconds * grid.layout.gpus
        return (found,) if costs[grid.layout.name] <= min(costs.values()) * _IN_PLAY else ()


def reading(question: Question, grid: Grid, replica: Replica, surface: Surface) -> Reading:
    """Return the seconds per prompt in full passes, or per token at the largest batch that is promised.

    Where the promise allows not even a sequence alone, nothing is worth reading.
    """
    # The surface is looked at as that of a layout which has no other role.
    role = Role.PREFILL if grid.phase is Phase.PREFILL else Role.DECODE
    profile = replica.profile(role, grid.layout, {grid.phase: surface})
    if grid.phase is Phase.PREFILL:
        sizes = [(atom, atom.prefill_tokens) for atom in question.mix.atoms]
        full = [(a, n, min(full_batch(profile, n), grid.batches[-1])) for a, n in sizes]
        return tuple(Spot(n, batch, atom.weight / batch) for atom, n, batch in full)
    curve = decode_curve(profile, [(question.rate_rps, question.mix)])
    allowed_s = min(question.itl_s or np.inf, (question.e2e_s or np.inf) / question.osl_tokens)
    batches = np.geomspace(1.0, min(curve.limit, curve.batches[-1]), _BATCHES)
    allowed = batches[curve.over(batches) <= allowed_s]
    if not allowed.size:
        return ()
    largest = float(allowed[-1])
    return (Spot(question.mix.decode_context_tokens, largest, 1.0 / largest),)


def rows(readings: tuple[Reading, ...], surface: Surface) -> Floats:
    """Return what a relative error at each grid point does to each reading, shape (readings, points).

    Readings are bilinear, so a point counts by its share of the reading's seconds.
    """
    values = np.array(surface.values_s)
    found = []
    for reading in readings:
        row = np.zeros_like(values)
        for spot in reading:
            row += spot.weight * np.outer(_shares(surface.x, spot.tokens), _shares(surface.y, spot.batch))
        row *= values
        found.append(row.ravel() / row.sum())
    return np.array(found).reshape(len(readings), values.size)


def _shares(axis: tuple[float, ...], value: float) -> Floats:
    """Return by how much each point of an axis counts at a value; beyond its ends the end alone."""
    places = np.array(axis)
    return np.array([np.interp(value, places, one) for one in np.eye(len(axis))])
