"""Weigh models by what each would have saved a blend of all: ML-Poly on linearised losses, per horizon.

The blend b(t) = sum of p_k x_k(t) suffers the pinball loss l. What model k would have saved it is
r_k = l'(b) * (b - x_k), with R_k their sum and V_k the sum of r_k^2 plus the largest r^2 of all. Then
p_k = max(R_k, 0) / V_k, scaled to 1 (Gaillard, Stoltz & van Erven 2014: algorithm 1, on gradients). There is
nothing to tune: the regret against the best fixed mixture in hindsight is bounded whatever comes, and what
never saved anything has no weight at all.
"""

from dataclasses import dataclass

import numpy as np

from models.forecast.moving import Steps
from models.series import Floats


@dataclass(frozen=True, slots=True)
class Savings:
    """Hold r, shape (rows, horizons, models): what each model would have saved the blend at each origin.

    0 where it could not say, or what came is not known.
    """

    saved: Floats

    def weights(self, leave_out: slice = slice(0)) -> Floats:
        """Return weights that add up to 1 over the models, shape (models, horizons).

        `leave_out` are rows that must teach nothing. Where no model has saved anything, all weigh the same.
        """
        kept = np.delete(self.saved, leave_out, axis=0)
        squares = kept**2
        largest = squares.max(axis=(0, 2), initial=0.0)
        return _weights(kept.sum(axis=0), squares.sum(axis=0), largest).T


def learn(said: Floats, actual: Floats, lag: Steps, level: float) -> Savings:
    """Live through quantiles of shape (models, rows, horizons) and what came, shape (rows, horizons).

    The weights at a row rest on rows whose target was measured by then: those `lag[j]` before, at horizon j.
    """
    said = said.transpose(1, 2, 0)
    able, heard = ~np.isnan(said), np.nan_to_num(said)
    saved = np.zeros(heard.shape)
    blend = np.full(actual.shape, np.nan)
    total, squares = np.zeros(heard.shape[1:]), np.zeros(heard.shape[1:])
    largest, column = np.zeros(len(lag)), np.arange(len(lag))
    for row in range(len(heard)):
        seen = np.maximum(row - lag, 0), column
        came, b = actual[seen], blend[seen]
        known = np.isfinite(came + b) & (row >= lag)
        slope = np.where(known, np.where(came < b, 1.0 - level, -level), 0.0)
        r = np.where(able[seen] & known[:, None], slope[:, None] * (b[:, None] - heard[seen]), 0.0)
        saved[seen] += r
        total += r
        squares += r**2
        largest = np.maximum(largest, (r**2).max(axis=1))
        weight = np.where(able[row], _weights(total, squares, largest), 0.0)
        mass = weight.sum(axis=1)
        mixed = (weight * heard[row]).sum(axis=1)
        blend[row] = np.where(mass > 0, mixed / np.where(mass > 0, mass, 1.0), np.nan)
    return Savings(saved)


def _weights(total: Floats, squares: Floats, largest: Floats) -> Floats:
    """Return weights of shape (horizons, models) from sums of that shape and each row's largest square."""
    spread = squares + largest[:, None]
    weight = np.maximum(total, 0.0) / np.where(spread > 0, spread, 1.0)
    mass = weight.sum(axis=1, keepdims=True)
    return np.where(mass > 0, weight / np.where(mass > 0, mass, 1.0), 1.0 / weight.shape[1])
