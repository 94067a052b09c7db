"""Find the engine builds of the database that stand for a layout, phase by phase."""

import math
from dataclasses import dataclass, replace

from models.architecture import Architecture
from models.artifact import Phase
from models.values import Parallelism
from profiler.measure.silicon import database
from profiler.measure.silicon.database import Handle, MissingDataError, Request
from profiler.measure.silicon.naming import Names

# Where attention is replicated, experts exchange tokens by these ways (prefill, decode), the preferred first.
# An engine's ordinary collectives come after them: every rank then receives all tokens.
EXCHANGES: dict[str, tuple[tuple[str, str], ...]] = {
    "sglang": (("deepep_ht", "deepep_ll"),),
    "vllm": (("deepep_ht", "deepep_ll"),),
    "trtllm": (("nvlink_two_sided", "nvlink_two_sided"), ("trtllm_deepep_ht", "trtllm_deepep_ll")),
}
# A build answers this or nothing: one sequence of a common length.
PROBE_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Build:
    """Hold one compiled build and what it was compiled from."""

    request: Request
    handle: Handle


@dataclass(frozen=True, slots=True)
class Blend:
    """Hold the builds whose weighted times stand for one phase of a layout.

    One build of weight 1 where the layout's own widths were measured. `note` says what rests on no data,
    empty where everything does. `doublings` counts how often the GPUs double beyond those whose
    communication was measured.
    """

    parts: tuple[tuple[float, Build], ...]
    note: str = ""
    doublings: float = 0.0


def request(names: Names, arch: Architecture, layout: Parallelism, drafts: int) -> Request:
    """Return the request of a layout with the engine's ordinary collectives."""
    moe_ep = layout.ep if arch.experts else 1
    return Request(
        names.model,
        names.system,
        names.backend,
        tp=layout.tp,
        pp=layout.pp,
        dp=layout.dp,
        moe_tp=layout.stage_gpus // moe_ep if arch.experts else 1,
        moe_ep=moe_ep,
        gemm=names.gemm,
        moe=names.moe,
        kv=names.kv,
        fmha=names.fmha,
        drafts=drafts,
    )


def find(wanted: Request, routed: int, phase: Phase) -> tuple[tuple[float, Build], ...]:
    """Return weighted builds for one phase of a layout; raises MissingDataError when the database has none.

    Tried in turn: a measured exchange of tokens, or ordinary collectives as far as they were measured; the
    neighbouring expert widths of that kind (EP48 from EP32 and EP64); ordinary collectives beyond what was
    measured; neighbours of that kind.
    """
    spread = wanted.dp > 1 and wanted.moe_ep == wanted.dp and wanted.tp == 1
    missing = MissingDataError("nothing was measured")
    for measured in (True, False):
        try:
            return ((1.0, _built(wanted, phase, measured)),)
        except MissingDataError as why:
            missing = why
        between = _between(wanted, phase, measured, routed) if spread else None
        if between is not None:
            return between
    raise missing


def _between(
    wanted: Request, phase: Phase, measured: bool, routed: int
) -> tuple[tuple[float, Build], ...] | None:
    """Return the neighbouring expert widths among the powers of two, None where one is missing.

    With the same load per rank, the time of experts goes with how many of them a rank holds: 1/width is
    what is interpolated in.
    """
    widths = [2**n for n in range(1, 11) if 2**n <= routed]
    below = _nearest(wanted, phase, measured, [w for w in reversed(widths) if w < wanted.dp])
    above = _nearest(wanted, phase, measured, [w for w in widths if w > wanted.dp])
    if below is None or above is None:
        return None
    low, high = below.request.dp, above.request.dp
    share = (1 / wanted.dp - 1 / high) / (1 / low - 1 / high)
    return ((share, below), (1.0 - share, above))


def blend(names: Names, arch: Architecture, layout: Parallelism, drafts: int, phase: Phase) -> Blend:
    """Return what stands for one phase of a layout, with what of it is a guess; raises MissingDataError."""
    parts = find(request(names, arch, layout, drafts), arch.experts.routed if arch.experts else 1, phase)
    notes = dict.fromkeys(stood for _, b in parts if (stood := b.handle.stand_in()))
    reasons = [f"{text} stand in for some that were not measured" for text in notes]
    if len(parts) == 2:
        low, high = (b.request.dp for _, b in parts)
        reasons.append(f"EP{layout.ep} lies between EP{low} and EP{high}")
    measured = min(exchange_width(b.request) or collective_width(b.request) for _, b in parts)
    doublings = 0.0
    if layout.stage_gpus > measured:
        reasons.append(f"communication was measured among {measured} GPUs at most")
        doublings = math.log2(layout.stage_gpus / measured)
    return Blend(parts, "; ".join(reasons), doublings)


def collective_width(wanted: Request) -> int:
    """Return among how many GPUs the collectives were measured at most; 1 where none were."""
    counts = {1}
    for by_gpus in database.table(wanted.system, wanted.backend, "custom_allreduce").values():
        counts.update(by_gpus)
    for by_operation in database.table(wanted.system, wanted.backend, "nccl").values():
        for by_gpus in by_operation.values():
            counts.update(by_gpus)
    return max(counts)


def exchange_width(wanted: Request) -> int | None:
    """Return among how many GPUs the exchange of tokens was measured at most, None without one."""
    if wanted.comm is None:
        return None
    held = database.table(wanted.system, wanted.backend, "moe_a2a")
    widths = [
        ep for way in wanted.comm for by_ep in held.get(way, {}).get("dispatch", {}).values() for ep in by_ep
    ]
    return max(widths, default=1)


def _built(wanted: Request, phase: Phase, measured: bool) -> Build:
    """Return the first build that answers; raises MissingDataError.

    `measured` asks for communication within what was measured, else for collectives of any width.
    """
    ways: list[Request] = []
    if measured and wanted.dp > 1 and wanted.moe_ep == wanted.dp and wanted.tp == 1:
        # SGLang reads prompts of DeepSeek in its own 8-bit format where experts are spread wide.
        latent = wanted.backend == "sglang" and wanted.gemm == "fp8_block"
        fmha = "fp8_block" if latent else wanted.fmha
        ways += [replace(wanted, comm=comm, fmha=fmha) for comm in EXCHANGES[wanted.backend]]
    if not measured or wanted.tp * wanted.dp <= collective_width(wanted):
        ways.append(wanted)
    missing = MissingDataError(f"communication was measured among {collective_width(wanted)} GPUs at most")
    for way in ways:
        try:
            return _probed(way, phase)
        except MissingDataError as why:
            missing = why
    raise missing


def _nearest(wanted: Request, phase: Phase, measured: bool, widths: list[int]) -> Build | None:
    """Return the first of these expert widths that has a build."""
    for width in widths:
        try:
            return _built(replace(wanted, dp=width, moe_ep=width), phase, measured)
        except MissingDataError:
            continue
    return None


def _probed(wanted: Request, phase: Phase) -> Build:
    """Compile and ask one point: what is missing shows only then."""
    build = Build(wanted, database.build(wanted))
    if phase is Phase.PREFILL:
        build.handle.prefill_s(1, PROBE_TOKENS, 0)
    else:
        build.handle.decode_s(1, PROBE_TOKENS)
    return build
