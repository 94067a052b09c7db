"""Integrate which share of a class keeps its promise, over decode batches, waits and lengths."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.capacity.batches import BATCH_WEIGHT, below
from models.capacity.decode import DecodeCurve
from models.capacity.prefill import PrefillWork
from models.capacity.waiting import WaitTail
from models.mix import RequestMix
from models.values import Slo

Floats = NDArray[np.float64]

# Narrower batches than this share of the mean ITL are taken for as wide.
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, slots=True)
class Steps:
    """Hold decode batches, an element per fleet and scenario; ITL has the edges of cells behind that.

    `admitted` says which share of each cell is within the limit: beyond it a request waits for a place.
    `gain` is by how much a longer batch lengthens itself: the nearer to 1, the more slowly it is forgotten.
    `tilted` is which part of what a request's own context costs is left to its batch. `jolts` is the
    variance, times its output tokens, that prompts between the steps add to a request's mean ITL. Cells weigh
    as BATCH_WEIGHT says.
    """

    edges_s: Floats
    admitted: Floats
    stable: NDArray[np.bool_]
    utilisation: Floats
    batch: Floats
    gain: Floats
    tilted: Floats
    jolts: Floats

    @property
    def itl_s(self) -> Floats:
        """ITL in the middle of each cell, shape (..., cells)."""
        middle: Floats = (self.edges_s[..., 1:] + self.edges_s[..., :-1]) / 2.0
        return middle

    @property
    def mean_itl_s(self) -> Floats:
        """Mean ITL over the cells."""
        mean: Floats = self.itl_s @ BATCH_WEIGHT
        return mean


@dataclass(frozen=True, slots=True)
class RequestGroup:
    """Hold one class: its promise, its prompts, and what its answers take; arrays over the mix's atoms.

    `first_steps` and `all_steps` are decode steps to the first token and to the last. `tilt_s` is by how much
    a request's own context lengthens the steps of its batch, `stay` its output as a share of the mean.
    """

    slo: Slo
    work: PrefillWork
    osl_tokens: Floats
    first_steps: float
    all_steps: Floats
    tilt_s: Floats
    stay: Floats

    def smoothed(self, steps: Steps) -> Floats:
        """Return the spread of a request's mean ITL over its life, as a share of that of its batches.

        Batches are forgotten as e^(-t/T), T = E[S] / (1 - gain); the mean over a life of x = S/T keeps
        2 (x - 1 + e^-x) / x^2 of the variance. Prompts that interrupt are a compound Poisson process. Shape
        (..., atoms).
        """
        x = np.maximum((1.0 - steps.gain)[..., None] * self.stay, 1e-3)
        left: Floats = 2.0 * (x + np.expm1(-x)) / x**2
        if steps.jolts.any():
            mean_s = steps.mean_itl_s
            variance = ((steps.itl_s - mean_s[..., None]) ** 2) @ BATCH_WEIGHT
            variance = np.maximum(variance, (_LEAST_SPREAD * mean_s) ** 2)
            left = left + (steps.jolts / variance)[..., None] / self.osl_tokens
        return np.sqrt(left)


def request_group(
    slo: Slo,
    mix: RequestMix,
    work: PrefillWork,
    curve: DecodeCurve,
    mean_osl_tokens: float,
    first_steps: float,
) -> RequestGroup:
    """Prepare a class; `mean_osl_tokens` is the mean output of everything that shares the batch."""
    isl, osl, _ = mix.columns.T
    tilt_s = np.maximum(curve.tilt_s * (isl + osl / 2.0 - curve.context_tokens), -0.5 * curve.itl_s[0])
    all_steps = first_steps + np.maximum(osl - 1.0, 0.0)
    return RequestGroup(slo, work, osl, first_steps, all_steps, tilt_s, osl / max(mean_osl_tokens, 1e-9))


def kept_share(
    c: RequestGroup,
    waits: WaitTail,
    steps: Steps,
    ttft_s: float | None = None,
    itl_s: float | None = None,
    e2e_s: float | None = None,
) -> Floats:
    """Integrate P(all stated limits kept) over cells of the batch and atoms, shape (..., scenarios).

    They share one batch and one wait, so the joint probability is taken given both, not as a product. Of a
    cell that a limit cuts, the share below it counts. Deadlines from arrival meet the batch of one moment,
    the mean ITL of a request that of its life.
    """
    mean_s = steps.mean_itl_s[..., None]
    smoothed = None if itl_s is None and e2e_s is None else c.smoothed(steps)
    share: Floats | None = None
    tilt_s = steps.tilted[..., None] * c.tilt_s
    if itl_s is not None and smoothed is not None:
        limit_s = mean_s + (itl_s - tilt_s - mean_s) / smoothed
        share = below(steps.edges_s[..., None, :], limit_s[..., None])
    if ttft_s is None and e2e_s is None:
        every = 1.0 if share is None else share @ BATCH_WEIGHT @ c.work.weight
        return np.asarray(every)
    edges_s = steps.edges_s[..., None, :]
    slack = np.full((1, 1, 1), np.inf)
    if ttft_s is not None:
        slack = (ttft_s - c.work.alone_s)[:, None] - c.first_steps * edges_s
    if e2e_s is not None and smoothed is not None:
        fixed_s = (c.all_steps - c.first_steps) * (mean_s * (1.0 - smoothed) + tilt_s)
        steps_left = c.first_steps + (c.all_steps - c.first_steps) * smoothed
        lasting = (e2e_s - c.work.alone_s - fixed_s)[..., None] - steps_left[..., None] * edges_s
        slack = np.minimum(slack, lasting)
    # Slack falls from edge to edge: of a cell in which it reaches zero the part before counts.
    high, low = slack[..., :-1], slack[..., 1:]
    in_time: Floats = high - low
    np.divide(high, np.maximum(in_time, 1e-12, out=in_time), out=in_time)
    np.minimum(np.maximum(in_time, 0.0, out=in_time), steps.admitted[..., None, :], out=in_time)
    if share is not None:
        in_time = np.minimum(in_time, share)
    middle: Floats = high + low
    np.multiply(np.maximum(middle, 0.0, out=middle), 0.5, out=middle)
    late = waits.beyond(middle)
    kept = np.subtract(1.0, late, out=late) * in_time
    result: Floats = kept @ BATCH_WEIGHT @ c.work.weight
    return result
