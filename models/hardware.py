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
        """Bytes per element, scales of block formats included (MXFP4 and NVFP4 hold one scale per block)."""
        return {Precision.BF16: 2.0, Precision.FP8: 1.0, Precision.FP4: 0.53}[self]


@dataclass(frozen=True, slots=True)
class Hardware:
    """Hold the published figures of one GPU model and its node.

    Rates are per GPU and one way: `flops_per_s` dense peak by precision, `hbm_bytes_per_s` peak,
    `scaleup_bytes_per_s` inside the NVLink domain of `scaleup_gpus`, `scaleout_bytes_per_s` beyond it.
    `sources` names where each figure was published.
    """

    name: str
    flops_per_s: Mapping[Precision, float]
    hbm_bytes: float
    hbm_bytes_per_s: float
    scaleup_bytes_per_s: float
    scaleout_bytes_per_s: float
    gpus_per_node: int
    scaleup_gpus: int
    sources: Mapping[str, str] = field(default_factory=dict)
