"""Time the arithmetic of one iteration on its busiest GPU, in seconds, part by part."""

import math
from dataclasses import dataclass

from models.architecture import Architecture
from models.hardware import Hardware, Precision
from models.values import Parallelism
from profiler.measure.roofline.iteration import Iteration


@dataclass(frozen=True, slots=True)
class Parts:
    """Hold one number per part of a transformer, summed over layers, for the busiest GPU."""

    projections: float
    full_attention: float
    window_attention: float
    mlp: float
    experts: float
    head: float

    def paired(self, other: "Parts") -> list[tuple[float, float]]:
        """Pair each part with the same part of another."""
        return [
            (self.projections, other.projections),
            (self.full_attention, other.full_attention),
            (self.window_attention, other.window_attention),
            (self.mlp, other.mlp),
            (self.experts, other.experts),
            (self.head, other.head),
        ]


def compute_s(
    arch: Architecture, hardware: Hardware, expert_ratio: float, layout: Parallelism, work: Iteration
) -> Parts:
    """Return the seconds of matrix products; pure arithmetic, no traffic.

    Dense products reach the hardware's share of its peak, grouped products of routed experts the engine's.
    Attention scores and the output head run in bf16.
    """
    reached, gpus = hardware.matmul_reached_ratio, layout.stage_gpus
    dense = hardware.matmul_flops_per_s(arch.weight_precision, arch.weight_precision) * reached
    bf16 = hardware.flops_per_s[Precision.BF16] * reached
    pair_s = work.pair_flops / layout.tp / bf16
    projected = arch.layers * arch.attention.parameters(arch.hidden)
    always = arch.dense_layers * arch.mlp_parameters()
    if arch.experts is not None:
        always += arch.moe_layers * arch.experts.shared * arch.expert_parameters()
    return Parts(
        projections=2.0 * work.rank_tokens / layout.tp * projected / dense,
        full_attention=arch.full_layers * work.full_pairs * pair_s,
        window_attention=arch.attention.windowed_layers * work.window_pairs * pair_s,
        mlp=2.0 * work.tokens / gpus * always / dense,
        experts=_experts_s(arch, hardware, expert_ratio, layout, work.tokens),
        head=2.0 * work.sequences / gpus * arch.vocabulary * arch.hidden / bf16,
    )


def busiest_share(mean: float, ranks: int) -> float:
    """Return the expected load of the busiest of `ranks` ranks whose loads are random with this mean.

    The maximum of n Poisson-like counts lies about sqrt(2 ln n) standard deviations up.
    """
    return mean + math.sqrt(2.0 * mean * math.log(ranks)) if ranks > 1 else mean


def _experts_s(
    arch: Architecture, hardware: Hardware, ratio: float, layout: Parallelism, tokens: float
) -> float:
    experts = arch.experts
    if experts is None:
        return 0.0
    visits = min(busiest_share(tokens * experts.active / layout.ep, layout.ep), tokens * experts.active)
    slices = layout.tp * layout.dp / layout.ep
    flops = 2.0 * visits / slices * arch.moe_layers * arch.expert_parameters()
    return flops / hardware.matmul_flops_per_s(experts.precision, experts.activation_precision) / ratio
