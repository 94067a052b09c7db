"""Hold what happened on a regular grid of time: what came, ran, was advised, and would have done."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.stock import GpuLimit
from models.values import Role

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Hold one fleet over time: `gpus` that are paid, shape (steps,), and what each class keeps with it.

    `ready` has the shape (steps, roles), `kept` (steps, classes): by the model, at the loads that came.
    """

    ready: Counts
    gpus: Floats
    kept: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Hold one deployment's time in steps of `step_s`, the first of which ends at `begin_s` (Unix seconds).

    `recorded` says which steps have a record, `known` which of them know their demand: the other arrays hold
    nothing of worth elsewhere. `rate_rps` is (steps, classes). `ran` is the fleet that was there, `advised`
    the one that would have been, had every decision been followed (`None`: nothing was ever sized). `need` is
    (rungs, steps, roles) and `need_kept` (rungs, steps, classes), for the rungs of `hindsight`. `forecasts`
    counts the demands of a step that had been foreseen a start-up before, `covered` those at or under the
    operating quantile, `levels` and `under` the same by level, (steps, levels). `limits` bound the GPUs.
    """

    deployment: str
    roles: tuple[Role, ...]
    classes: tuple[str, ...]
    targets: Mapping[str, float]
    gpus: Mapping[Role, int]
    startup_s: Mapping[Role, float]
    release_s: Mapping[Role, float]
    operating_level: float
    begin_s: float
    step_s: float
    recorded: NDArray[np.bool_]
    known: NDArray[np.bool_]
    rate_rps: Floats
    ran: Path
    advised: Path | None
    need: Counts
    need_kept: Floats
    forecasts: NDArray[np.intp]
    covered: NDArray[np.intp]
    levels: tuple[float, ...]
    under: NDArray[np.intp]
    acted: bool
    limits: tuple[GpuLimit, ...] = ()

    @property
    def subject(self) -> Path:
        """The fleet that is judged: the one that ran where decisions are applied, else the advised one."""
        return self.ran if self.acted or self.advised is None else self.advised

    @property
    def ends_s(self) -> Floats:
        """When each step ends, Unix seconds."""
        ends: Floats = self.begin_s + self.step_s * np.arange(len(self.known), dtype=np.float64)
        return ends
