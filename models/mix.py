"""Describe the joint lengths of a class of requests by a few weighted examples."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

_EVEN_BITS = 4


@dataclass(frozen=True, slots=True)
class RequestAtom:
    """Stand for a share `weight` of the requests; lengths in tokens."""

    isl_tokens: float
    osl_tokens: float
    cached_tokens: float
    weight: float

    @property
    def prefill_tokens(self) -> float:
        """Prompt tokens that must be computed: those not found in the prefix cache."""
        return max(self.isl_tokens - self.cached_tokens, 1.0)


@dataclass(frozen=True, slots=True)
class RequestMix:
    """Hold a joint distribution of (ISL, OSL, cached) as atoms whose weights sum to 1.

    Moments that sizing needs (mean prefill work, E[ISL*OSL], E[OSL^2]) keep the correlation of prompt
    and output that a product of means would lose.
    """

    atoms: tuple[RequestAtom, ...]

    def __post_init__(self) -> None:
        """Refuse an empty mix and weights that are not a distribution."""
        if not self.atoms:
            raise ValueError("a request mix needs at least one atom")
        total = sum(a.weight for a in self.atoms)
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"weights of a request mix must sum to 1, got {total:.6g}")

    @classmethod
    def constant(cls, isl_tokens: float, osl_tokens: float, cached_tokens: float = 0.0) -> Self:
        """Make a mix of identical requests."""
        return cls((RequestAtom(isl_tokens, osl_tokens, cached_tokens, 1.0),))

    @classmethod
    def evenly(
        cls, isl_tokens: float, osl_tokens: float, shortest_ratio: float, cached_tokens: float = 0.0
    ) -> Self:
        """Make a mix whose lengths spread evenly from `shortest_ratio` of the stated ones up to them.

        Prompt and output are uncorrelated, as benchmarks with a random range ratio draw them. Each of sixteen
        outputs, from the middle of its sixteenth of the range, meets two prompts, in bit-reversed order (van
        der Corput) and mirrored. No length is below one token. Raises ValueError for a ratio that is not in
        (0, 1].
        """
        if not 0.0 < shortest_ratio <= 1.0:
            raise ValueError(f"the shortest request is a share above 0 of the longest, not {shortest_ratio}")
        if shortest_ratio == 1.0:
            return cls.constant(isl_tokens, osl_tokens, cached_tokens)
        parts = 1 << _EVEN_BITS
        shares = [shortest_ratio + (1.0 - shortest_ratio) * (i + 0.5) / parts for i in range(parts)]
        atoms = []
        for i, output in enumerate(shares):
            mirrored = int(f"{i:0{_EVEN_BITS}b}"[::-1], 2)
            for prompt in (shares[mirrored], shares[parts - 1 - mirrored]):
                isl, osl = max(isl_tokens * prompt, 1.0), max(osl_tokens * output, 1.0)
                atoms.append(RequestAtom(isl, osl, cached_tokens * prompt, 0.5 / parts))
        return cls(tuple(atoms))

    @classmethod
    def from_samples(
        cls,
        isl_tokens: ArrayLike,
        osl_tokens: ArrayLike,
        cached_tokens: ArrayLike | None = None,
        bins: int = 4,
    ) -> Self:
        """Compress requests, shape (n,), to at most `bins * bins` atoms.

        Requests are cut into equal-count bins of ISL, each of them into equal-count bins of OSL; an
        atom is the mean of its bin, so that the total work is kept exactly. The last bin of each is
        split once more at its 90 % point, because promises break in the tail.

        Raises ValueError for no samples or unequal lengths.
        """
        isl = np.asarray(isl_tokens, dtype=float)
        osl = np.asarray(osl_tokens, dtype=float)
        cached = np.zeros_like(isl) if cached_tokens is None else np.asarray(cached_tokens, dtype=float)
        if isl.size == 0 or isl.shape != osl.shape or isl.shape != cached.shape:
            raise ValueError(f"samples must be non-empty and of one length: {isl.shape} {osl.shape}")
        members = [
            inner
            for outer in _equal_count(isl, np.arange(isl.size), bins)
            for inner in _equal_count(osl, outer, bins)
        ]
        return cls(
            tuple(
                RequestAtom(
                    float(isl[m].mean()), float(osl[m].mean()), float(cached[m].mean()), m.size / isl.size
                )
                for m in members
            )
        )

    @classmethod
    def merge(cls, parts: Iterable[tuple[float, "RequestMix"]]) -> Self:
        """Blend mixes by their (rate) weights; raises ValueError when no weight is positive."""
        weighted = [(w, m) for w, m in parts if w > 0]
        total = sum(w for w, _ in weighted)
        if total <= 0:
            raise ValueError("merging mixes needs a positive weight")
        return cls(
            tuple(
                RequestAtom(a.isl_tokens, a.osl_tokens, a.cached_tokens, a.weight * w / total)
                for w, m in weighted
                for a in m.atoms
            )
        )

    @property
    def columns(self) -> NDArray[np.float64]:
        """ISL, OSL and weight of each atom, shape (atoms, 3)."""
        return np.array([(a.isl_tokens, a.osl_tokens, a.weight) for a in self.atoms])

    @property
    def mean_isl_tokens(self) -> float:
        """Mean prompt length."""
        return sum(a.weight * a.isl_tokens for a in self.atoms)

    @property
    def mean_osl_tokens(self) -> float:
        """Mean output length."""
        return sum(a.weight * a.osl_tokens for a in self.atoms)

    @property
    def mean_prefill_tokens(self) -> float:
        """Mean prompt tokens to compute, after prefix-cache hits."""
        return sum(a.weight * a.prefill_tokens for a in self.atoms)

    @property
    def mean_isl_osl(self) -> float:
        """E[ISL*OSL], tokens squared."""
        return sum(a.weight * a.isl_tokens * a.osl_tokens for a in self.atoms)

    @property
    def mean_osl_squared(self) -> float:
        """E[OSL^2], tokens squared."""
        return sum(a.weight * a.osl_tokens**2 for a in self.atoms)

    @property
    def decode_context_tokens(self) -> float:
        """Mean context in a running decode batch, length-biased: (E[ISL*OSL] + E[OSL^2]/2) / E[OSL]."""
        return (self.mean_isl_osl + self.mean_osl_squared / 2) / max(self.mean_osl_tokens, 1e-9)


def _equal_count(
    key: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    members: "np.ndarray[tuple[int], np.dtype[np.intp]]",
    bins: int,
) -> Sequence["np.ndarray[tuple[int], np.dtype[np.intp]]"]:
    order = members[np.argsort(key[members], kind="stable")]
    if key[order[0]] == key[order[-1]]:
        return [order]
    edges = sorted(
        {round(order.size * i / bins) for i in range(bins)}
        | {round(order.size * (1 - 0.1 / bins)), order.size}
    )
    return [order[a:b] for a, b in pairwise(edges) if b > a]
