"""State what arrives at a fleet: per class a promise, a rate and the lengths of its requests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.mix import RequestMix
from models.values import RequestClass


@dataclass(frozen=True, slots=True)
class ClassLoad:
    """Hold one class's load.

    `rate_rps` weighs the class in attainment. `prefill_rps` and `decode_rps` are the rates of requests of
    this mix that carry the same work as the class's prefill and decode tokens per second: they differ from
    `rate_rps` when work was forecast directly and the lengths drifted.
    """

    request_class: RequestClass
    rate_rps: float
    prefill_rps: float
    decode_rps: float
    mix: RequestMix

    @classmethod
    def steady(cls, request_class: RequestClass, rate_rps: float, mix: RequestMix) -> "ClassLoad":
        """Make a load whose work follows from its rate and mix."""
        return cls(request_class, rate_rps, rate_rps, rate_rps, mix)


@dataclass(frozen=True, slots=True, eq=False)
class Loads:
    """Hold several scenarios of the same classes: rates as in ClassLoad, of shape (scenarios, classes).

    `arrival_cv2` is Ca^2 of all arrivals together.
    """

    classes: tuple[RequestClass, ...]
    mixes: tuple[RequestMix, ...]
    rate_rps: NDArray[np.float64]
    prefill_rps: NDArray[np.float64]
    decode_rps: NDArray[np.float64]
    arrival_cv2: float = 1.0

    @classmethod
    def of(cls, scenarios: Sequence[Sequence[ClassLoad]]) -> "Loads":
        """Gather scenarios; raises ValueError for none, and for one without a class."""
        if not scenarios or any(not s for s in scenarios):
            raise ValueError("loads need at least one scenario with at least one class")
        return cls(
            tuple(load.request_class for load in scenarios[0]),
            tuple(load.mix for load in scenarios[0]),
            np.array([[c.rate_rps for c in s] for s in scenarios], dtype=float),
            np.array([[c.prefill_rps for c in s] for s in scenarios], dtype=float),
            np.array([[c.decode_rps for c in s] for s in scenarios], dtype=float),
        )

    def __len__(self) -> int:
        """Count the scenarios."""
        return len(self.rate_rps)

    def __iter__(self) -> Iterator[tuple[ClassLoad, ...]]:
        """Yield each scenario, class by class."""
        return (self[i] for i in range(len(self)))

    def __getitem__(self, scenario: int) -> tuple[ClassLoad, ...]:
        """Return one scenario, class by class; raises IndexError beyond the last."""
        rates = (rates[scenario].tolist() for rates in self._rates())
        return tuple(map(ClassLoad, self.classes, *rates, self.mixes))

    def at_most(self, other: "Loads") -> NDArray[np.bool_]:
        """Say which scenarios of `other` are at least as heavy in everything: shape (ours, theirs)."""
        no_less = [(b >= a[:, None]).all(axis=-1) for a, b in zip(self._rates(), other._rates(), strict=True)]
        return np.asarray(no_less[0] & no_less[1] & no_less[2])

    def raised(self, least: NDArray[np.float64]) -> "Loads":
        """Raise rates to at least these: three rows as the rates stand here, shape (3, classes)."""
        rate, prefill, decode = (np.maximum(now, low) for now, low in zip(self._rates(), least, strict=True))
        return replace(self, rate_rps=rate, prefill_rps=prefill, decode_rps=decode)

    def with_work(self, prefill_rps: float) -> "Loads":
        """Add work to every scenario that has some, spread over classes by their share of prefill."""
        total = self.prefill_rps.sum(axis=1, keepdims=True)
        more = 1 + np.where(total > 0, prefill_rps / np.where(total > 0, total, 1.0), 0.0)
        return replace(self, prefill_rps=self.prefill_rps * more, decode_rps=self.decode_rps * more)

    def _rates(self) -> tuple[NDArray[np.float64], ...]:
        return self.rate_rps, self.prefill_rps, self.decode_rps
