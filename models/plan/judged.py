"""Hold what layouts take at the demands at which they are compared."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.capacity.fleet import Floats
from models.capacity.load import Loads
from models.values import Role

Pairing = Mapping[Role, LayoutProfile]


@dataclass(frozen=True, slots=True)
class Points:
    """Hold the demands at which layouts are compared: a scenario each, and its share of the last day.

    The first is the lowest and the last the highest of the forecast; they have no share.
    """

    loads: Loads
    weights: NDArray[np.float64]

    def mean(self, values: Floats) -> float:
        """Return the mean over the day of one value for each point."""
        return float(values @ self.weights)


@dataclass(frozen=True, slots=True)
class Judged:
    """Hold what a pairing takes at each point: fleets, cost (GPUs, or money an hour), and which fit."""

    pairing: Pairing
    fleets: tuple[Mapping[Role, int], ...]
    costs: Floats
    gpus: Floats
    fits: NDArray[np.bool_]
