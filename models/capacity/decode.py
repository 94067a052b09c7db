"""Model a decode replica: the batch that a load settles at, its spread, and the limits on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.mix import RequestMix

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DecodeState:
    """Describe the batch of decode replicas under steady loads: arrays of one shape, an element per load.

    `batch` is its mean, `spread` its standard deviation, `limit` the largest batch that sequences and KV
    cache allow. `stable` is False where even the largest batch is too slow for the load; `batch` is then
    the limit. `kv_bound` says that the KV cache, not the sequence limit, sets `limit`.
    """

    batch: Floats
    spread: Floats
    limit: float
    stable: NDArray[np.bool_]
    kv_bound: bool
    utilisation: Floats


class DecodeCurve:
    """Read ITL against batch at one mean context; a slice of a layout's decode surface."""

    def __init__(self, layout: LayoutProfile, context_tokens: float, kv_tokens_per_sequence: float) -> None:
        """Cut the surface at `context_tokens`; raises ValueError when the layout has none."""
        if layout.decode is None:
            raise ValueError(f"layout {layout.key} has no decode surface")
        surface = layout.decode
        self.batches = surface.y
        self.itl_s = surface.across(context_tokens)
        self.kv_sequences = layout.kv_capacity_tokens / max(
            kv_tokens_per_sequence + layout.kv_fixed_tokens, 1.0
        )
        self.limit = max(1.0, min(float(layout.limits.max_num_seqs), self.kv_sequences))
        self.kv_bound = self.kv_sequences < layout.limits.max_num_seqs
        self.extrapolated = not surface.covers(context_tokens, surface.y[0]) or self.limit > surface.y[-1]
        self._ends, self._levels, self._slopes = _segments(self.batches, self.itl_s)
        self.capacity_per_s = self.limit / self.at(self.limit)

    def at(self, batch: float) -> float:
        """Return the ITL in seconds at a batch; linear between grid points and beyond the last."""
        piece = int(np.argmax(batch <= self._ends))
        return max(float(self._levels[piece] + self._slopes[piece] * max(batch, 1.0)), self.itl_s[0])

    def over(self, batches: Floats) -> Floats:
        """Return the ITL at every batch of an array of any shape; `at` for many."""
        beyond = np.maximum(batches - self.batches[-1], 0.0) * self._slopes[-1]
        read: Floats = np.interp(batches, self.batches, self.itl_s) + beyond
        return np.maximum(read, self.itl_s[0])

    def settle(
        self, steps_per_s: Floats | float, peakedness: Floats | float, sharing: Floats | float = 1.0
    ) -> DecodeState:
        """Solve n = x * ITL(n) for replicas that must emit x = `steps_per_s` tokens per second each.

        Each segment of the curve is linear, so the crossing is found exactly. The batch is over-dispersed
        because ITL rises with it: variance = c * n / (1 - rho_d) with rho_d = x * dITL/dn and c the
        peakedness of arrivals; a router that balances over `sharing` replicas divides it.
        """
        steps = np.asarray(steps_per_s)
        used = steps / self.capacity_per_s
        stable = used < 1.0
        gain = 1.0 - steps[..., None] * self._slopes
        crossing = np.where(gain > 0, steps[..., None] * self._levels / np.where(gain > 0, gain, 1.0), np.inf)
        piece = np.argmax(crossing <= self._ends, axis=-1)
        batch = np.minimum(np.take_along_axis(crossing, piece[..., None], axis=-1)[..., 0], self.limit)
        # While n stays under 1 a sequence decodes alone, at the ITL of batch 1.
        alone = steps * self.itl_s[0]
        batch = np.where(stable, np.where(alone <= 1.0, alone, batch), self.limit)
        slope = np.where(alone <= 1.0, 0.0, self._slopes[piece])
        variance = peakedness * batch / (1.0 - np.minimum(steps * slope, 0.99)) / sharing
        spread = np.where(stable, np.sqrt(variance), 0.0)
        return DecodeState(batch, spread, self.limit, stable, self.kv_bound, used)


def _segments(batches: Sequence[float], itl_s: Sequence[float]) -> tuple[Floats, Floats, Floats]:
    """Cut a curve into linear pieces, the last without end: where each ends, ITL = level + slope * batch."""
    x, y = np.array(batches), np.array(itl_s)
    if x.size == 1:
        return np.array([np.inf]), y, np.zeros(1)
    slopes = np.diff(y) / np.diff(x)
    return np.append(x[1:-1], np.inf), y[:-1] - slopes * x[:-1], slopes


def decode_curve(layout: LayoutProfile, parts: Sequence[tuple[float, RequestMix]]) -> DecodeCurve:
    """Cut a layout's decode surface at the mean context of a blend of (rate, mix) parts.

    The mean context in a batch is length-biased, (E[ISL*OSL] + E[OSL^2]/2) / E[OSL]: long
    answers stay longer.
    """
    total = sum(rate for rate, _ in parts)
    weighted = (
        [(rate / total, mix) for rate, mix in parts] if total > 0 else [(1 / len(parts), m) for _, m in parts]
    )
    moments = [(w, m.mean_osl_tokens, m.mean_isl_osl, m.mean_osl_squared) for w, m in weighted]
    osl = sum(w * mean for w, mean, _, _ in moments)
    resident = sum(w * (both + squared / 2) for w, _, both, squared in moments)
    # A place is given for the whole request, prompt and output, as engines do that never evict.
    reserved = sum(w * (both + squared) for w, _, both, squared in moments)
    return DecodeCurve(layout, resident / max(osl, 1e-9), reserved / max(osl, 1e-9))


def peakedness(arrival_cv2: Floats | float) -> Floats:
    """Return the peakedness of arrivals: 1 for Poisson, (1 + Ca^2)/2 in general.

    The heavy-traffic value for exponential holding times (Whitt 1984); lengths of real outputs are close
    enough to exponential that the difference stays inside the error of Ca^2 itself.
    """
    return np.maximum((1.0 + arrival_cv2) / 2.0, 0.05)
