"""Turn layouts into the tables of Dynamo's profiler and mocker (1.4.2).

`models.dynamo_tables` goes the other way; files are written in `profiler.exchange.files`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile, Phase
from models.capacity.prefill import full_batch
from models.dynamo_tables import DecodeTable, PrefillTable
from models.surface import Surface

Floats = NDArray[np.float64]

# Dynamo's profiler decodes 500 tokens per point; a batch must hold its sequences to their ends.
OSL_TOKENS = 500.0
# Lines of the mocker's table each way, as many as Dynamo's own converter makes.
MOCKER_LINES = 100


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


def _needed(surface: Surface | None, layout: LayoutProfile, phase: str) -> Surface:
    if surface is None:
        raise ValueError(f"layout {layout.key} has no {phase} surface")
    return surface


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
