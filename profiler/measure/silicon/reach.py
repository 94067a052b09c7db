"""Find out where the times of a build rest on measurements, from the tables that its operations read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, log
from typing import Any

from models.artifact import Phase
from models.surface import Bounds
from profiler.measure.silicon import database
from profiler.measure.silicon.builds import Build

# Per kind of attention: its table, and the keys that lead to {tokens: {sequences: ...}} (prefill) or to
# {sequences: {tokens: ...}} (decode). A key in {} is a field of the operation, None any key.
_ATTENTION: Mapping[str, tuple[str, Sequence[str | None]]] = {
    "ContextAttention": (
        "context_attention",
        ("fmha_quant_mode", "kv_cache_dtype", "n_kv", "head_size", "window_size", "n"),
    ),
    "ContextMla": ("context_mla", ("fmha_quant_mode", "kv_cache_dtype", "num_heads")),
    "MlaModuleContext": (
        "context_mla_module",
        ("fmha_quant_mode", "kv_cache_dtype", "gemm_quant_mode", "native_num_heads", "num_heads"),
    ),
    "WideEpContextMla": ("wideep_context_mla", (None, "fmha_quant_mode", "kv_cache_dtype", "num_heads")),
    "GenerationAttention": (
        "generation_attention",
        ("kv_cache_dtype", "n_kv", "head_size", "window_size", "n"),
    ),
    "GenerationMla": ("generation_mla", ("kv_cache_dtype", "num_heads")),
    "MlaModuleGeneration": (
        "generation_mla_module",
        ("kv_cache_dtype", "gemm_quant_mode", "native_num_heads", "num_heads"),
    ),
    "WideEpGenerationMla": ("wideep_generation_mla", (None, "kv_cache_dtype", "num_heads")),
}
_EXPERTS = ("topk", "num_experts", "hidden_size", "inter_size", "moe_tp_size", "moe_ep_size")
_SPREAD = ("topk", "num_experts", "num_slots", "hidden_size", "inter_size", None, "moe_ep_size")
# Per kind of operation whose work goes by tokens: the tables that it is read from, the first that has it, and
# the keys that lead to {tokens: ...}.
_TOKENS: Mapping[str, Sequence[tuple[str, Sequence[str | None]]]] = {
    "Gemm": (("gemm", ("quant_mode",)),),
    "Moe": (("moe", ("quant_mode", "workload_distribution", *_EXPERTS)),),
    "MoeExpertCompute": (
        ("moe_ep", (None, "quant_mode", "workload_distribution", "inference_phase", *_SPREAD)),
        ("moe", ("quant_mode", "workload_distribution", *_EXPERTS)),
    ),
    "MoeAllToAll": (
        (
            "moe_a2a",
            ("comm_backend", "phase", "comm_dtype", None, None, "hidden_size", "topk", "num_experts", "sms"),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Reach:
    """Hold what one attention rank's measurements span.

    `sequences` gives, per measured number of prompt or context tokens, the most sequences at which every
    attention kernel of the build was measured; empty where one has no measurements. A pass of up to
    `pass_tokens` tokens lies within what products and experts were measured at.
    """

    sequences: Mapping[int, int]
    pass_tokens: float


def reach(build: Build, phase: Phase) -> Reach:
    """Return what a build's measurements span in one phase."""
    operations = [*_flat(build, phase, build.handle.operations[str(phase)])]
    spans = [s for kind, fields in operations if (s := _attention(build, phase, kind, fields))]
    limits = [_most_tokens(build, kind, fields) for kind, fields in operations]
    return Reach(_common(spans), min(limits, default=inf))


def _common(spans: Sequence[Mapping[int, int]]) -> dict[int, int]:
    """Return the most sequences at the measured lengths that lie within every kernel's span.

    Between two measured lengths the longer one counts.
    """
    if not spans:
        return {}
    shortest, longest = max(min(s) for s in spans), min(max(s) for s in spans)
    lengths = sorted({t for s in spans for t in s if shortest <= t <= longest})
    return {t: min(s[min(known for known in s if known >= t)] for s in spans) for t in lengths}


