"""Tell what is served live and what is asked of it: engines, promise, load, and the profile of it all."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.artifact import EngineLimits, LayoutProfile, Machine, ProfileArtifact, Selection
from models.surface import Surface
from models.values import Parallelism, Role
from tests.integration.dynamo_model import MODEL, Timing
from tests.integration.dynamo_stack import Engine

ISL_TOKENS, OSL_TOKENS = 200, 32
TTFT_S, TPOT_S = 1.5, 0.12

# Slow engines: a few requests a second fill several of them, so that two cores can play a fleet.
TIMING = Timing(
    prefill_s=lambda tokens: 0.020 + 1.4e-3 * tokens,
    decode_s=lambda batch, context_tokens: 0.040 + 6e-3 * batch + 2e-7 * batch * context_tokens,
)
# One prompt at a time: a prefill worker of Dynamo 1.4 hands on what it has done only when it falls idle.
ENGINES = {
    Role.PREFILL: Engine(TIMING, workers=0, max_num_seqs=1),
    Role.DECODE: Engine(TIMING, workers=0, max_num_seqs=32),
}
# Frontend, router and hand-over, seen at a lone request.
OVERHEAD_S = 0.06


@dataclass(frozen=True, slots=True)
class Ramp:
    """Load that rests, climbs, stays and falls again; times in seconds, rates in requests a second."""

    low_rps: float
    high_rps: float
    rest_s: float
    climb_s: float
    stay_s: float
    fall_s: float
    after_s: float

    @property
    def lasts_s(self) -> float:
        """Seconds from begin to end."""
        return self.rest_s + self.climb_s + self.stay_s + self.fall_s + self.after_s

    def rate_rps(self, at_s: float) -> float:
        """Return the rate at a time since the begin."""
        corners = np.cumsum([0.0, self.rest_s, self.climb_s, self.stay_s, self.fall_s, self.after_s])
        rates = [self.low_rps, self.low_rps, self.high_rps, self.high_rps, self.low_rps, self.low_rps]
        return float(np.interp(at_s, corners, rates))


def profile() -> ProfileArtifact:
    """Return what a profiler would find: the engines' timing on a grid."""
    isl = (16.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
    alone = [TIMING.prefill_s(n) for n in isl]
    context, batch = (32.0, 128.0, 256.0, 512.0, 1024.0), (1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0)
    prefill = LayoutProfile(
        Role.PREFILL,
        Parallelism(),
        EngineLimits(1, 8192),
        1e6,
        prefill=Surface(isl, (1.0, 2.0), tuple((s, 2 * s) for s in alone)),
        overhead_s=OVERHEAD_S,
    )
    decode = LayoutProfile(
        Role.DECODE,
        Parallelism(),
        EngineLimits(32, 8192),
        1e6,
        decode=Surface(context, batch, _grid(TIMING.decode_s, context, batch)),
    )
    return ProfileArtifact(
        model=MODEL,
        machines=(Machine("gb200", gpus_per_node=4, scaleup_gpus=72),),
        engine="mocker",
        backend="timing table",
        created_at="2026-11-01T00:00:00Z",
        layouts=(prefill, decode),
        selection=Selection(
            {Role.PREFILL: "TP1", Role.DECODE: "TP1"}, {Role.PREFILL: 1, Role.DECODE: 1}, 2, True, "one each"
        ),
    )


def _grid(
    step_s: Callable[[float, float], float], context: tuple[float, ...], batch: tuple[float, ...]
) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(step_s(n, c) for n in batch) for c in context)
