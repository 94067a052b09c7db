"""Model a decode replica: the batch that a load settles at, its spread, and the limits on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.capacity.turns import device_sequences, usable_tokens, with_turns
from models.mix import RequestMix
from models.values import Router

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DecodeState:
    """Describe the batch of decode replicas under steady loads: arrays of one shape, an element per load.

    `batch` is its mean over time. `seen` is the mean batch that a sequence is part of, itself included, and
    `spread` the standard deviation of that. `gain` is by how much the load's tokens a second lengthen steps
    that lengthen the batch: rho_d of METHODS. `limit` is the largest batch that sequences and KV cache allow.
    `stable` is False where even the largest batch is too slow for the load; `batch` is then the limit.
    `kv_bound` says that the KV cache, not the sequence limit, sets `limit`.
    """

    batch: Floats
    seen: Floats
    spread: Floats
    limit: float
    stable: NDArray[np.bool_]
    kv_bound: bool
    utilisation: Floats
    gain: Floats


@dataclass(frozen=True, slots=True)
class Sharing:
    """Say how unevenly a router spreads sequences over replicas: variances as shares of Poisson's.

    `pooled` is what every replica's batch has of the spread of all sequences together, `uneven` what one has
    more or less than its share because sequences differ in length, `whole` the share to which a batch below
    one comes in whole sequences. Random routing is (peakedness, 0, 0).
    """

    pooled: Floats
    uneven: Floats | float = 0.0
    whole: Floats | float = 0.0

    def extra(self, steps_per_s: Floats, alone_s: float) -> Floats:
        """Return the variance besides `pooled` that is left whatever the feedback of ITL.

        A batch counts whole sequences: below one it is there or not. Measured in simulation on mixes of equal
        and of different lengths, 2 to 16 replicas.
        """
        least = steps_per_s * alone_s
        mixed: Floats = self.uneven * np.maximum(1.0 - 1.0 / np.maximum(least, 1e-9), 0.0)
        return mixed

    def rounding(self, steps_per_s: Floats, alone_s: float) -> Floats:
        """Return what whole sequences add to the mean batch that a sequence is part of."""
        least = steps_per_s * alone_s
        whole: Floats = self.whole * np.maximum(1.0 - least, 1.0 / (6.0 * np.maximum(least, 1.0)))
        return whole


@dataclass(frozen=True, slots=True)
class Holding:
    """Say how the sequences of a batch differ.

    `together` is E[min(S1, S2)] / E[S] of output lengths: what arrivals that are not Poisson do to the batch
    (1 for equal lengths, 1/2 for exponential ones). `size_cv2` is the squared coefficient of variation of the
    tokens by which a router counts a sequence, `context_variance` that of contexts; both over the sequences
    that are in a batch, where long answers stay longer.
    """

    together: float = 0.5
    size_cv2: float = 0.0
    context_variance: float = 0.0


# Size of the variation of lengths at which half of the unevenness of Poisson's is left behind a router that
# balances tokens: equal lengths leave none, lognormal (sigma 0.8) and recorded ones 0.6 to 0.7 of it.
_HALF_UNEVEN = 0.25


class DecodeCurve:
    """Read ITL against batch at one mean context; a slice of a layout's decode surface.

    `tilt_s` is the ITL that each token of context adds, whoever of the batch holds it; `swing` the squared
    variation of what sequences add to the ITL because their contexts differ; `by_count` which part of what
    one adds comes from there being one more, the rest from its context, which a router of tokens balances.
    `busiest` is the batch that makes most tokens a second, and a step emits `accepted_tokens`.
    """

    def __init__(
        self,
        layout: LayoutProfile,
        context_tokens: float,
        kv_tokens_per_sequence: float,
        holding: Holding = Holding(),
    ) -> None:
        """Cut the surface at `context_tokens`; raises ValueError when the layout has none."""
        if layout.decode is None:
            raise ValueError(f"layout {layout.key} has no decode surface")
        surface = layout.decode
        self.batches, self.itl_s = with_turns(
            layout, context_tokens, surface.y, surface.across(context_tokens)
        )
        self.accepted_tokens = layout.features.accepted_tokens
        # Who may be thrown out takes what it has so far, who may not all that it will.
        place = context_tokens if layout.features.preempts else kv_tokens_per_sequence
        self.kv_sequences = usable_tokens(layout) / max(place + layout.kv_fixed_tokens, 1.0)
        self.limit = max(1.0, min(float(layout.limits.max_num_seqs), self.kv_sequences))
        self.kv_bound = self.kv_sequences < layout.limits.max_num_seqs
        # Past the device's edge sequences take turns: a larger batch makes no more tokens.
        edge = np.inf if layout.features.tier is None else device_sequences(layout, context_tokens)
        self.busiest = max(1.0, min(self.limit, edge))
        self.extrapolated = not surface.covers(context_tokens, surface.y[0]) or self.busiest > surface.y[-1]
        self._ends, self._levels, self._slopes = _segments(self.batches, self.itl_s)
        self.capacity_per_s = self.busiest / self.at(self.busiest)
        self.context_tokens, self.holding = context_tokens, holding
        self.tilt_s, self.swing, self.by_count = self._differing(layout)

    def at(self, batch: float) -> float:
        """Return the ITL in seconds at a batch; linear between grid points and beyond the last."""
        piece = int(np.argmax(batch <= self._ends))
        return max(float(self._levels[piece] + self._slopes[piece] * max(batch, 1.0)), self.itl_s[0])

    def over(self, batches: Floats) -> Floats:
        """Return the ITL at every batch of an array of any shape; `at` for many."""
        beyond = np.maximum(batches - self.batches[-1], 0.0) * self._slopes[-1]
        read: Floats = np.interp(batches, self.batches, self.itl_s) + beyond
        return np.maximum(read, self.itl_s[0])

    def settle(self, steps_per_s: Floats | float, sharing: Sharing) -> DecodeState:
        """Solve n = x * ITL(n + s) for replicas that must emit x = `steps_per_s` tokens per second each.

        A replica of linear ITL = a + b n is a processor-sharing queue whose stationary batch is negative
        binomial whatever the lengths (Kelly 1979): variance n / (1 - x b), and a token is made in a batch of
        1 + n on average, not of n. Where a router balances, less of both: s of `Sharing`. Each segment of the
        curve is linear, so the crossing is found exactly.
        """
        steps = np.asarray(steps_per_s)
        used = steps / self.capacity_per_s
        stable = used < 1.0
        alone_s = self.itl_s[0]
        mixed, rounding = sharing.extra(steps, alone_s), sharing.rounding(steps, alone_s)
        pooled = sharing.pooled + rounding
        feedback = np.minimum(steps[..., None] * self._slopes, 0.99)
        more = np.minimum(pooled[..., None] + mixed[..., None] * (1.0 - feedback), 1.0)
        crossing = np.where(
            feedback < 0.99, (steps[..., None] * self._levels + more) / (1.0 - feedback), np.inf
        )
        piece = np.argmax(crossing <= self._ends, axis=-1)
        gain = np.minimum(steps * self._slopes[piece], 0.99)
        more = np.minimum(pooled + mixed * (1.0 - gain), 1.0)
        seen = np.where(gain < 0.99, (steps * self._levels[piece] + more) / (1.0 - gain), np.inf)
        batch = seen - more
        return self.settled(stable, used, batch, np.maximum(seen, 1.0), gain, sharing.pooled, mixed)

    def settled(
        self,
        stable: NDArray[np.bool_],
        used: Floats,
        batch: Floats,
        seen: Floats,
        gain: Floats,
        pooled: Floats,
        mixed: Floats,
    ) -> DecodeState:
        """Gather a state, held to the limit, with the spread that its balance has."""
        variance = np.clip(batch, 0.0, self.limit) * (
            pooled * (1.0 + self.swing) / (1.0 - gain) + mixed * self.by_count
        )
        return DecodeState(
            np.where(stable, np.minimum(batch, self.limit), self.limit),
            np.where(stable, np.minimum(seen, self.limit), self.limit),
            np.where(stable, np.sqrt(variance), 0.0),
            self.limit,
            stable,
            self.kv_bound,
            used,
            gain,
        )

    def sharing(self, router: Router, replicas: Floats, arrival_cv2: float) -> Sharing:
        """Say how a router spreads sequences that arrive with Ca^2 over `replicas`, an element per count.

        Load-aware routing shares one stream, and balances tokens, not sequences. Round robin splits it into
        streams of Ca^2 / k, random routing into streams that are nearly Poisson.
        """
        match router:
            case Router.LOAD:
                size_cv2 = self.holding.size_cv2
                others = 1.0 - 1.0 / replicas
                uneven = others * size_cv2 / (size_cv2 + _HALF_UNEVEN)
                return Sharing(self._peaked(arrival_cv2) / replicas, uneven, others)
            case Router.ROUND_ROBIN:
                pooled = self._peaked(arrival_cv2 / replicas)
                return Sharing(pooled, 0.0, np.maximum(1.0 - pooled, 0.0))
            case Router.RANDOM:
                return Sharing(self._peaked(1.0 + (arrival_cv2 - 1.0) / replicas))

    def _peaked(self, arrival_cv2: Floats | float) -> Floats:
        return peakedness(arrival_cv2, self.holding.together)

    def _differing(self, layout: LayoutProfile) -> tuple[float, float, float]:
        """Read what a token more of context costs, half way between the context here and the next one."""
        assert layout.decode is not None
        surface, batch = layout.decode, self.batches[len(self.batches) // 2]
        far = max(2.0 * self.context_tokens, 2.0)
        tilt_s = max(surface.at(far, batch) - surface.at(far / 2.0, batch), 0.0) / (far / 2.0) / batch
        slope = float(np.mean(self._slopes))
        swing = tilt_s**2 * self.holding.context_variance / slope**2 if slope > 0 else 0.0
        by_count = 1.0 - min(tilt_s * self.context_tokens / slope, 1.0) if slope > 0 else 1.0
        return tilt_s, min(swing, 4.0), by_count


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
    shares = [rate / total if total > 0 else 1.0 / len(parts) for rate, _ in parts]
    moments = [_moments(mix) for _, mix in parts]
    osl, context, reserved, size2, context2, even = (
        sum(share * one[i] for share, one in zip(shares, moments, strict=True)) for i in range(6)
    )
    mean = max(osl, 1e-9)
    context, reserved = context / mean, reserved / mean
    size_cv2 = max(size2 / mean / max(reserved, 1e-9) ** 2 - 1.0, 0.0)
    variance = max(context2 / mean - context**2, 0.0)
    return DecodeCurve(layout, context, reserved, Holding(min(even / mean, 1.0), size_cv2, variance))


@lru_cache(maxsize=256)
def _moments(mix: RequestMix) -> tuple[float, ...]:
    """Return E[OSL] and what a sequence brings to a batch, weighed by how long it stays.

    Contexts and their squares over its stay, its reservation and the square of that, and E[min] of two
    outputs. A place is given for the whole request, prompt and output, as engines do that never evict. Of a
    blend E[min] is taken class by class, as if each class had bursts of its own; where requests take turns
    whatever their class, that makes batches look a little more even than they are.
    """
    isl, osl, weight = mix.columns.T
    by_output = np.argsort(osl)
    ordered, chance = osl[by_output], weight[by_output]
    # P(the other is longer), half of the own atom with it: sums to E[min].
    longer = 1.0 - np.cumsum(chance) + chance / 2.0
    stay, context, size = osl * weight, isl + osl / 2.0, isl + osl
    each = (
        weight @ osl,
        context @ stay,
        size @ stay,
        size**2 @ stay,
        (context**2 + osl**2 / 12.0) @ stay,
        (ordered * chance) @ (2.0 * longer),
    )
    return tuple(float(one) for one in each)


def peakedness(arrival_cv2: Floats | float, together: float = 0.5) -> Floats:
    """Return the peakedness of arrivals: 1 for Poisson, 1 + (Ca^2 - 1) E[min(S1, S2)] / E[S] in general.

    The heavy-traffic value (Whitt 1984), with the ratio `together` of holding times: 1/2 for exponential.
    """
    return np.maximum(1.0 + (np.asarray(arrival_cv2) - 1.0) * together, 0.02)
