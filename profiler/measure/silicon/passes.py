"""Put the passes that an engine makes together from whole prompts, chunks and sequences."""

import math
from collections.abc import Callable
from functools import lru_cache

from profiler.measure.silicon.builds import Blend

# Answers kept per layout and phase: the points of one full grid.
KEPT = 1 << 14


class Passes:
    """Read one phase of a layout at any load of a rank, in seconds of one pass over all layers.

    The database answers whole prompts and sequences; in between is interpolated. Fewer than one count as one:
    the busiest rank has it.
    """

    def __init__(self, blend: Blend) -> None:
        """Keep answers: neighbouring points of a grid ask for the same passes."""
        self.blend = blend
        self._prefill = lru_cache(KEPT)(self._weighted_prefill)
        self._decode = lru_cache(KEPT)(self._weighted_decode)

    def decode_s(self, batch: float, context_tokens: float) -> float:
        """Return one step of `batch` sequences of a rank."""
        context = max(round(context_tokens), 1)
        return _between(lambda n: self._decode(n, context), batch)

    def prefill_s(
        self, prompts: float, tokens: float, cached_tokens: float, chunk_tokens: int
    ) -> tuple[float, float]:
        """Return how many passes read `prompts` prompts of a rank, and the mean seconds of one.

        A pass takes at most `chunk_tokens` and is filled across prompts, so the passes are a real number from
        1 up. A prompt longer than a chunk finds its own chunks before each one in the cache.
        """
        prompts = max(prompts, 1.0)
        cached, passes = round(cached_tokens), max(prompts * tokens / chunk_tokens, 1.0)
        if tokens <= chunk_tokens:
            whole = max(round(tokens), 1)
            return passes, _between(
                lambda n: self._prefill(n, whole, cached), min(prompts, chunk_tokens / tokens)
            )
        own, rest = divmod(tokens, chunk_tokens)
        total = sum(self._prefill(1, chunk_tokens, cached + i * chunk_tokens) for i in range(int(own)))
        if rest:
            total += rest / chunk_tokens * self._prefill(1, chunk_tokens, cached + int(own) * chunk_tokens)
        return passes, total * prompts / passes

    def _weighted_prefill(self, prompts: int, tokens: int, cached: int) -> float:
        return sum(w * b.handle.prefill_s(prompts, tokens, cached) for w, b in self.blend.parts)

    def _weighted_decode(self, batch: int, context: int) -> float:
        return sum(w * b.handle.decode_s(batch, context) for w, b in self.blend.parts)


def _between(at: Callable[[int], float], count: float) -> float:
    """Interpolate between whole numbers from 1 up."""
    low = max(math.floor(count), 1)
    share = max(count, 1.0) - low
    return at(low) + (share * (at(low + 1) - at(low)) if share else 0.0)
