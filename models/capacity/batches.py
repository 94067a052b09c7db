"""Cut the batch that a decoding sequence meets into cells of known probability."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.capacity.decode import DecodeState

Floats = NDArray[np.float64]

# Where cells end on a standard normal, fine in the upper tail where promises break. The outermost ends stand
# for quantiles of 0.6 and 99.93 %.
_EDGE_Z = np.array([-2.5, -1.2816, -0.5244, 0.0, 0.5244, 1.0364, 1.6449, 2.3263, 3.2])
BATCH_WEIGHT = np.array([0.10, 0.20, 0.20, 0.20, 0.15, 0.10, 0.04, 0.01])


@dataclass(frozen=True, slots=True)
class Cells:
    """Hold the edges of cells, shape (..., cells + 1), and which share of each has a place: (..., cells)."""

    edges: Floats
    admitted: Floats


def cells(state: DecodeState) -> Cells:
    """Cut the batch that a sequence is part of, itself included, into cells of BATCH_WEIGHT.

    The others are a gamma variable of the state's mean and spread: never below none, and as skewed as the
    negative binomial that a linear ITL makes of them. Its quantiles after Wilson and Hilferty (1931).
    """
    others, spread = np.maximum(state.seen - 1.0, 1e-9)[..., None], state.spread[..., None]
    ninth = (spread / others) ** 2 / 9.0
    wanted = 1.0 + others * np.maximum(1.0 - ninth + _EDGE_Z * np.sqrt(ninth), 0.0) ** 3
    beyond = wanted[..., -1] > state.limit
    if not beyond.any():
        return Cells(wanted, np.ones((*wanted.shape[:-1], BATCH_WEIGHT.size)))
    return Cells(np.minimum(wanted, state.limit), below(wanted, np.asarray(state.limit)))


def below(edges: Floats, limit: Floats) -> Floats:
    """Return the share of each cell that lies below a limit, the probability spread evenly inside."""
    low, high = edges[..., :-1], edges[..., 1:]
    share: Floats = (limit - low) / np.maximum(high - low, 1e-12)
    np.maximum(share, 0.0, out=share)
    return np.minimum(share, 1.0, out=share)
