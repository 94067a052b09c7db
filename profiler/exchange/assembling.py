"""Put an artifact together from what was measured elsewhere and what cards or a person say of the replica."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from models import scattered
from models.artifact import (
    EngineLimits,
    LayoutProfile,
    Machine,
    MeasuredPoint,
    Phase,
    ProfileArtifact,
    Selection,
)
from models.dynamo_tables import (
    DecodeTable,
    PrefillTable,
    decode_points,
    prefill_points,
    prefill_surface,
    told_overhead_s,
)
from models.engine import Serving
from models.errors import InputError
from models.surface import Surface
from models.values import Parallelism, Role
from profiler.exchange.measurements import Key
from profiler.measure.backend import Refusal, Replica

DYNAMO, CSV = "dynamo", "csv"
# Points of one sweep state their prefix share to this much.
SAME_SHARE = 1e-3


@dataclass(frozen=True, slots=True)
class Setting:
    """Say what the files do not: the model, the hardware by role, and what one replica holds.

    `describe` asks the cards for a replica, `None` where they are not known. `limits` are per attention rank
    and `kv_tokens` per replica by layout name; both go before the cards. `overhead_s` of each TTFT passes
    outside the engine; `None` where only the files can tell.
    """

    model: str
    engine: str
    machines: tuple[Machine, ...]
    hardware: Mapping[Role, str]
    describe: Callable[[Role, Parallelism, str], Replica | Refusal | None]
    limits: EngineLimits | None = None
    kv_tokens: Mapping[str, float] = field(default_factory=dict)
    overhead_s: float | None = None


def from_dynamo(
    tables: tuple[PrefillTable, DecodeTable],
    layouts: tuple[Parallelism, Parallelism],
    setting: Setting,
    created_at: str,
) -> ProfileArtifact:
    """Build the profile of one prefill and one decode layout from the tables of Dynamo's profiler.

    The points are kept as they are: exporting the profile gives the same tables. Raises InputError when the
    tables or the setting do not suffice.
    """
    (prefill, decode), (reads, writes) = tables, layouts
    room = float(decode.max_kv_tokens)
    first = _replica(setting, Role.PREFILL, reads, "", fallback_kv=room)
    second = _replica(setting, Role.DECODE, writes, "", kv=room)
    if setting.overhead_s is None:
        first = replace(first, overhead_s=told_overhead_s(prefill, reads, first.limits))
    try:
        prompts = prefill_points(prefill, reads.gpus, first.overhead_s)
        surface, said = prefill_surface(prompts, reads, first.limits, first.overhead_s)
        sampled = scattered.surface(Phase.DECODE, decode_points(decode, writes.gpus))
    except ValueError as error:
        raise InputError(f"Dynamo's tables: {error}") from None
    served = (
        replace(
            first.profile(Role.PREFILL, reads, {Phase.PREFILL: surface}),
            provenance=f"Dynamo profile, {said}",
            hardware=setting.hardware[Role.PREFILL],
            measured=tuple(point.against(surface) for point in prompts),
        ),
        replace(
            _seen(second, sampled.measured, setting).profile(
                Role.DECODE, writes, {Phase.DECODE: sampled.surface}
            ),
            provenance=f"Dynamo profile, monotone fit to {len(sampled.measured)} points",
            hardware=setting.hardware[Role.DECODE],
            measured=sampled.measured,
        ),
    )
    return _artifact(served, setting, DYNAMO, created_at, Serving())


def from_points(
    found: Mapping[Key, tuple[MeasuredPoint, ...]], setting: Setting, created_at: str
) -> ProfileArtifact:
    """Build a profile from measurements by layout; raises InputError when something lacks."""
    served = []
    _check_overheads(found)
    for key, points in found.items():
        replica = _replica(setting, key.role, key.layout, key.hardware)
        if setting.overhead_s is None and key.overhead_s is not None:
            replica = replace(replica, overhead_s=key.overhead_s)
        surfaces: dict[Phase, Surface] = {}
        measured: list[MeasuredPoint] = []
        for phase in dict.fromkeys(p.phase for p in points):
            try:
                sampled = scattered.surface(phase, [p for p in points if p.phase is phase])
            except ValueError as error:
                raise InputError(f"{key.name}: {error}") from None
            surfaces[phase] = sampled.surface
            measured += sampled.measured
        said = f"{len(measured)} measured points" if measured else "a surface's own values"
        try:
            profile = _seen(replica, points, setting).profile(key.role, key.layout, surfaces)
        except ValueError as error:
            raise InputError(f"{error}; add points of that phase") from None
        served.append(
            replace(
                profile,
                provenance=f"imported from CSV: {said}",
                hardware=key.hardware or setting.hardware[key.role],
                measured=tuple(measured),
            )
        )
    return _artifact(tuple(served), setting, CSV, created_at, Serving(prefix_ratio=_prefix_ratio(found)))


def _check_overheads(found: Mapping[Key, tuple[MeasuredPoint, ...]]) -> None:
    """Raise InputError where the rows of one layout state two overheads."""
    stated: dict[tuple[str, str], Key] = {}
    for key in found:
        first = stated.setdefault((key.name, key.hardware), key)
        if first is not key:
            raise InputError(
                f"{key.name}: overhead_s is {first.overhead_s} in some rows and {key.overhead_s} in others; "
                "write the same in all rows of a layout"
            )


def _prefix_ratio(found: Mapping[Key, tuple[MeasuredPoint, ...]]) -> float:
    """Return the share of the prompt that all prefill points found cached."""
    shares = {
        p.cached_tokens / (p.cached_tokens + p.tokens): key.name
        for key, points in found.items()
        for p in points
        if p.phase is Phase.PREFILL
    }
    if not shares:
        return 0.0
    low, high = min(shares), max(shares)
    if high - low > SAME_SHARE:
        raise InputError(
            f"prefill points with {low:.3g} of the prompt cached ({shares[low]}) and with {high:.3g} "
            f"({shares[high]}): a profile holds one share; import them one by one"
        )
    return high


def _replica(
    setting: Setting,
    role: Role,
    layout: Parallelism,
    hardware: str,
    kv: float | None = None,
    fallback_kv: float | None = None,
) -> Replica:
    """Return what holds for a replica: what is stated, else what the cards say, else `fallback_kv`.

    `kv` is a capacity that the files themselves hold. Raises InputError that says what to state.
    """
    described = setting.describe(role, layout, hardware or setting.hardware[role])
    from_cards = described if isinstance(described, Replica) else None
    ranks = layout.dp * layout.pp
    stated = setting.limits and EngineLimits(
        setting.limits.max_num_seqs * ranks, setting.limits.max_num_batched_tokens * layout.dp
    )
    limits = stated or (from_cards.limits if from_cards else None)
    room = setting.kv_tokens.get(layout.name, kv)
    if room is None:
        room = from_cards.kv_capacity_tokens if from_cards else fallback_kv
    if limits is None or room is None:
        lacks = [
            *(["--max-num-seqs and --max-num-batched-tokens"] if limits is None else []),
            *([f"--kv-tokens {layout.name}=N"] if room is None else []),
        ]
        why = described.reason if isinstance(described, Refusal) else "model or engine has no card"
        raise InputError(
            f"{role}={layout}: the cards do not say what a replica holds ({why}); give {' and '.join(lacks)}"
        )
    own = kv is None and layout.name not in setting.kv_tokens and from_cards is not None
    return Replica(
        limits=limits,
        kv_capacity_tokens=room,
        # The fixed part goes with the card's capacity: other sources count it inside theirs.
        kv_fixed_tokens=from_cards.kv_fixed_tokens if own and from_cards else 0.0,
        overhead_s=0.0 if role is Role.DECODE else setting.overhead_s or 0.0,
        handover_s_per_token=from_cards.handover_s_per_token if from_cards and role is Role.PREFILL else 0.0,
        kv_bytes_per_token=from_cards.kv_bytes_per_token if from_cards else 0.0,
        provenance="",
    )


def _seen(replica: Replica, points: tuple[MeasuredPoint, ...], setting: Setting) -> Replica:
    """Widen the limit on sequences to the largest batch that was measured, unless it was stated."""
    most = max((p.batch for p in points if p.phase is Phase.DECODE), default=0.0)
    limits = replica.limits
    if setting.limits is not None or most <= limits.max_num_seqs:
        return replica
    return replace(replica, limits=EngineLimits(round(most), limits.max_num_batched_tokens))


def _artifact(
    layouts: tuple[LayoutProfile, ...], setting: Setting, backend: str, created_at: str, serving: Serving
) -> ProfileArtifact:
    return ProfileArtifact(
        model=setting.model,
        machines=setting.machines,
        engine=setting.engine,
        backend=backend,
        created_at=created_at,
        layouts=layouts,
        selection=_only(layouts),
        serving=serving,
    )


def _only(layouts: tuple[LayoutProfile, ...]) -> Selection | None:
    """Select the only layout of each role, so that sizing need not be told; none where there is a choice."""
    held = Counter(layout.role for layout in layouts)
    names = {layout.role: layout.parallelism.name for layout in layouts if held[layout.role] == 1}
    apart: dict[Role, str] = {role: names[role] for role in (Role.PREFILL, Role.DECODE) if role in names}
    together: dict[Role, str] = {role: name for role, name in names.items() if role is Role.AGGREGATED}
    chosen, other = (apart, together) if len(apart) == 2 else (together, {})
    if not chosen:
        return None
    gpus = {layout.role: layout.gpus for layout in layouts}
    return Selection(
        layouts=chosen,
        replicas=dict.fromkeys(chosen, 1),
        gpus=sum(gpus[role] for role in chosen),
        feasible=True,
        why="the only layout of each role that was imported; no load was asked for",
        alternatives=other,
    )
