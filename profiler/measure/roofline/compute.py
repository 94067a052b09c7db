"""Time the arithmetic of one iteration on its busiest GPU, in seconds, part by part."""

import math
from dataclasses import dataclass

from models.architecture import Architecture, Experts
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
    arch: Architecture, hardware: Hardware, ratio: float, layout: Parallelism, work: Iteration
) -> Parts:
    """Return the seconds of matrix products at `ratio` of the dense peak; pure arithmetic, no traffic."""
    attention, gpus = arch.attention, layout.gpus
    weights = hardware.matmul_flops_per_s(arch.weight_precision, arch.weight_precision) * ratio
    bf16 = hardware.flops_per_s[Precision.BF16] * ratio
    pair_s = work.pair_flops / layout.tp / bf16
    shared = arch.experts.shared if arch.experts else 0
    projected = arch.layers * attention.parameters(arch.hidden)
    mlp_flops = 2.0 * work.tokens / gpus * arch.dense_layers * arch.mlp_parameters()
    shared_flops = 2.0 * work.tokens / gpus * arch.moe_layers * shared * arch.expert_parameters()
    return Parts(
        projections=2.0 * work.rank_tokens / layout.tp * projected / weights,
        full_attention=arch.full_layers * work.full_pairs * pair_s,
        window_attention=attention.windowed_layers * work.window_pairs * pair_s,
        mlp=mlp_flops / weights + shared_flops / _expert_rate(arch.experts, hardware, ratio, weights),
        experts=_experts_s(arch, hardware, ratio, layout, work.tokens),
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
    return flops / _expert_rate(experts, hardware, ratio, math.inf)


def _expert_rate(experts: Experts | None, hardware: Hardware, ratio: float, without: float) -> float:
    if experts is None:
        return without
    return hardware.matmul_flops_per_s(experts.precision, experts.activation_precision) * ratio
