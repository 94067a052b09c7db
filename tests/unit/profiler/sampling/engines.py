"""Make grids, replicas and engines whose times are known, for tests of sampling."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.artifact import EngineLimits, Phase
from models.values import Parallelism, Role
from profiler.measure.backend import Measurement, Refusal, Replica, SweepPoint
from profiler.planning import doubling, geometric, thinned, whole
from profiler.tasks import Grid

TP1 = Parallelism()
CHUNK_TOKENS = 8192
CONTEXTS = thinned(doubling(16, 65_536), 6)
BATCHES = thinned(whole(1024), 12)
PROMPTS = thinned(geometric(16, 65_536), 12)
TOGETHER = thinned(whole(128), 12)

Law = Callable[[float, float], float]


def decode_grid(layout: Parallelism = TP1) -> Grid:
    return Grid(Role.DECODE, layout, Phase.DECODE, CONTEXTS, BATCHES)


def prefill_grid(layout: Parallelism = TP1, prefix_ratio: float = 0.0) -> Grid:
    return Grid(Role.PREFILL, layout, Phase.PREFILL, PROMPTS, TOGETHER, prefix_ratio)


def replica(kv_capacity_tokens: float = 1e9, kv_fixed_tokens: float = 0.0) -> Replica:
    limits = EngineLimits(1024, CHUNK_TOKENS)
    return Replica(limits, kv_capacity_tokens, kv_fixed_tokens, 0.03, 1e-8, "known")


def step_s(tokens: float, batch: float) -> float:
    """A decode step: the device's, with slower tiles from 32 sequences on, or the host's if longer."""
    tiles = 1.0 + 0.08 * (batch >= 32)
    device = (0.002 + 5e-6 * batch) * tiles + 2e-9 * batch * tokens
    return max(device, 0.001 + 15e-6 * batch)


def read_s(tokens: float, batch: float) -> float:
    """Prompts read in chunks: weights, then arithmetic, then pairs of tokens."""
    passes = max(tokens * batch / CHUNK_TOKENS, 1.0)
    per_pass = tokens * batch / passes
    return passes * (0.004 + max(per_pass - 300.0, 0.0) * 9e-6) + batch * tokens**2 * 1e-10


class Engine:
    """Answer by a law, each time off by a factor of `noise_ratio`, but for the points that are `refused`."""

    def __init__(
        self,
        law: Law,
        noise_ratio: float = 0.03,
        seed: int = 0,
        refused: Callable[[SweepPoint], bool] = lambda point: False,
    ) -> None:
        self.asked: list[SweepPoint] = []
        self._law, self._noise_ratio, self._refused = law, noise_ratio, refused
        self._random = np.random.default_rng(seed)

    def __call__(self, point: SweepPoint) -> Measurement | Refusal:
        self.asked.append(point)
        if self._refused(point):
            return Refusal("out of memory")
        seconds = self._law(point.tokens, point.batch) * float(
            np.exp(self._random.normal(0, self._noise_ratio))
        )
        return Measurement(seconds, 1.96 * self._noise_ratio * seconds)


def times(grid: Grid, law: Law) -> NDArray[np.float64]:
    """Return the true times, shape (tokens, batches)."""
    return np.array([[law(x, y) for y in grid.batches] for x in grid.tokens])
