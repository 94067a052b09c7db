"""Model a prefill pool: what one prompt takes alone, and what it occupies under load."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.mix import RequestMix
from models.surface import Surface

Floats = NDArray[np.float64]

# Stands for rates and times of nothing where they divide.
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class PrefillWork:
    """Hold one class's prompts on one layout; arrays over the mix's atoms, shape (atoms,), seconds.

    `alone_s` is the time to first token of a prompt that meets an idle replica (overhead and hand-over
    included, the first decode step not). `service_s` is the marginal engine time that it occupies when
    iterations run full: a bulk server pays its fixed cost once per iteration, not once per prompt.
    `further_s` is what one prompt more adds to an iteration that runs anyway, and `bulk_ratio` the share of
    the work that others would share an iteration with: 0 where prompts are served one at a time.
    `mean_handover_s` is the part of the mean of `alone_s` in which prompts move on: it occupies nothing.
    """

    weight: Floats
    alone_s: Floats
    service_s: Floats
    further_s: Floats
    extrapolated: bool
    bulk_ratio: float = 0.0
    mean_handover_s: float = 0.0

    @property
    def mean_service_s(self) -> float:
        """Mean occupancy per prompt."""
        return float(self.weight @ self.service_s)

    @property
    def mean_alone_s(self) -> float:
        """Mean time of a prompt that meets an idle replica."""
        return float(self.weight @ self.alone_s)

    @property
    def mean_further_s(self) -> float:
        """Mean time that a prompt adds to an iteration."""
        return float(self.weight @ self.further_s)

    @property
    def mean_service_squared(self) -> float:
        """Second moment of the occupancy, seconds squared."""
        return float(self.weight @ self.service_s**2)


@lru_cache(maxsize=256)
def prefill_work(layout: LayoutProfile, mix: RequestMix) -> PrefillWork:
    """Read a mix's prompts off a layout's prefill surface; raises ValueError when it has none.

    Kept for the mixes seen last: one tick asks for each several times.
    """
    surface, limits = _surface(layout), layout.limits
    atoms = np.array([(a.prefill_tokens, a.isl_tokens, a.weight) for a in mix.atoms])
    tokens, isl_tokens, weight = atoms.T
    filling = np.clip(limits.max_num_batched_tokens / tokens, 1.0, max(float(limits.max_num_seqs), 1.0))
    batch = np.minimum(filling, surface.y[-1])
    single_s, full_s = surface.over(tokens, np.stack([np.ones_like(batch), batch]))
    alone_s = single_s + layout.overhead_s + layout.handover_s_per_token * isl_tokens
    further_s = np.where(batch > 1.0, (full_s - single_s) / np.where(batch > 1.0, batch - 1.0, 1.0), single_s)
    x, y = surface.reach.x, surface.reach.y
    inside = (x[0] <= tokens) & (tokens <= x[1]) & (y[0] <= batch) & (batch <= y[1])
    service_s = full_s / batch
    shared = float(weight @ (service_s * (1.0 - 1.0 / filling))) / max(float(weight @ service_s), _TINY)
    moving_s = layout.handover_s_per_token * float(weight @ isl_tokens)
    return PrefillWork(weight, alone_s, service_s, further_s, not inside.all(), shared, moving_s)


@dataclass(frozen=True, slots=True)
class PromptBlend:
    """Hold the prompts of all classes together, per scenario: arrays of shape (scenarios,).

    `mean_s` and `cv2` are of the occupancy, `alone_s` is the mean engine time of a prompt in an iteration of
    its own and `further_s` what one more adds to an iteration, at most `alone_s`. `bulk_ratio` is that of
    PrefillWork, `together` that of Holding for the work.
    """

    rate_rps: Floats
    mean_s: Floats
    cv2: Floats
    alone_s: Floats
    further_s: Floats
    bulk_ratio: Floats
    together: float


def blend(rates_rps: Floats, works: Sequence[PrefillWork], overhead_s: float) -> PromptBlend:
    """Blend classes whose rates have the shape (scenarios, classes)."""
    per_class = np.array(
        [
            (
                work.mean_service_s,
                work.mean_service_squared,
                work.mean_alone_s - work.mean_handover_s - overhead_s,
                work.mean_further_s,
                work.mean_service_s * work.bulk_ratio,
            )
            for work in works
        ]
    )
    total_rps = rates_rps.sum(axis=1)
    means = (rates_rps @ per_class / np.maximum(total_rps, _TINY)[:, None]).T
    mean_s, squared, alone_s, further_s, shared_s = means
    cv2 = np.maximum(squared / np.maximum(mean_s, _TINY) ** 2 - 1.0, 0.0)
    # E[min(S1, S2)] / E[S] from the variation alone: 1 for equal prompts, 1/2 for exponential ones.
    together = 1.0 / (1.0 + float(cv2[len(cv2) // 2]))
    ratio = shared_s / np.maximum(mean_s, _TINY)
    return PromptBlend(total_rps, mean_s, cv2, alone_s, np.minimum(further_s, alone_s), ratio, together)


def full_batch(layout: LayoutProfile, tokens: float) -> float:
    """Return how many prompts of `tokens` tokens fill one iteration, at least 1."""
    return max(1.0, min(float(layout.limits.max_num_seqs), layout.limits.max_num_batched_tokens / tokens))


def _surface(layout: LayoutProfile) -> Surface:
    if layout.prefill is None:
        raise ValueError(f"layout {layout.key} has no prefill surface")
    return layout.prefill


@dataclass(frozen=True, slots=True)
class PromptLoad:
    """Describe the prompts that one replica gets: how many a second, and what they take, in seconds.

    `alone_s` is a prompt's engine time in an iteration of its own, `more_s` what a further prompt adds to an
    iteration that runs anyway, at most `alone_s`. `together` prompts arrive at one moment. Numbers, or arrays
    with an element per replica.
    """

    rate_rps: Floats | float
    alone_s: Floats | float
    more_s: Floats | float
    together: float = 1.0

    def iteration(self, extra_s: Floats | float) -> tuple[Floats, Floats]:
        """Return prompts per iteration and its length, when each takes `extra_s` on top; any shape.

        Prompts that arrive during one iteration share the next: n = rate * (alone + (n - 1) * more + extra),
        at least those that arrive together.
        """
        idle = np.maximum(1.0 - self.rate_rps * self.more_s, 1e-3)
        held = np.maximum(self.rate_rps * (self.alone_s - self.more_s + extra_s) / idle, self.together)
        return held, self.alone_s + (held - 1.0) * self.more_s + extra_s
