"""Turn layouts into the tables of Dynamo's profiler and mocker (1.4.2), and the profiler's into layouts.

Files are read and written in `profiler.exchange.files`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifact import EngineLimits, LayoutProfile, MeasuredPoint, Phase
from models.capacity.prefill import full_batch
from models.surface import Surface
from models.values import Parallelism
from profiler.fitting import never_falling

Floats = NDArray[np.float64]

# Dynamo's profiler decodes 500 tokens per point; a batch must hold its sequences to their ends.
OSL_TOKENS = 500.0
# Lines of the mocker's table each way, as many as Dynamo's own converter makes.
MOCKER_LINES = 100
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


@dataclass(frozen=True, slots=True)
class MockerTable:
    """Hold the mocker's timing table: prefill over prompt tokens, ITL over tokens in the cache by context.

    Both are engine times: the frontend before the mocker adds its own.
    """

    isl: tuple[float, ...]
    ttft_ms: tuple[float, ...]
    kv_tokens: tuple[float, ...]
    context: tuple[float, ...]
    itl_ms: tuple[tuple[float, ...], ...]


def prefill_table(layout: LayoutProfile, most_tokens: float = float("inf")) -> PrefillTable:
    """Return a prefill layout as Dynamo keeps it, at the lengths of its surface up to `most_tokens`.

    TTFT is that of one prompt alone. Throughput is what one GPU sustains with full iterations: what a
    planner divides demand by.
    """
    surface = _needed(layout.prefill, layout, "prefill")
    isl = [float(n) for n in dict.fromkeys(round(x) for x in surface.x) if 0 < n <= most_tokens]
    ttft = [(surface.at(n, 1.0) + layout.overhead_s) * 1e3 for n in isl]
    rate = []
    for n in isl:
        batch = min(full_batch(layout, n), max(surface.y[-1], 1.0))
        rate.append(n * batch / surface.at(n, batch) / layout.gpus)
    return PrefillTable(tuple(isl), tuple(ttft), tuple(rate))


def decode_table(
    layout: LayoutProfile, most_tokens: float = float("inf"), osl_tokens: float = OSL_TOKENS
) -> DecodeTable:
    """Return a decode layout as Dynamo keeps it: the points of its surface that engine and KV cache can hold.

    A context of c tokens stands for prompts of c - osl/2; contexts reach to `most_tokens` of prompt.
    """
    surface = _needed(layout.decode, layout, "decode")
    room = int(layout.kv_capacity_tokens)
    points = []
    for context in dict.fromkeys(round(x) for x in surface.x):
        longest = context + osl_tokens / 2 + layout.kv_fixed_tokens
        if context <= 0 or context > most_tokens + osl_tokens / 2:
            continue
        most = min(float(layout.limits.max_num_seqs), room / longest)
        points += [
            (float(context), float(n)) for n in dict.fromkeys(round(y) for y in surface.y) if 1 <= n <= most
        ]
    itl = [surface.at(context, n) for context, n in points]
    return DecodeTable(
        tuple(context * n / room for context, n in points),
        tuple(context for context, _ in points),
        tuple(s * 1e3 for s in itl),
        tuple(n / s / layout.gpus for (_, n), s in zip(points, itl, strict=True)),
        room,
    )


def kept_prefill_table(layout: LayoutProfile, most_tokens: float = float("inf")) -> PrefillTable:
    """Return the prefill table that a layout was imported from, out of its measured points."""
    points = [p for p in layout.measured if p.phase is Phase.PREFILL and p.tokens <= most_tokens]
    return PrefillTable(
        tuple(p.tokens for p in points),
        tuple((p.seconds + layout.overhead_s) * 1e3 for p in points),
        tuple((p.tokens_per_s or 0.0) / layout.gpus for p in points),
    )


def kept_decode_table(
    layout: LayoutProfile, most_tokens: float = float("inf"), osl_tokens: float = OSL_TOKENS
) -> DecodeTable:
    """Return the decode table that a layout was imported from, out of its measured points."""
    longest = most_tokens + osl_tokens / 2
    points = [p for p in layout.measured if p.phase is Phase.DECODE and p.tokens <= longest]
    room = int(layout.kv_capacity_tokens)
    return DecodeTable(
        tuple(p.tokens * p.batch / room for p in points),
        tuple(p.tokens for p in points),
        tuple(p.seconds * 1e3 for p in points),
        tuple((p.tokens_per_s or 0.0) / layout.gpus for p in points),
        room,
    )


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


def mocker_table(prefill: LayoutProfile, decode: LayoutProfile) -> MockerTable:
    """Return the timing table of Dynamo's mocker for a pair of layouts; it reads the table bilinearly.

    A batch of n sequences with c tokens each stands at kv = n * c and context c. Places with less in
    the cache than one sequence's context hold the time of one sequence.
    """
    surface = _needed(decode.decode, decode, "decode")
    prompts = _needed(prefill.prefill, prefill, "prefill")
    most = min(float(decode.limits.max_num_seqs), surface.y[-1])
    context = np.geomspace(surface.x[0], max(surface.x[-1], surface.x[0] * 2), MOCKER_LINES)
    room = min(decode.kv_capacity_tokens, most * float(context[-1]))
    kv = np.geomspace(min(float(context[0]), room / 2), room, MOCKER_LINES)
    itl = tuple(
        tuple(surface.at(float(c), min(max(float(k / c), 1.0), most)) * 1e3 for c in context) for k in kv
    )
    alone = tuple(prompts.at(n, 1.0) * 1e3 for n in prompts.x)
    return MockerTable(prompts.x, alone, _floats(kv), _floats(context), itl)


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


def _needed(surface: Surface | None, layout: LayoutProfile, phase: str) -> Surface:
    if surface is None:
        raise ValueError(f"layout {layout.key} has no {phase} surface")
    return surface


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
