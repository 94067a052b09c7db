"""Model an aggregated replica: prompts and decode steps that share one engine's iterations."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.capacity.decode import DecodeCurve, DecodeState, Sharing
from models.capacity.prefill import PromptLoad

Floats = NDArray[np.float64]

# Batches at which the balance is looked at first, and then between the two that enclose it.
_COARSE, _FINE = 64, 33


@dataclass(frozen=True, slots=True)
class MixedSteps:
    """Hold one replica's decode curve and the prompts that interrupt it.

    Iterations that hold prompts carry one step of the running batch along, at what the step takes beyond an
    idle one, for as many tokens as it emits; pure steps fill the rest of the time.
    """

    curve: DecodeCurve
    prompts: PromptLoad

    def itl_s(self, batches: Floats) -> Floats:
        """Return the mean time between a sequence's tokens at every batch of an array, never falling."""
        step = self.curve.over(np.maximum(batches, 1.0))
        accepted = self.curve.accepted_tokens
        extra = (step - self.curve.itl_s[0]) * accepted
        held, iteration = self.prompts.iteration(extra)
        mixed = self.prompts.rate_rps / held
        per_s = mixed * accepted + np.maximum(1.0 - mixed * iteration, 0.0) / step
        longest: Floats = np.maximum(1.0 / per_s, step)
        return longest

    def settle(self, steps_per_s: Floats, sharing: Sharing) -> DecodeState:
        """Solve n = x * ITL(n + s), ITL with the prompts' share of time; the smallest batch that balances.

        `steps_per_s` has a last axis of one element, as the prompts have, for the batches that are tried. The
        smallest root rises with x and with the prompts' rate, so more load never looks lighter. Without
        a root up to the limit the replica is not stable. What the router leaves uneven, s of `Sharing`, is
        taken as if steps did not feed back on it: at most one sequence.
        """
        curve, steps = self.curve, steps_per_s[..., 0]
        limit, alone_s = curve.limit, curve.itl_s[0]
        used = (steps_per_s * self.itl_s(np.array([curve.busiest])) / curve.busiest)[..., 0]
        mixed, rounding = sharing.extra(steps, alone_s), sharing.rounding(steps, alone_s)
        more = np.minimum(sharing.pooled + rounding + mixed, 1.0)
        coarse = np.geomspace(1.0, max(limit, 1.0 + 1e-9), _COARSE)
        stable, low, high = self._enclosing(coarse, steps_per_s, more)
        _, low, high = self._enclosing(np.linspace(low, high, _FINE, axis=-1), steps_per_s, more)
        ends = self.itl_s(np.stack([low, high], axis=-1))
        width = high - low
        slope = np.where(width > 0, (ends[..., 1] - ends[..., 0]) / np.maximum(width, 1e-12), 0.0)
        gain = np.minimum(steps * slope, 0.99)
        crossing = (steps * (ends[..., 0] - slope * low) + more) / (1.0 - gain)
        # A batch of less than 1 is left as it is: its sequence decodes alone.
        inside = np.where(width > 0, np.clip(crossing, low, high), crossing)
        seen = np.where(stable, np.where(steps * slope < 1.0, inside, high), limit)
        used = np.where(stable, np.minimum(used, 1.0), np.maximum(used, 1.0))
        batch = np.maximum(seen - more, 0.0)
        return curve.settled(stable, used, batch, np.maximum(seen, 1.0), gain, sharing.pooled, mixed)

    def _enclosing(
        self, grid: Floats, steps_per_s: Floats, more: Floats
    ) -> tuple[NDArray[np.bool_], Floats, Floats]:
        """Say if n overtakes x * ITL(n) + s on rising grids, and between which two neighbours.

        Both are the first of the grid where n is ahead from the start, and the last two where it never is.
        """
        enough: NDArray[np.bool_] = grid >= steps_per_s * self.itl_s(grid) + more[..., None]
        found = np.asarray(enough.any(axis=-1))
        last = np.where(found, np.argmax(enough, axis=-1), grid.shape[-1] - 1)[..., None]
        grids = np.broadcast_to(grid, enough.shape)
        low = np.take_along_axis(grids, np.maximum(last - 1, 0), axis=-1)[..., 0]
        return found, low, np.take_along_axis(grids, last, axis=-1)[..., 0]
