"""Fit an engine's six constants on published measurements, and show the estimator beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache

from config import reference
from models.engine import EngineConstants
from models.values import Parallelism
from profiler.measure.roofline.estimator import Roofline
from tests.bench.measured import MEAN_RATIO, Run, mape, read_runs, tpot_errors
from tests.components import fact

NAMES = tuple(field.name for field in fields(EngineConstants) if field.name != "request_s")

# Where the data cannot tell two constants apart, each stays near the value from which the search starts.
START = EngineConstants(0.25, 45e-6, 1e-6, 4e-6, 2e-6, 0.0)
PULL = 0.0005


@dataclass(frozen=True, slots=True)
class Target:
    """One engine's measurements: TPOT runs, bulk prefill and the time to a single prompt's first token."""

    engine: str
    model: str
    bulk_layout: Parallelism
    bulk_tokens_per_s_per_gpu: float
    first_layout: Parallelism
    first_token_s: float
    start: EngineConstants


TARGETS = (
    # Bulk: input throughput per saturated prefill GPU, 108,000 to 116,000. First token: median at one user.
    Target("trtllm", "gpt-oss-120b", Parallelism(), 112e3, Parallelism(), 0.0397, START),
    # Bulk: the start burst, users * ISL / p99 TTFT / prefill GPUs of the runs on 8-GPU prefill workers, the
    # latency of one prompt left out: 9,000 to 9,300.
    Target(
        "sglang",
        "deepseek-r1",
        Parallelism(dp=8, ep=8),
        9.2e3,
        Parallelism(tp=4),
        0.2067,
        replace(START, expert_ratio=0.2, dispatch_s=150e-6, collective_s=10e-6),
    ),
)
PROMPT_TOKENS = 1024.0 * MEAN_RATIO
# Where the single prompt of `first_layout` is decoded, and how full its cache then is.
FIRST_DECODE = Parallelism(tp=4)


def estimator(target: Target, constants: EngineConstants) -> Roofline:
    """Return the estimator with other constants."""
    base = _cards(target.engine, target.model)
    return replace(base, engine=replace(base.engine, constants=constants))


@cache
def _cards(engine: str, model: str) -> Roofline:
    return Roofline(reference.architecture(model), reference.hardware("GB200"), reference.engine(engine))


def card_constants(target: Target) -> EngineConstants:
    """Return the constants that the engine's card holds."""
    return reference.engine(target.engine).constants


def bulk_tokens_per_s_per_gpu(target: Target, roofline: Roofline) -> float:
    """Return prefill throughput with full iterations."""
    tokens = roofline.engine.max_num_batched_tokens * target.bulk_layout.dp
    seconds = roofline.prefill_s(target.bulk_layout, PROMPT_TOKENS, tokens / PROMPT_TOKENS)
    return tokens / seconds / target.bulk_layout.gpus


def loss(target: Target, runs: Sequence[Run], constants: EngineConstants) -> float:
    """Return the mean squared log error of TPOT, half that of bulk prefill, and the pull to the start."""
    roofline = estimator(target, constants)
    tpot = sum(math.log1p(error) ** 2 for error in tpot_errors(runs, roofline)) / len(runs)
    bulk = math.log(bulk_tokens_per_s_per_gpu(target, roofline) / target.bulk_tokens_per_s_per_gpu) ** 2
    pull = sum(math.log(getattr(constants, n) / getattr(target.start, n)) ** 2 for n in NAMES)
    return tpot + bulk / 2 + PULL * pull


def fit(target: Target, runs: Sequence[Run]) -> EngineConstants:
    """Search coordinate by coordinate with halving steps; the first token then gives `request_s`.

    A first token takes the prompt, the decode steps of the hand-over, and a step of its own.
    """
    best, step = target.start, 0.5
    lowest = loss(target, runs, best)
    while step > 0.002:
        improved = False
        for name in NAMES:
            for factor in (1 + step, 1 / (1 + step)):
                trial = replace(best, **{name: getattr(best, name) * factor})
                found = loss(target, runs, trial)
                if found < lowest - 1e-9:
                    best, lowest, improved = trial, found, True
        step = step if improved else step / 2
    fitted = estimator(target, best)
    steps = 1.0 + fitted.engine.handover_steps
    engine_s = fitted.prefill_s(target.first_layout, PROMPT_TOKENS, 1.0)
    engine_s += steps * fitted.decode_s(FIRST_DECODE, PROMPT_TOKENS, 1.0)
    return replace(best, request_s=target.first_token_s - engine_s)


def run() -> dict[str, str]:
    """Fit each engine anew and set it beside what its card holds, run by run."""
    figures: dict[str, str] = {}
    for target in TARGETS:
        runs = read_runs(fact("gb200_measured.csv"), target.model)
        fitted, card = fit(target, runs), card_constants(target)
        for name in (*NAMES, "request_s"):
            figures[f"{target.engine} {name}"] = (
                f"fitted {getattr(fitted, name):.4g}, card {getattr(card, name):.4g}"
            )
        for label, constants in (("fitted", fitted), ("card", card)):
            roofline = estimator(target, constants)
            errors = tpot_errors(runs, roofline)
            figures[f"{target.engine} {label}"] = (
                f"TPOT MAPE {mape(errors):.1%} of {len(runs)} runs, worst {max(errors, key=abs):+.0%}, "
                f"bulk prefill {bulk_tokens_per_s_per_gpu(target, roofline):,.0f} tokens/s/GPU"
            )
        for each, error in zip(runs, tpot_errors(runs, estimator(target, card)), strict=True):
            name = f"{target.engine} {each.layout.name} x {each.concurrency} users"
            figures[name] = f"measured {each.tpot_s * 1e3:.2f} ms, {error:+.0%}"
    return figures
