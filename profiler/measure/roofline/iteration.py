"""Count what one engine iteration works on, for prefill and for decode."""

from dataclasses import dataclass

from models.architecture import Architecture
from models.values import Parallelism


@dataclass(frozen=True, slots=True)
class Iteration:
    """Count the work of one iteration of a replica.

    `tokens` and `sequences` count the whole replica, `rank_*` the busiest attention rank: tokens computed,
    (query, key) pairs and cached tokens read, in layers that see the whole context (`full`) and in
    sliding-window layers (`window`). `pair_flops` is the cost of one pair over all heads.
    """

    tokens: float
    sequences: float
    rank_tokens: float
    full_pairs: float
    window_pairs: float
    full_reads: float
    window_reads: float
    pair_flops: float


def decode_step(arch: Architecture, layout: Parallelism, context_tokens: float, batch: float) -> Iteration:
    """Count one decode step of `batch` sequences, spread evenly over the attention ranks."""
    rank = max(batch / layout.dp, 1.0)
    window = min(context_tokens, float(arch.attention.window_tokens))
    return Iteration(
        tokens=batch,
        sequences=batch,
        rank_tokens=rank,
        full_pairs=rank * context_tokens,
        window_pairs=rank * window,
        full_reads=rank * context_tokens,
        window_reads=rank * window,
        pair_flops=arch.attention.decode_flops_per_pair(),
    )


def prefill_chunks(
    arch: Architecture, layout: Parallelism, isl_tokens: float, batch: float, chunk_tokens: int
) -> tuple[float, Iteration]:
    """Count `batch` prompts read together: how many iterations, and the mean one of them.

    A rank reads at most `chunk_tokens` per iteration and fills chunks across prompts (chunked prefill), so
    the number of iterations is a real number from 1 up. A causal prompt of x tokens has x^2/2 pairs; within
    a window of w tokens x*w - w^2/2. A chunk reads back the cache of the prompt's chunks before it.
    """
    prompts = max(batch / layout.dp, 1.0)
    iterations = max(prompts * isl_tokens / chunk_tokens, 1.0)
    window = min(isl_tokens, float(arch.attention.window_tokens))
    own_chunks = max(isl_tokens / chunk_tokens, 1.0)
    return iterations, Iteration(
        tokens=batch * isl_tokens / iterations,
        sequences=batch / iterations,
        rank_tokens=prompts * isl_tokens / iterations,
        full_pairs=prompts * isl_tokens**2 / 2 / iterations,
        window_pairs=prompts * window * (isl_tokens - window / 2) / iterations,
        full_reads=prompts * isl_tokens * (1 + own_chunks) / 2 / iterations,
        window_reads=prompts * isl_tokens / iterations,
        pair_flops=arch.attention.prefill_flops_per_pair(),
    )
