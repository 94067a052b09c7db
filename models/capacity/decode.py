"""Model a decode replica: the batch that a load settles at, its spread, and the limits on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.mix import RequestMix


@dataclass(frozen=True, slots=True)
class DecodeState:
    """Describe the batch of one decode replica under a steady load.

    `batch` is its mean, `spread` its standard deviation, `limit` the largest batch that sequences and KV
    cache allow. `stable` is False when even the largest batch is too slow for the load; `batch` is then
    the limit. `kv_bound` says that the KV cache, not the sequence limit, sets `limit`.
    """

    batch: float
    spread: float
    limit: float
    stable: bool
    kv_bound: bool
    utilisation: float


class DecodeCurve:
    """Read ITL against batch at one mean context; a slice of a layout's decode surface."""

    def __init__(self, layout: LayoutProfile, context_tokens: float, kv_tokens_per_sequence: float) -> None:
        """Cut the surface at `context_tokens`; raises ValueError when the layout has none."""
        if layout.decode is None:
            raise ValueError(f"layout {layout.key} has no decode surface")
        surface = layout.decode
        self.batches = surface.y
        self.itl_s = tuple(surface.at(context_tokens, n) for n in surface.y)
        self.kv_sequences = layout.kv_capacity_tokens / max(
            kv_tokens_per_sequence + layout.kv_fixed_tokens, 1.0
        )
        self.limit = max(1.0, min(float(layout.limits.max_num_seqs), self.kv_sequences))
        self.kv_bound = self.kv_sequences < layout.limits.max_num_seqs
        self.extrapolated = not surface.covers(context_tokens, surface.y[0]) or self.limit > surface.y[-1]
        self._segments = _segments(self.batches, self.itl_s)
        self.capacity_per_s = self.limit / self.at(self.limit)

    def at(self, batch: float) -> float:
        """Return the ITL in seconds at a batch; linear between grid points and beyond the last."""
        level, slope = next((s.level, s.slope) for s in self._segments if batch <= s.end)
        return max(level + slope * max(batch, 1.0), self.itl_s[0])

    def over(self, batches: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the ITL at every batch of an array of any shape; `at` for many."""
        beyond = np.maximum(batches - self.batches[-1], 0.0) * self._segments[-1].slope
        read: NDArray[np.float64] = np.interp(batches, self.batches, self.itl_s) + beyond
        return np.maximum(read, self.itl_s[0])

    def settle(self, steps_per_s: float, peakedness: float, sharing: int = 1) -> DecodeState:
        """Solve n = x * ITL(n) for a replica that must emit x = `steps_per_s` tokens per second.

        Each segment of the curve is linear, so the crossing is found exactly. The batch is over-dispersed
        because ITL rises with it: variance = c * n / (1 - rho_d) with rho_d = x * dITL/dn and c the
        peakedness of arrivals; a router that balances over `sharing` replicas divides it.
        """
        used = steps_per_s / self.capacity_per_s
        if used >= 1.0:
            return DecodeState(self.limit, 0.0, self.limit, False, self.kv_bound, used)
        # While n stays under 1 a sequence decodes alone, at the ITL of batch 1.
        batch = steps_per_s * self.itl_s[0]
        slope = 0.0
        if batch > 1.0:
            for end, level, slope in self._segments:
                gain = 1.0 - steps_per_s * slope
                batch = steps_per_s * level / gain if gain > 0 else math.inf
                if batch <= end:
                    break
            batch = min(batch, self.limit)
        feedback = min(steps_per_s * slope, 0.99)
        variance = peakedness * batch / (1.0 - feedback) / sharing
        return DecodeState(batch, math.sqrt(variance), self.limit, True, self.kv_bound, used)


class _Segment(NamedTuple):
    """One linear piece of a curve, up to `end`: ITL = level + slope * batch."""

    end: float
    level: float
    slope: float


def _segments(batches: Sequence[float], itl_s: Sequence[float]) -> tuple[_Segment, ...]:
    """Cut a curve into its pieces; the last one goes on for ever."""
    if len(batches) == 1:
        return (_Segment(math.inf, itl_s[0], 0.0),)
    pieces = []
    for i in range(len(batches) - 1):
        slope = (itl_s[i + 1] - itl_s[i]) / (batches[i + 1] - batches[i])
        end = batches[i + 1] if i + 2 < len(batches) else math.inf
        pieces.append(_Segment(end, itl_s[i] - slope * batches[i], slope))
    return tuple(pieces)


def decode_curve(layout: LayoutProfile, parts: Sequence[tuple[float, RequestMix]]) -> DecodeCurve:
    """Cut a layout's decode surface at the mean context of a blend of (rate, mix) parts.

    The mean context in a batch is length-biased, (E[ISL*OSL] + E[OSL^2]/2) / E[OSL]: long
    answers stay longer.
    """
    total = sum(rate for rate, _ in parts)
    weighted = (
        [(rate / total, mix) for rate, mix in parts] if total > 0 else [(1 / len(parts), m) for _, m in parts]
    )
    osl = sum(w * m.mean_osl_tokens for w, m in weighted)
    resident = sum(w * (m.mean_isl_osl + m.mean_osl_squared / 2) for w, m in weighted)
    # A place is given for the whole request, prompt and output, as engines do that never evict.
    reserved = sum(w * (m.mean_isl_osl + m.mean_osl_squared) for w, m in weighted)
    return DecodeCurve(layout, resident / max(osl, 1e-9), reserved / max(osl, 1e-9))


def peakedness(arrival_cv2: float) -> float:
    """Return the peakedness of arrivals: 1 for Poisson, (1 + Ca^2)/2 in general.

    The heavy-traffic value for exponential holding times (Whitt 1984); lengths of real outputs are close
    enough to exponential that the difference stays inside the error of Ca^2 itself.
    """
    return max((1.0 + arrival_cv2) / 2.0, 0.05)
