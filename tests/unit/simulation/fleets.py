"""Build layouts with surfaces that a person can compute by hand, and fleets of them."""

from collections.abc import Mapping

from models.artifact import EngineLimits, LayoutProfile
from models.simulation.failures import Failures
from models.simulation.fleet import Fleet, FleetPlan
from models.simulation.workload import Workload
from models.surface import Surface
from models.values import Parallelism, Role, Router

AMPLE = 1e12


def prefill(
    s_per_token: float,
    fixed_s: float = 0.0,
    batched_tokens: int = 10**9,
    seqs: int = 10**6,
    overhead_s: float = 0.0,
    handover_s_per_token: float = 0.0,
    kv_tokens: float = AMPLE,
) -> LayoutProfile:
    """Make a TP1 prefill layout: `fixed_s` an iteration and `s_per_token` a token, linear everywhere."""
    x, y = (1.0, 100_000.0), (1.0, 1000.0)
    values = tuple(tuple(fixed_s + s_per_token * a * b for b in y) for a in x)
    return LayoutProfile(
        Role.PREFILL,
        Parallelism(),
        EngineLimits(seqs, batched_tokens),
        kv_tokens,
        prefill=Surface(x, y, values),
        overhead_s=overhead_s,
        handover_s_per_token=handover_s_per_token,
    )


def decode(
    base_s: float,
    per_sequence_s: float = 0.0,
    per_token_s: float = 0.0,
    seqs: int = 10**6,
    kv_tokens: float = AMPLE,
    tp: int = 4,
) -> LayoutProfile:
    """Make a decode layout whose step takes base + n * per_sequence + context * n * per_token seconds."""
    x, y = (1.0, 100_000.0), (1.0, 10_000.0)
    values = tuple(tuple(base_s + n * (per_sequence_s + c * per_token_s) for n in y) for c in x)
    return LayoutProfile(
        Role.DECODE, Parallelism(tp=tp), EngineLimits(seqs, 8192), kv_tokens, decode=Surface(x, y, values)
    )


def aggregated(
    s_per_token: float,
    base_s: float,
    per_sequence_s: float = 0.0,
    batched_tokens: int = 8192,
    seqs: int = 10**6,
) -> LayoutProfile:
    """Make a TP1 layout that does both, of the two surfaces above."""
    both = prefill(s_per_token)
    return LayoutProfile(
        Role.AGGREGATED,
        Parallelism(),
        EngineLimits(seqs, batched_tokens),
        AMPLE,
        prefill=both.prefill,
        decode=decode(base_s, per_sequence_s).decode,
    )


def fleet(
    workload: Workload,
    layouts: Mapping[Role, LayoutProfile],
    replicas: Mapping[Role, int] | None = None,
    startup_s: float = 10.0,
    router: Router = Router.LOAD,
    seed: int = 0,
    failures: Failures | None = None,
) -> Fleet:
    """Open a fleet, one replica a role where nothing else is said."""
    counts = dict.fromkeys(layouts, 1) if replicas is None else replicas
    times = dict.fromkeys(layouts, startup_s)
    return Fleet(workload, FleetPlan(layouts, counts, times, router, seed, failures))


def pair(front: LayoutProfile, back: LayoutProfile) -> dict[Role, LayoutProfile]:
    """Name a prefill and a decode layout by role."""
    return {Role.PREFILL: front, Role.DECODE: back}
