"""Model an aggregated replica: prompts and decode steps that share one engine's iterations."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.capacity.decode import DecodeCurve, DecodeState
from models.capacity.prefill import PromptLoad

Floats = NDArray[np.float64]

# Batches at which the balance is looked at first, and then between the two that enclose it.
_COARSE, _FINE = 64, 33


@dataclass(frozen=True, slots=True)
class MixedSteps:
    """Hold one replica's decode curve and the prompts that interrupt it.

    Iterations that hold prompts carry one step of the running batch along, at what the step takes beyond an
    idle one; pure steps fill the rest of the time.
    """

    curve: DecodeCurve
    prompts: PromptLoad

    def itl_s(self, batches: Floats) -> Floats:
        """Return the mean time between a sequence's tokens at every batch of an array, never falling."""
        step = self.curve.over(np.maximum(batches, 1.0))
        extra = step - self.curve.itl_s[0]
        held, iteration = self.prompts.iteration(extra)
        mixed = self.prompts.rate_rps / held
        per_s = mixed + np.maximum(1.0 - mixed * iteration, 0.0) / step
        longest: Floats = np.maximum(1.0 / per_s, step)
        return longest

    def settle(self, steps_per_s: float, peakedness: float, sharing: int) -> DecodeState:
        """Solve n = x * ITL(n), ITL with the prompts' share of time; the smallest batch that balances.

        The smallest root rises with x and with the prompts' rate, so more load never looks lighter. Without
        a root up to the limit the replica is not stable.
        """
        limit, kv_bound = self.curve.limit, self.curve.kv_bound
        used = steps_per_s * float(self.itl_s(np.array([limit]))[0]) / limit
        grid = np.geomspace(1.0, max(limit, 1.0 + 1e-9), _COARSE)
        enclosing = self._enclosing(grid, steps_per_s)
        if enclosing is None:
            return DecodeState(limit, 0.0, limit, False, kv_bound, max(used, 1.0))
        low, high = enclosing
        if high <= grid[0]:
            batch, slope = steps_per_s * float(self.itl_s(grid[:1])[0]), 0.0
        else:
            fine = self._enclosing(np.linspace(low, high, _FINE), steps_per_s) or (low, high)
            ends = self.itl_s(np.array(fine))
            slope = float(ends[1] - ends[0]) / max(fine[1] - fine[0], 1e-12)
            gain = 1.0 - steps_per_s * slope
            crossing = steps_per_s * (float(ends[0]) - slope * fine[0]) / gain if gain > 0 else fine[1]
            batch = min(max(crossing, fine[0]), fine[1])
        variance = peakedness * batch / (1.0 - min(steps_per_s * slope, 0.99)) / sharing
        return DecodeState(batch, math.sqrt(variance), limit, True, kv_bound, min(used, 1.0))

    def _enclosing(self, grid: Floats, steps_per_s: float) -> tuple[float, float] | None:
        """Return the first two neighbours of a rising grid between which n overtakes x * ITL(n)."""
        enough = np.flatnonzero(grid >= steps_per_s * self.itl_s(grid))
        if not enough.size:
            return None
        i = int(enough[0])
        return float(grid[max(i - 1, 0)]), float(grid[i])
