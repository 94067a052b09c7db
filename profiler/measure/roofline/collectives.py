"""Time the communication inside a replica during one iteration, in seconds."""

import math

from models.architecture import Architecture
from models.hardware import Hardware, Precision
from models.values import Parallelism
from profiler.measure.roofline.iteration import Iteration


def collectives_s(
    arch: Architecture, hardware: Hardware, latency_s: float, layout: Parallelism, work: Iteration
) -> float:
    """Return the seconds of all collectives of one iteration.

    After attention: an all-reduce over TP. After the MLP: an all-reduce over the GPUs where all hold the
    same tokens (TP, TEP), a dispatch and a combine where each rank has its own (DEP).
    """
    link = hardware.link_bytes_per_s(layout.stage_gpus)
    activation = work.rank_tokens * arch.hidden * Precision.BF16.bytes
    reduce_tp = all_reduce_s(activation, layout.tp, link, latency_s)
    if layout.dp == 1:
        return 2 * arch.layers * reduce_tp
    exchanged = dispatch_combine_s(arch, layout, work.rank_tokens, link, latency_s)
    return arch.layers * (reduce_tp + exchanged)


def all_reduce_s(bytes_: float, ranks: int, link_bytes_per_s: float, latency_s: float) -> float:
    """Return one all-reduce: 2(n-1)/n of the data over the link, latency growing with log2 n."""
    if ranks == 1:
        return 0.0
    return 2.0 * (ranks - 1) / ranks * bytes_ / link_bytes_per_s + latency_s * math.log2(ranks)


def dispatch_combine_s(
    arch: Architecture, layout: Parallelism, rank_tokens: float, link_bytes_per_s: float, latency_s: float
) -> float:
    """Return one dispatch and one combine among the replica's ranks.

    A token goes once to each distinct rank that holds one of its experts: n(1 - (1 - 1/n)^active) ranks,
    its own among them, in the experts' activation format on the way out and in bf16 back.
    """
    ranks = layout.stage_gpus
    active = arch.experts.active if arch.experts else 1
    outward = arch.experts.activation_precision.bytes if arch.experts else Precision.BF16.bytes
    copies = ranks * (1.0 - (1.0 - 1.0 / ranks) ** active) * (ranks - 1) / ranks
    bytes_ = rank_tokens * arch.hidden * copies * (outward + Precision.BF16.bytes)
    return bytes_ / link_bytes_per_s + 2.0 * latency_s * math.log2(ranks)
