"""Describe the points of a grid by what one engine iteration computes there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifact import Phase
from profiler.measure.backend import Replica
from profiler.tasks import Grid

Floats = NDArray[np.float64]

# Sizes of a pass at which its trend may bend either way.
_KNOTS = 3


@dataclass(frozen=True, slots=True)
class Points:
    """Hold a grid's points row by row, arrays of shape (points,).

    The engine does the work in passes: it cuts prompts at the tokens that it takes at once, and a batch by
    its pipeline stages. A pass computes `rank_sequences` and `rank_tokens` on the busiest attention rank and
    `tokens_in_pass` on all of them; `passes` of them one after the other make up the time. `held` is False
    where the sequences exceed the replica's KV cache.
    """

    phase: Phase
    tokens: Floats
    batches: Floats
    passes: Floats
    rank_sequences: Floats
    rank_tokens: Floats
    tokens_in_pass: Floats
    held: NDArray[np.bool_]

    @classmethod
    def of(cls, grid: Grid, replica: Replica) -> "Points":
        """Lay out a grid of a replica."""
        lengths, counts = np.meshgrid(np.array(grid.tokens), np.array(grid.batches), indexing="ij")
        tokens, batches = lengths.ravel(), counts.ravel()
        ranks, stages = grid.layout.dp, grid.layout.pp
        if grid.phase is Phase.PREFILL:
            resident = tokens / (1.0 - grid.prefix_ratio)
            # A rank that has no sequence of its own waits for the others.
            sequences = np.maximum(batches / ranks, 1.0)
            chunks = np.maximum(sequences * tokens * ranks / replica.limits.max_num_batched_tokens, 1.0)
            # The stages work on different chunks at once, but for the first and the last ones.
            passes, sequences = (chunks + stages - 1.0) / stages, sequences / chunks
            rank_tokens, in_pass = sequences * tokens, batches * tokens / chunks
        else:
            resident, passes = tokens, np.ones_like(tokens)
            sequences = np.maximum(batches / ranks / stages, 1.0)
            rank_tokens, in_pass = sequences, batches / stages
        return cls(
            phase=grid.phase,
            tokens=tokens,
            batches=batches,
            passes=passes,
            rank_sequences=sequences,
            rank_tokens=rank_tokens,
            tokens_in_pass=in_pass,
            held=batches * (resident + replica.kv_fixed_tokens) <= replica.kv_capacity_tokens,
        )

    def coordinates(self) -> Floats:
        """Return the logarithms of length, sequences and tokens of a rank's pass, shape (points, 3)."""
        sequences = np.maximum(self.rank_sequences, 1.0)
        logs: Floats = np.log(np.stack([self.tokens, sequences, self.rank_tokens], axis=1))
        return logs

    def terms(self) -> Floats:
        """Return what times add up from, shape (points, terms); none falls along either axis.

        Per pass a constant, parts that saturate in its tokens (experts reached) and parts that set in with
        them (arithmetic that weights being read no longer hide); on the busiest rank per sequence, per token
        and per pair of tokens that attend to each other; per token of all ranks (experts).
        """
        attended = self.rank_sequences * self.tokens
        terms = [np.ones_like(attended), self.rank_sequences, attended]
        if self.phase is Phase.PREFILL:
            terms.append(attended * self.tokens)
        if (self.tokens_in_pass != self.rank_tokens).any():
            terms.append(self.tokens_in_pass)
        low, high = self.rank_tokens.min(), self.rank_tokens.max()
        knots = np.geomspace(low, high, _KNOTS + 2)[1:-1] if high > low else ()
        for knot in knots:
            terms += [np.minimum(self.rank_tokens, knot), np.maximum(self.rank_tokens - knot, 0.0)]
        return self.passes[:, None] * np.stack(terms, axis=1)

    def host_terms(self) -> Floats:
        """Return what the host's time adds up from, shape (points, 2): per pass, and per sequence in it."""
        return self.passes[:, None] * np.stack(
            [np.ones_like(self.rank_sequences), self.rank_sequences], axis=1
        )
