"""Describe an accelerator and the machine around it, as data with sources."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Precision(StrEnum):
    """Number format of weights, activations or KV cache."""

    BF16 = "bf16"
    FP8 = "fp8"
    FP4 = "fp4"

    @property
    def bytes(self) -> float:
        """Bytes per element; MXFP4 and NVFP4 hold one 8-bit scale per block of 32 or 16, FP8 per 128."""
        return {Precision.BF16: 2.0, Precision.FP8: 1.0, Precision.FP4: 0.53125}[self]


@dataclass(frozen=True, slots=True)
class Hardware:
    """Hold the published figures of one GPU model and its node.

    Rates are per GPU and one way: `flops_per_s` dense peak by precision, `hbm_bytes_per_s` peak,
    `scaleup_bytes_per_s` inside the NVLink domain of `scaleup_gpus`, `scaleout_bytes_per_s` beyond it.
    `matmul_reached_ratio` and `hbm_reached_ratio` are the shares of the peaks that large dense products
    and streaming reads reach. `sources` names where each figure was published.
    """

    name: str
    flops_per_s: Mapping[Precision, float]
    matmul_reached_ratio: float
    hbm_bytes: float
    hbm_bytes_per_s: float
    hbm_reached_ratio: float
    scaleup_bytes_per_s: float
    scaleout_bytes_per_s: float
    gpus_per_node: int
    scaleup_gpus: int
    sources: Mapping[str, str] = field(default_factory=dict)

    def matmul_flops_per_s(self, stored: Precision, activation: Precision) -> float:
        """Return the dense peak at which weights of one format meet activations of another.

        Tensor cores run at the wider of the two. A weight format that the GPU cannot multiply is widened
        to bf16 first (so do engines that serve MXFP4 on Hopper).
        """
        if stored not in self.flops_per_s or activation not in self.flops_per_s:
            return self.flops_per_s[Precision.BF16]
        return min(self.flops_per_s[stored], self.flops_per_s[activation])

    def link_bytes_per_s(self, gpus: int) -> float:
        """Return the one-way bandwidth per GPU among `gpus` GPUs that are packed together."""
        return self.scaleup_bytes_per_s if gpus <= self.scaleup_gpus else self.scaleout_bytes_per_s