def decode_bounds(found: Reach, sequences_per_step: int, ranks: int, limit: int) -> Bounds | None:
    """Return the widest rectangle of context by batch of the replica in which all was measured.

    Tables are measured as far as memory went, so the most sequences fall with the context: of the rectangles
    below that edge the one of the largest area in logarithms counts. `limit` is the replica's most sequences.
    """
    most = found.pass_tokens / sequences_per_step
    best, area = None, 0.0
    for tokens in found.sequences:
        per_rank = min(*(n for t, n in found.sequences.items() if t <= tokens), most)
        score = log(tokens + 1) * log(per_rank + 1) if per_rank >= 1 else 0.0
        if score > area:
            best, area = (tokens, per_rank), score
    if best is None:
        return None
    return Bounds((float(min(found.sequences)), float(best[0])), (1.0, float(min(best[1] * ranks, limit))))


def prefill_bounds(found: Reach, chunk_tokens: int, ranks: int, limit: int) -> Bounds | None:
    """Return the rectangle of prompt tokens by prompts of the replica in which all was measured.

    Passes are filled to `chunk_tokens` per rank. Where such a pass was measured, any number of prompts is
    within reach from the shortest prompt on that fills it; else one prompt per rank, as long as was measured.
    """
    if not found.sequences:
        return None
    longest = float(max(found.sequences))
    if found.pass_tokens >= chunk_tokens:
        filling = [t for t, n in found.sequences.items() if t * n >= min(chunk_tokens, longest)]
        return Bounds((float(min(filling)), longest), (1.0, float(limit)))
    shortest = float(min(found.sequences))
    if found.pass_tokens < shortest:
        return None
    return Bounds((shortest, min(longest, found.pass_tokens)), (1.0, float(ranks)))


def _flat(build: Build, phase: Phase, operations: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Go through operations and those inside composed ones, as (kind, fields).

    Of one with a fallback that half counts which was measured.
    """
    for operation in operations:
        for kind, fields in operation.items():
            if kind == "Fallback":
                chosen = [fields["primary"]]
                if not any(_attention(build, phase, k, f) for k, f in _flat(build, phase, chosen)):
                    chosen = fields["fallback"]
                yield from _flat(build, phase, chosen)
                continue
            inner = [each for value in fields.values() for each in _operations(value)]
            if inner:
                yield from _flat(build, phase, inner)
            else:
                yield kind, fields


def _operations(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value]
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _attention(build: Build, phase: Phase, kind: str, fields: Mapping[str, Any]) -> dict[int, int]:
    """Return {tokens: most sequences} of one attention kernel; empty for another kind or one without data."""
    if kind not in _ATTENTION:
        return {}
    name, keys = _ATTENTION[kind]
    # A kernel with as many cache heads as query heads is filed under none.
    asked = {**fields, "n_kv": 0} if fields.get("n_kv") == fields.get("n") else fields
    span: dict[int, int] = {}
    for leaf in _leaves(_table(build, name), [asked.get(k) if k else None for k in keys]):
        for outer, inner in leaf.items():
            for other in inner:
                tokens, sequences = (outer, other) if phase is Phase.PREFILL else (other, outer)
                span[tokens] = max(span.get(tokens, 0), sequences)
    return span


def _most_tokens(build: Build, kind: str, fields: Mapping[str, Any]) -> float:
    """Return the most tokens of a rank at which an operation was measured; no bound where none is known."""
    for name, keys in _TOKENS.get(kind, ()):
        wanted = [fields.get(k) if k else None for k in keys]
        most = max((max(leaf) for leaf in _leaves(_table(build, name), wanted) if leaf), default=0)
        if most:
            # Experts are measured by the tokens of all ranks, the rest by those of one.
            return float(most) / (fields.get("attention_dp_size") or 1)
    return inf


def _table(build: Build, name: str) -> Mapping[Any, Any]:
    return database.table(build.request.system, build.request.backend, name)


def _leaves(table: Mapping[Any, Any], keys: Sequence[Any]) -> Iterator[Mapping[Any, Any]]:
    """Follow keys into nested mappings; None follows all."""
    if not keys:
        yield table
        return
    for key, nested in table.items():
        if keys[0] is None or str(getattr(key, "name", key)) == str(keys[0]):
            yield from _leaves(nested, keys[1:])
