"""Find the smallest constant fleet that keeps every promise, by simulation."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from models.artifact import LayoutProfile
from models.simulation.workload import Workload
from models.values import Role

Counts: TypeAlias = Mapping[Role, int]
# Simulate a constant fleet on a workload; return attainment per class, `None` where it had no request.
Simulate: TypeAlias = Callable[[Counts, Workload], Mapping[str, float | None]]

# Up to this many requests every candidate is simulated on all of them.
_WHOLE = 1_000_000
# Beyond it, candidates are compared on stretches of the trace that hold this many together.
_SAMPLE = 200_000
_STRETCH_S = 30.0
_PAUSE_S = 60.0
_MOST_STEPS = 24


class StaticPeak:
    """Search constant fleets, from a sizing on.

    Attainment rises with the replicas of either role. From a fleet that suffices each role is bisected down,
    the one whose replicas take most GPUs first; then one replica of a role is traded for fewer GPUs of the
    other. A long trace is searched on evenly spaced stretches of it; the caller confirms the result on all
    of it, and asks for a `larger` fleet where that fails.
    """

    def __init__(
        self,
        workload: Workload,
        layouts: Mapping[Role, LayoutProfile],
        targets: Mapping[str, float],
        simulate: Simulate,
    ) -> None:
        """Take the share of each class that must keep its promise."""
        self._workload = workload
        self._sample = workload if len(workload) <= _WHOLE else stretches(workload, _SAMPLE)
        self._gpus = {role: layout.gpus for role, layout in layouts.items()}
        self._targets = targets
        self._simulate = simulate
        self._known: dict[tuple[int, ...], bool] = {}
        # Whether no count that was tried keeps the promises.
        self.exhausted = False

    def find(self, seed: Counts) -> dict[Role, int]:
        """Return the smallest fleet found, or the seed when no count keeps the promises."""
        counts = dict(seed)
        for _ in range(_MOST_STEPS):
            if self._suffices(counts):
                break
            counts = self.larger(counts)
        else:
            self.exhausted = True
            return dict(seed)
        for role in sorted(counts, key=lambda r: -self._gpus[r]):
            counts = self._shrink(counts, role)
        return self._trade(counts)

    @staticmethod
    def larger(counts: Counts) -> dict[Role, int]:
        """Add a tenth, at least one replica, to every role."""
        return {role: n + max(n // 10, 1) for role, n in counts.items()}

    def _suffices(self, counts: Counts) -> bool:
        key = tuple(counts.values())
        if key not in self._known:
            attained = self._simulate(counts, self._sample)
            self._known[key] = all(
                share is None or share >= self._targets[name] for name, share in attained.items()
            )
        return self._known[key]

    def _shrink(self, counts: dict[Role, int], role: Role) -> dict[Role, int]:
        low, high = 0, counts[role]
        # Sizing is rarely far off: look just below before halving.
        step = 1
        while high - low > 1:
            middle = max(high - step, (low + high) // 2) if step < high - low else (low + high) // 2
            if self._suffices({**counts, role: middle}):
                high, step = middle, step * 2
            else:
                low, step = middle, high - middle
        return {**counts, role: high}

    def _trade(self, counts: dict[Role, int]) -> dict[Role, int]:
        """Try one more replica of a cheap role for one less of a dear one."""
        if len(counts) < 2:
            return counts
        dear, cheap = sorted(counts, key=lambda r: -self._gpus[r])
        for extra in (1, 2):
            traded = {**counts, cheap: counts[cheap] + extra, dear: counts[dear] - 1}
            if traded[dear] >= 1 and extra * self._gpus[cheap] < self._gpus[dear] and self._suffices(traded):
                return traded
        return counts


def stretches(workload: Workload, requests: int) -> Workload:
    """Return evenly spaced stretches of a workload that hold about this many requests together.

    Each is `_STRETCH_S` long and keeps its arrivals; a pause between them lets the fleet run empty, so that
    one stretch does not carry its queue into the next.
    """
    count = max(int(workload.span_s / _STRETCH_S * requests / len(workload)), 1)
    begins = workload.start_s + (np.arange(count) + 0.5) * workload.span_s / count - _STRETCH_S / 2
    parts, shifts = [], []
    for number, begin in enumerate(begins.tolist()):
        first, last = workload.bounds(begin, begin + _STRETCH_S)
        parts.append(np.arange(first, last))
        shifts.append(np.full(last - first, number * (_STRETCH_S + _PAUSE_S) - begin))
    chosen = workload.take(np.concatenate(parts))
    return Workload(
        chosen.arrival_s + np.concatenate(shifts),
        chosen.isl_tokens,
        chosen.osl_tokens,
        chosen.cached_tokens,
        chosen.class_index,
        chosen.class_names,
        chosen.blocks,
    )
