"""Fit what an engine spends beside its kernels on published runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from config import reference
from models.artifact import Phase
from models.values import Parallelism
from profiler.measure.backend import Refusal
from profiler.measure.silicon.estimator import Silicon
from profiler.measure.silicon.overheads import Overheads
from tests import components
from tests.bench.calibrate import FIRST_DECODE, PROMPT_TOKENS, Target
from tests.bench.measured import read_runs

STEP_NAMES = ("gap_s", "dispatch_s", "sequence_s", "collective_s")
# Kernels alone.
NOTHING = Overheads(0.0, 0.0, 0.0, 0.0, 1.0, 0.0, "")
START = Overheads(2e-6, 20e-6, 20e-6, 5e-6, 1.0, 0.0, "GB200")
# Host-bound steps and GPU-bound ones are two valleys: the search starts in both.
STARTS = tuple(replace(START, dispatch_s=start_s) for start_s in (2e-6, 20e-6, 150e-6))
# Repetitions of a run differ by about this.
NOISE = 0.05
# Where the data cannot tell two constants apart, each stays near START, and no single run sets one: with a
# tenth of this pull, DEP32 takes SGLang to 203 us of host time per sequence, ten times TensorRT-LLM's.
PULL = 0.003


@dataclass(frozen=True, slots=True)
class Step:
    """One measured run beside the kernels of its step; times in seconds, sequences of one rank."""

    layout: str
    users: int
    kernels_s: float
    sequences: float
    doublings: float
    tpot_s: float

    def error(self, constants: Overheads, layers: int) -> float:
        """Return predicted/measured - 1."""
        return constants.decode_s(self.kernels_s, layers, self.sequences, self.doublings) / self.tpot_s - 1.0


@cache
def backend(engine: str, model: str, hardware: str = "GB200") -> Silicon:
    """Return the backend for cards by name."""
    components.silicon()
    return Silicon(reference.architecture(model), reference.hardware(hardware), reference.engine(engine))


@cache
def steps(target: Target) -> tuple[Step, ...]:
    """Return the published runs of a target with the kernels of their steps."""
    silicon, found = backend(target.engine, target.model), []
    for run in read_runs(components.fact("gb200_measured.csv"), target.model):
        passes = silicon.passes(run.layout, Phase.DECODE)
        assert not isinstance(passes, Refusal), passes
        rank = max(run.batch / run.layout.dp, 1.0)
        kernels_s = passes.decode_s(rank, run.context_tokens)
        doublings = passes.blend.doublings
        found.append(Step(run.layout.name, run.concurrency, kernels_s, rank, doublings, run.tpot_s))
    return tuple(found)


def fit(target: Target, among: Sequence[Step]) -> Overheads:
    """Return the constants that fit these steps, and bulk prefill and the first token of the target.

    Coordinate by coordinate with halving steps. Beyond `NOISE` an error counts as it is and not squared, so
    that one run that contradicts another of the same layout and batch (they are there) does not lead.
    """
    layers = backend(target.engine, target.model).arch.layers
    found = [_descend(start, among, layers) for start in STARTS]
    return _with_prefill(target, min(found, key=lambda constants: _loss(constants, among, layers)))


def bulk_tokens_per_s_per_gpu(target: Target, constants: Overheads) -> float:
    """Return prefill throughput with full passes."""
    layout = target.bulk_layout
    tokens = backend(target.engine, target.model).engine.max_num_batched_tokens
    seconds = _prefill_s(target, layout, constants, tokens / PROMPT_TOKENS)
    return tokens * layout.dp / seconds / layout.gpus


def first_token_s(target: Target, constants: Overheads) -> float:
    """Return the time to the first token of one prompt alone: the prompt, the hand-over, a decode step."""
    silicon = backend(target.engine, target.model)
    passes = silicon.passes(FIRST_DECODE, Phase.DECODE)
    assert not isinstance(passes, Refusal), passes
    kernels_s = passes.decode_s(1.0, PROMPT_TOKENS)
    step_s = constants.decode_s(kernels_s, silicon.arch.layers, 1.0, passes.blend.doublings)
    prefill_s = _prefill_s(target, target.first_layout, constants, 1.0)
    return constants.request_s + prefill_s + (1.0 + silicon.engine.handover_steps) * step_s


def without_layout(target: Target, layout: str) -> list[float]:
    """Return the errors of one layout's runs under constants fitted on all others."""
    layers = backend(target.engine, target.model).arch.layers
    constants = fit(target, [s for s in steps(target) if s.layout != layout])
    return [s.error(constants, layers) for s in steps(target) if s.layout == layout]


def _descend(best: Overheads, among: Sequence[Step], layers: int) -> Overheads:
    lowest, width = _loss(best, among, layers), 1.0
    while width > 0.002:
        improved = False
        for name in STEP_NAMES:
            for factor in (1 + width, 1 / (1 + width)):
                trial = replace(best, **{name: getattr(best, name) * factor})
                found = _loss(trial, among, layers)
                if found < lowest - 1e-9:
                    best, lowest, improved = trial, found, True
        width = width if improved else width / 2
    return best


def _with_prefill(target: Target, constants: Overheads) -> Overheads:
    """Add the share of the kernels' rate that prefill reaches, then what is left of the first token."""
    low, high = 0.3, 3.0
    for _ in range(40):
        ratio = math.sqrt(low * high)
        rate = bulk_tokens_per_s_per_gpu(target, replace(constants, prefill_ratio=ratio))
        low, high = (ratio, high) if rate < target.bulk_tokens_per_s_per_gpu else (low, ratio)
    found = replace(constants, prefill_ratio=low)
    return replace(found, request_s=target.first_token_s - first_token_s(target, found))


def _prefill_s(target: Target, layout: Parallelism, constants: Overheads, prompts: float) -> float:
    """Return the seconds in which every rank reads `prompts` prompts."""
    silicon = backend(target.engine, target.model)
    passes = silicon.passes(layout, Phase.PREFILL)
    assert not isinstance(passes, Refusal), passes
    chunk = silicon.engine.max_num_batched_tokens
    count, kernels_s = passes.prefill_s(prompts, PROMPT_TOKENS, 0.0, chunk)
    return count * constants.prefill_s(
        kernels_s, silicon.arch.layers, prompts / count, passes.blend.doublings, sends=True
    )


def _loss(constants: Overheads, among: Sequence[Step], layers: int) -> float:
    errors = [math.log1p(step.error(constants, layers)) for step in among]
    huber = sum(NOISE * (math.hypot(1.0, error / NOISE) - 1.0) for error in errors) / len(errors)
    return huber + PULL * sum(math.log(getattr(constants, n) / getattr(START, n)) ** 2 for n in STEP_NAMES)
