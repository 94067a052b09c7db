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


def decode_step(
    arch: Architecture, layout: Parallelism, context_tokens: float, batch: float, per_sequence: int = 1
) -> Iteration:
    """Count one decode step of `batch` sequences, spread evenly over the attention ranks.

    `per_sequence` tokens of each are computed: 1, or the drafts that a step verifies and one more.
    """
    rank = max(batch / layout.dp, 1.0)
    window = min(context_tokens, float(arch.attention.window_tokens))
    return Iteration(
        tokens=batch * per_sequence,
        sequences=batch,
        rank_tokens=rank * per_sequence,
        full_pairs=rank * per_sequence * context_tokens,
        window_pairs=rank * per_sequence * window,
        full_reads=rank * context_tokens,
        window_reads=rank * window,
        pair_flops=arch.attention.decode_flops_per_pair(),
    )


def prefill_chunks(
    arch: Architecture,
    layout: Parallelism,
    tokens: float,
    batch: float,
    chunk_tokens: int,
    cached_tokens: float = 0.0,
) -> tuple[float, Iteration]:
    """Count `batch` prompts read together: how many iterations, and the mean one of them.

    `tokens` of each prompt are computed behind `cached_tokens` of its prefix. A rank reads at most
    `chunk_tokens` per iteration and fills chunks across prompts (chunked prefill), so the number of
    iterations is a real number from 1 up. A chunk reads back the cache of the prompt's chunks before it.
    """
    prompts = max(batch / layout.dp, 1.0)
    iterations = max(prompts * tokens / chunk_tokens, 1.0)
    own_chunks = max(tokens / chunk_tokens, 1.0)
    window = float(arch.attention.window_tokens)
    return iterations, Iteration(
        tokens=batch * tokens / iterations,
        sequences=batch / iterations,
        rank_tokens=prompts * tokens / iterations,
        full_pairs=prompts * tokens * (cached_tokens + tokens / 2) / iterations,
        window_pairs=prompts
        * (_seen(cached_tokens + tokens, window) - _seen(cached_tokens, window))
        / iterations,
        full_reads=prompts * (tokens * (1 + own_chunks) / 2 + cached_tokens * own_chunks) / iterations,
        window_reads=prompts * (tokens + min(cached_tokens, window)) / iterations,
        pair_flops=arch.attention.prefill_flops_per_pair(),
    )


def _seen(tokens: float, window: float) -> float:
    """Return the (query, key) pairs of a causal prompt's first tokens in a layer with a window.

    x^2/2 while the window w is not full, x*w - w^2/2 after.
    """
    full = min(tokens, window)
    return full * (tokens - full / 2)
