"""Hold the requests of a trace as columns, and cut, merge or rescale them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int32]
Index: TypeAlias = NDArray[np.intp]

# A copy of a request lands within half a minute of the original: minutes keep their shape, and copies are
# as independent of each other as the users of a busier service would be.
COPY_JITTER_S = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class PrefixBlocks:
    """Hold the prefix-block hashes of each request: those of request i are `hashes[offsets[i]:offsets[i+1]]`.

    Two prompts that begin with the same hashes share that many blocks of `tokens_per_block` tokens.
    """

    offsets: NDArray[np.int64]
    hashes: NDArray[np.int64]
    tokens_per_block: int

    def take(self, index: Index) -> Self:
        """Return the blocks of some requests, in the order given."""
        lengths = np.diff(self.offsets)[index]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        within = np.arange(int(offsets[-1])) - np.repeat(offsets[:-1], lengths)
        return type(self)(
            offsets, self.hashes[np.repeat(self.offsets[:-1][index], lengths) + within], self.tokens_per_block
        )

    def apart(self, group: NDArray[np.int64]) -> Self:
        """Return the blocks of requests that share them within their group only; group 0 stays as it is."""
        if self.hashes.size == 0 or not group.any():
            return self
        values, renamed = np.unique(self.hashes, return_inverse=True)
        groups = np.repeat(group, np.diff(self.offsets))
        # Names behind those that exist, a stretch of them for each group.
        new = np.int64(values[-1]) + 1 + (groups - 1) * values.size + renamed
        return type(self)(self.offsets, np.where(groups == 0, self.hashes, new), self.tokens_per_block)


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """Hold requests in order of arrival; all arrays have the shape (n,).

    `arrival_s` are Unix seconds, never falling. `cached_tokens` of a prompt need no prefill. Request i is
    of class `class_names[class_index[i]]`.

    Raises ValueError for arrays that do not fit together.
    """

    arrival_s: Floats
    isl_tokens: Ints
    osl_tokens: Ints
    cached_tokens: Ints
    class_index: NDArray[np.int16]
    class_names: tuple[str, ...]
    blocks: PrefixBlocks | None = None

    def __post_init__(self) -> None:
        """Refuse columns of unequal length, unsorted arrivals, empty prompts and unknown classes."""
        n = self.arrival_s.size
        columns = (self.isl_tokens, self.osl_tokens, self.cached_tokens, self.class_index)
        if any(column.shape != (n,) for column in columns):
            raise ValueError(f"columns of a workload must all have the length {n}")
        if n == 0:
            return
        if not np.isfinite(self.arrival_s).all() or (np.diff(self.arrival_s) < 0).any():
            raise ValueError("arrivals of a workload must be finite and never fall")
        if min(self.isl_tokens.min(), self.osl_tokens.min()) < 1 or self.cached_tokens.min() < 0:
            raise ValueError("a request needs a prompt and an output of at least one token")
        if not 0 <= int(self.class_index.min()) <= int(self.class_index.max()) < len(self.class_names):
            raise ValueError(f"class_index points outside the classes {self.class_names}")

    @classmethod
    def of(
        cls,
        arrival_s: Sequence[float] | Floats,
        isl_tokens: object,
        osl_tokens: object,
        cached_tokens: object = 0,
        class_index: object = 0,
        class_names: tuple[str, ...] = ("default",),
    ) -> Self:
        """Make a workload from anything that broadcasts to the arrivals' shape; sorts by arrival."""
        times = np.asarray(arrival_s, dtype=np.float64)
        order = np.argsort(times, kind="stable")

        def column(values: object, kind: type[np.int32] | type[np.int16]) -> NDArray[np.generic]:
            return np.broadcast_to(np.asarray(values), times.shape).astype(kind)[order]

        return cls(
            times[order],
            column(isl_tokens, np.int32),  # type: ignore[arg-type]
            column(osl_tokens, np.int32),  # type: ignore[arg-type]
            column(cached_tokens, np.int32),  # type: ignore[arg-type]
            column(class_index, np.int16),  # type: ignore[arg-type]
            class_names,
        )

    @classmethod
    def merge(cls, parts: Sequence["Workload"]) -> Self:
        """Interleave workloads; classes of one name become one. Prefix blocks are dropped.

        Raises ValueError when there is nothing to merge.
        """
        if not parts:
            raise ValueError("merging needs at least one workload")
        names = tuple(dict.fromkeys(name for part in parts for name in part.class_names))
        classes = [
            np.array([names.index(name) for name in part.class_names], dtype=np.int16)[part.class_index]
            for part in parts
        ]
        times = np.concatenate([part.arrival_s for part in parts])
        order = np.argsort(times, kind="stable")
        return cls(
            times[order],
            np.concatenate([part.isl_tokens for part in parts])[order],
            np.concatenate([part.osl_tokens for part in parts])[order],
            np.concatenate([part.cached_tokens for part in parts])[order],
            np.concatenate(classes)[order],
            names,
        )

    def __len__(self) -> int:
        """Count the requests."""
        return self.arrival_s.size

    @property
    def start_s(self) -> float:
        """Arrival of the first request, 0 for none."""
        return float(self.arrival_s[0]) if len(self) else 0.0

    @property
    def end_s(self) -> float:
        """Arrival of the last request, 0 for none."""
        return float(self.arrival_s[-1]) if len(self) else 0.0

    @property
    def span_s(self) -> float:
        """Time from the first to the last arrival."""
        return self.end_s - self.start_s

    def prefill_tokens(self) -> Ints:
        """Return the prompt tokens to compute, after prefix-cache hits, at least 1 each."""
        tokens: Ints = np.maximum(self.isl_tokens - self.cached_tokens, 1).astype(np.int32)
        return tokens

    def bounds(self, from_s: float, until_s: float) -> tuple[int, int]:
        """Return the index range of the requests that arrive in [from_s, until_s)."""
        first, last = np.searchsorted(self.arrival_s, (from_s, until_s), side="left")
        return int(first), max(int(last), int(first))

    def between(self, from_s: float, until_s: float) -> "Workload":
        """Return the requests that arrive in [from_s, until_s)."""
        first, last = self.bounds(from_s, until_s)
        return self.take(np.arange(first, last))

    def take(self, index: Index) -> "Workload":
        """Return some requests; `index` must not change their order of arrival."""
        return Workload(
            self.arrival_s[index],
            self.isl_tokens[index],
            self.osl_tokens[index],
            self.cached_tokens[index],
            self.class_index[index],
            self.class_names,
            None if self.blocks is None else self.blocks.take(index),
        )

    def scaled(self, factor: float, seed: int = 0) -> "Workload":
        """Return the workload at `factor` times its rate, with the same shape over time.

        Below 1 requests are thinned independently; above 1 copies are laid over the original, each up to
        `COPY_JITTER_S` away from it and inside the original's span, the fraction by thinning. The original
        requests are all kept then, and copies share prefix blocks with copies of the same number alone: other
        users, who talk as these do. Raises ValueError unless the factor is finite and above zero.
        """
        if not (np.isfinite(factor) and factor > 0):
            raise ValueError(f"a rate can be scaled by a factor above zero, not by {factor}")
        rng = np.random.default_rng([seed, 0x5CA1E])
        if factor == 1 or len(self) == 0:
            return self
        if factor < 1:
            return self.take(np.flatnonzero(rng.random(len(self)) < factor))
        whole = int(factor)
        copies = np.full(len(self), whole - 1) + (rng.random(len(self)) < factor - whole)
        source = np.concatenate((np.arange(len(self)), np.repeat(np.arange(len(self)), copies)))
        # The copies of a request, numbered from 1; the original is 0.
        before = np.repeat(np.cumsum(copies) - copies, copies)
        number = np.concatenate((np.zeros(len(self), dtype=np.int64), np.arange(before.size) - before + 1))
        shift = rng.uniform(-COPY_JITTER_S, COPY_JITTER_S, source.size)
        shift[: len(self)] = 0.0
        # Reflected at both ends, so that the edges are neither thinner nor wider than before.
        times = self.start_s + np.abs(self.arrival_s[source] + shift - self.start_s)
        times = np.clip(self.end_s - np.abs(self.end_s - times), self.start_s, self.end_s)
        order = np.argsort(times, kind="stable")
        index = source[order]
        return Workload(
            times[order],
            self.isl_tokens[index],
            self.osl_tokens[index],
            self.cached_tokens[index],
            self.class_index[index],
            self.class_names,
            None if self.blocks is None else self.blocks.take(index).apart(number[order]),
        )
