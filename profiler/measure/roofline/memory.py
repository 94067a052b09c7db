"""Count what lies in memory and what one iteration moves, in bytes on the busiest GPU."""

from dataclasses import dataclass

from models.architecture import Architecture
from models.engine import Engine
from models.hardware import Hardware, Precision
from models.values import Parallelism
from profiler.measure.roofline.compute import Parts, busiest_share
from profiler.measure.roofline.iteration import Iteration


@dataclass(frozen=True, slots=True)
class Budget:
    """Split one GPU's memory: weights, reserve, and the rest for the KV cache (below 0: it does not fit)."""

    weights_bytes: float
    reserve_bytes: float
    kv_bytes: float


def gpu_budget(arch: Architecture, hardware: Hardware, engine: Engine, layout: Parallelism) -> Budget:
    """Return how one GPU of a replica of this layout is filled."""
    weights = weight_bytes_per_gpu(arch, layout)
    reserve = hardware.hbm_bytes * engine.memory_reserve_ratio
    return Budget(weights, reserve, hardware.hbm_bytes - weights - reserve)


def weight_bytes_per_gpu(arch: Architecture, layout: Parallelism) -> float:
    """Return the weights that one GPU holds.

    Attention is split over TP and copied over DP; dense MLPs, shared experts, embedding and head are split
    over all GPUs of a stage; routed experts lie whole on EP ranks, in slots of equal number (a width that
    does not divide the experts fills the rest with copies). The largest pipeline stage counts, with the
    embedding before the first and the head behind the last.
    """
    bytes_ = arch.weight_precision.bytes
    attention = arch.layers * arch.attention.parameters(arch.hidden) * bytes_ / layout.tp
    mlp = arch.dense_layers * arch.mlp_parameters() * bytes_ / layout.stage_gpus
    ends = 2.0 * arch.vocabulary * arch.hidden * Precision.BF16.bytes / layout.stage_gpus / min(layout.pp, 2)
    staged = stage_share(arch, layout)
    if arch.experts is None:
        return (attention + mlp) * staged + ends
    experts = arch.experts
    one = _expert_bytes(arch)
    slices = layout.tp * layout.dp / layout.ep
    routed = expert_slots(experts.routed, layout.ep) * one / slices
    return (attention + mlp + experts.shared * one / layout.stage_gpus + routed) * staged + ends


def stage_share(arch: Architecture, layout: Parallelism) -> float:
    """Return the share of the layers that the largest pipeline stage holds."""
    return -(-arch.layers // layout.pp) / arch.layers


def expert_slots(routed: int, ep: int) -> int:
    """Return the experts that one EP rank holds."""
    return -(-routed // ep)


def kv_bytes_per_token(arch: Architecture, layout: Parallelism) -> float:
    """Return the cache bytes that one token takes on one GPU in the layers that see the whole context."""
    per_layer = arch.attention.kv_elements() * arch.kv_precision.bytes
    return arch.full_layers * per_layer * arch.attention.kv_share(layout.tp) * stage_share(arch, layout)


def kv_fixed_tokens(arch: Architecture) -> float:
    """Return what sliding-window layers take per sequence, in tokens of the layers without a window."""
    return arch.attention.windowed_layers * arch.attention.window_tokens / max(arch.full_layers, 1)


def traffic_bytes(arch: Architecture, layout: Parallelism, work: Iteration) -> Parts:
    """Return the bytes read from memory in one iteration: weights touched and KV cache."""
    bytes_, gpus = arch.weight_precision.bytes, layout.stage_gpus
    kv = arch.attention.kv_elements() * arch.kv_precision.bytes * arch.attention.kv_share(layout.tp)
    shared = arch.experts.shared * _expert_bytes(arch) if arch.experts else 0.0
    slices = layout.tp * layout.dp / layout.ep
    return Parts(
        projections=arch.layers * arch.attention.parameters(arch.hidden) * bytes_ / layout.tp,
        full_attention=arch.full_layers * work.full_reads * kv,
        window_attention=arch.attention.windowed_layers * work.window_reads * kv,
        mlp=(arch.dense_layers * arch.mlp_parameters() * bytes_ + shared) / gpus,
        experts=touched_experts(arch, layout, work.tokens) * _expert_bytes(arch) / slices,
        head=arch.vocabulary * arch.hidden * Precision.BF16.bytes / gpus,
    )


def touched_experts(arch: Architecture, layout: Parallelism, tokens: float) -> float:
    """Return the expected distinct experts per layer that `tokens` tokens reach on the busiest EP rank.

    With uniform routing a token misses an expert with probability 1 - active/routed.
    """
    experts = arch.experts
    if experts is None:
        return 0.0
    slots = expert_slots(experts.routed, layout.ep)
    hit = 1.0 - (1.0 - experts.active / experts.routed) ** tokens
    return min(busiest_share(slots * hit, layout.ep), float(slots))


def _expert_bytes(arch: Architecture) -> float:
    """Return the bytes of one expert over all layers that have it."""
    if arch.experts is None:
        return 0.0
    return arch.moe_layers * arch.expert_parameters() * arch.experts.precision.bytes
