"""Read the tables of Dynamo's profiler (1.4.2): what they say of a replica's prefill and decode."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifact import EngineLimits, MeasuredPoint, Phase
from models.monotone import never_falling
from models.surface import Surface
from models.values import Parallelism

Floats = NDArray[np.float64]

# Where Dynamo keeps them under a profile's folder, and what its planner falls back to.
PREFILL_FILE = "selected_prefill_interpolation/raw_data.npz"
DECODE_FILE = "selected_decode_interpolation/raw_data.npz"
NEAR = 1e-6


@dataclass(frozen=True, slots=True)
class PrefillTable:
    """Hold `selected_prefill_interpolation`: prompt lengths, TTFT in ms, prompt tokens per second and GPU."""

    isl: tuple[float, ...]
    ttft_ms: tuple[float, ...]
    thpt_per_gpu: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class DecodeTable:
    """Hold `selected_decode_interpolation`: share of the KV cache used, context in tokens, ITL in ms, output.

    Point i holds n = kv_usage * max_kv_tokens / context sequences. `thpt_per_gpu` is in output tokens/s.
    """

    kv_usage: tuple[float, ...]
    context: tuple[float, ...]
    itl_ms: tuple[float, ...]
    thpt_per_gpu: tuple[float, ...]
    max_kv_tokens: int


def prefill_points(table: PrefillTable, gpus: int, overhead_s: float = 0.0) -> tuple[MeasuredPoint, ...]:
    """Return a prefill table as measurements of one prompt each; `overhead_s` of TTFT is not the engine's.

    Raises ValueError when that leaves nothing of a TTFT.
    """
    if overhead_s * 1e3 >= min(table.ttft_ms):
        raise ValueError(
            f"an overhead of {overhead_s * 1e3:g} ms leaves nothing of the TTFT of {min(table.ttft_ms):g} ms"
        )
    rows = zip(table.isl, table.ttft_ms, table.thpt_per_gpu, strict=True)
    return tuple(
        MeasuredPoint(Phase.PREFILL, isl, 1.0, ms / 1e3 - overhead_s, tokens_per_s=rate * gpus)
        for isl, ms, rate in rows
    )


def decode_points(table: DecodeTable, gpus: int) -> tuple[MeasuredPoint, ...]:
    """Return a decode table as measurements; batches that are whole but for rounding are made whole."""
    rows = zip(table.kv_usage, table.context, table.itl_ms, table.thpt_per_gpu, strict=True)
    return tuple(
        MeasuredPoint(
            Phase.DECODE,
            context,
            _whole(usage * table.max_kv_tokens / context),
            ms / 1e3,
            tokens_per_s=rate * gpus,
        )
        for usage, context, ms, rate in rows
    )


def told_overhead_s(table: PrefillTable, layout: Parallelism, limits: EngineLimits) -> float:
    """Return the part of TTFT that occupies nothing, where the throughput tells; 0 where it does not.

    A prompt that fills an iteration by itself occupies isl / throughput; what its TTFT has more passes
    outside the engine. The median over such prompts, and at most 99 % of the shortest TTFT.
    """
    rows = list(zip(table.isl, table.ttft_ms, table.thpt_per_gpu, strict=True))
    held = [ms / 1e3 * rate * layout.gpus / n for n, ms, rate in rows]
    if _alone(held) or _abreast(held, layout):
        return 0.0
    more = [ms / 1e3 - n / rate / layout.gpus for n, ms, rate in rows if n >= limits.max_num_batched_tokens]
    return min(max(float(np.median(more)), 0.0), 0.99e-3 * min(table.ttft_ms)) if more else 0.0


def prefill_surface(
    points: Sequence[MeasuredPoint], layout: Parallelism, limits: EngineLimits, overhead_s: float = 0.0
) -> tuple[Surface, str]:
    """Return engine seconds over prompt length by prompts per iteration, and how the second axis was found.

    The table holds TTFT t of a prompt alone and the throughput r, so that a prompt occupies s = isl / r at
    saturation. One prompt at a time (s = t) says nothing of larger iterations: n prompts take n * t. With DP
    attention Dynamo's profiler sends one prompt per rank, s = t / dp: n prompts take max(t, n * s). Any other
    throughput is a bulk server's: an iteration of b prompts, as many as fit, takes b * s, and between 1 and b
    time is linear in n.
    """
    by_length = {p.tokens: p for p in sorted(points, key=lambda p: p.tokens)}
    held = [(p.seconds + overhead_s) * (p.tokens_per_s or 0.0) / n for n, p in by_length.items()]
    alone = _alone(held)
    abreast = _abreast(held, layout)
    batches = _batches(min(by_length), layout, limits)
    rows = []
    for n, point in by_length.items():
        t = point.seconds
        s = t if alone else n / point.tokens_per_s if point.tokens_per_s else t
        full = max(1.0, min(float(limits.max_num_seqs), limits.max_num_batched_tokens / n))
        if alone or abreast or full * s < t:
            rows.append(tuple(max(t, b * s) for b in batches))
        else:
            further = (full * s - t) / (full - 1.0) if full > 1.0 else s
            rows.append(tuple(t + (b - 1.0) * further for b in batches))
    said = (
        "measured one prompt at a time, so that n prompts are taken to last n times as long"
        if alone
        else f"measured with one prompt on each of {layout.dp} ranks"
        if abreast
        else "prompts per iteration from the throughput at saturation"
    )
    values = never_falling(np.array(rows))
    return Surface(tuple(by_length), batches, tuple(_floats(row) for row in values)), said


def _alone(held: Sequence[float]) -> bool:
    """Whether the throughput is that of one prompt after the other: TTFT times rate is one prompt."""
    return all(abs(prompts - 1.0) < NEAR for prompts in held)


def _abreast(held: Sequence[float], layout: Parallelism) -> bool:
    """Whether the throughput is that of one prompt on each attention rank."""
    return layout.dp > 1 and all(abs(prompts / layout.dp - 1.0) < NEAR for prompts in held)


def _batches(shortest: float, layout: Parallelism, limits: EngineLimits) -> tuple[float, ...]:
    """Return the batches of the surface: doubling to what an iteration of the shortest prompts holds."""
    most = max(2.0, min(float(limits.max_num_seqs), limits.max_num_batched_tokens / shortest))
    doubled = [2.0**i for i in range(int(np.log2(most)) + 1)]
    return tuple(sorted({*doubled, most, float(layout.dp)}))


def _whole(value: float) -> float:
    near = float(round(value))
    return near if near >= 1 and abs(value - near) < NEAR * near else value


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
