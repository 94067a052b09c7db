"""Say in hindsight, by the model at the loads that came, what each moment needed and what a fleet kept."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.capacity.fleet import FleetModel
from models.capacity.load import Loads
from models.plan.search import by_role
from models.policy import PlanPolicy
from models.values import Role

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]

# A promise that is kept over a day is spent unevenly: needs are found for these multiples of its allowance.
RUNGS = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
# Moments that are judged on one grid of fleets: alike in load, so that the grid is small.
_TOGETHER = 12
# A role is busy for at least this share of the time in a fleet that serves all that comes, at the last rung.
_LEAST_BUSY = 0.85
# Two roles that just suffice alone need at most this many replicas more together.
_FURTHER = 3
# What all classes keep tells fleets apart that keep as much of the class worst off.
_SERVED = 1e-3
_EPSILON = 1e-9


class Hindsight:
    """Judge moments whose loads are known, all with the same lengths of requests."""

    def __init__(self, loads: Loads, layouts: Mapping[Role, LayoutProfile], plan: PlanPolicy) -> None:
        """Bind loads, one scenario a moment, to the layouts that serve them and the bounds of the fleet."""
        self.roles = tuple(layouts)
        self._plan, self._loads = plan, loads
        self._gpus = {role: layout.gpus for role, layout in layouts.items()}
        self._model = FleetModel(layouts, loads, plan.router)
        targets = plan.targets()
        asked = np.array([targets[name] for name in self._model.names])
        # A promise that one request alone breaks is no matter of counts.
        self._asked = asked * np.minimum(self._model.ceiling, 1.0)
        self._layouts = layouts

    def kept(self, counts: Counts) -> Floats:
        """Return what each class keeps where moment i has `counts[i]` ready replicas per role.

        `counts` has the shape (moments, roles), the result (moments, classes). Nothing is kept without a
        replica of each role.
        """
        fleets, which = np.unique(counts, axis=0, return_inverse=True)
        at_least_one = np.maximum(fleets, 1)
        attained = self._model.attainment({role: at_least_one[:, i] for i, role in enumerate(self.roles)})
        found: Floats = attained[which.ravel(), np.arange(len(counts))]
        served: NDArray[np.bool_] = np.asarray((counts >= 1).all(axis=1))
        return np.where(served[:, None], found, 0.0)

    def need(self) -> tuple[Counts, Floats]:
        """Return the fewest GPUs, inside the bounds, that keep each rung's share of the promise.

        Counts have the shape (rungs, moments, roles), what they keep (rungs, moments, classes). Where no
        fleet inside the bounds suffices it is the one that keeps most.
        """
        moments = len(self._loads)
        need = np.zeros((len(RUNGS), moments, len(self.roles)), dtype=np.intp)
        kept = np.zeros((len(RUNGS), moments, len(self._model.names)))
        weight = sum(self._model.busy(role) * self._gpus[role] for role in self.roles)
        order = np.argsort(weight)
        for first in range(0, moments, _TOGETHER):
            chosen = order[first : first + _TOGETHER]
            need[:, chosen], kept[:, chosen] = self._needed(chosen)
        return need, kept

    def _needed(self, chosen: NDArray[np.intp]) -> tuple[Counts, Floats]:
        loads = Loads(
            self._loads.classes,
            self._loads.mixes,
            self._loads.rate_rps[chosen],
            self._loads.prefill_rps[chosen],
            self._loads.decode_rps[chosen],
        )
        model = FleetModel(self._layouts, loads, self._plan.router)
        fleets = self._fleets(model)
        counts = by_role(fleets)
        attained = model.attainment(counts)
        # A class that does not come breaks no promise.
        comes = loads.rate_rps > 0
        least = np.where(comes, 1.0 - np.array(RUNGS)[:, None, None] * (1.0 - self._asked), 0.0)
        margin = np.where(comes, attained - self._asked, 0.0).min(axis=-1)
        enough: NDArray[np.bool_] = np.asarray((attained[None] >= least[:, None] - _EPSILON).all(axis=-1))
        # Where nothing is kept at all, more GPUs at least serve more.
        most = len(fleets) - 1 - (margin + _SERVED * attained.mean(axis=-1))[::-1].argmax(axis=0)
        best = np.where(enough.any(axis=1), enough.argmax(axis=1), most[None])
        table = np.stack([counts[role] for role in self.roles], axis=-1)
        return table[best], attained[best, np.arange(len(chosen))[None]]

    def _fleets(self, model: FleetModel) -> list[dict[Role, int]]:
        """List the fleets to look at, inside the bounds, those of fewest GPUs first."""
        plan, options = self._plan, []
        for role in self.roles:
            pool, busy = plan.pools[role], model.busy(role)
            low = max(int(np.floor(_LEAST_BUSY * busy.min())), pool.min_replicas, 1)
            high = max(self._alone(model, role, low) + _FURTHER, low)
            caps = [limit.gpus // self._gpus[role] for limit in plan.limits() if role in limit.roles]
            caps += [] if pool.max_replicas is None else [pool.max_replicas]
            high = max(min([high, *caps]), pool.min_replicas, 1)
            options.append(range(min(low, high), high + 1))
        grids = np.stack([axis.ravel() for axis in np.meshgrid(*options, indexing="ij")], axis=1)
        gpus = grids @ np.array([self._gpus[role] for role in self.roles])
        listed = [
            dict(zip(self.roles, row, strict=True)) for row in grids[np.argsort(gpus, kind="stable")].tolist()
        ]
        fitting = [f for f in listed if plan.within(f, self._gpus) and plan.placeable(f, self._gpus)]
        # Where a budget carries none of them, it carries the floors: a configuration is checked for that.
        return fitting or [{role: max(plan.pools[role].min_replicas, 1) for role in self.roles}]

    def _alone(self, model: FleetModel, role: Role, low: int) -> int:
        """Return the fewest of a role that keep the whole promise at every moment, the other role ample."""
        comes = model.rates > 0
        width, first = 8, low
        while True:
            counts = np.arange(first, first + width)
            enough = ((model.alone(role, counts) >= self._asked - _EPSILON) | ~comes).all(axis=(-2, -1))
            if enough.any() or first > 4 * low + 64:
                return int(counts[enough.argmax()] if enough.any() else counts[-1])
            first += width
