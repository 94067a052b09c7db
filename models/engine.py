"""Describe a serving engine: its limits, and the constants that turn a roofline into its times."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EngineConstants:
    """Hold what no datasheet says: six constants per engine and hardware, fitted on measurements.

    `expert_ratio` is the share of the dense peak that the grouped products of routed experts reach, sorting
    and scattering of tokens included. `kernel_s` passes per layer
    and iteration on the GPU whatever the work; `dispatch_s` is the host's time per layer, which hides
    behind the GPU's as soon as that is longer. `sequence_s` is spent per sequence and iteration outside
    the GPU (sampling, detokenising, streaming). `collective_s` is the latency of one collective among two
    GPUs; it grows with log2 of their number. `request_s` is paid once per request, outside the engine:
    router, admission, hand-over, first chunk.
    """

    expert_ratio: float
    kernel_s: float
    dispatch_s: float
    sequence_s: float
    collective_s: float
    request_s: float


@dataclass(frozen=True, slots=True)
class Engine:
    """Hold one engine's defaults and constants for one hardware.

    Limits are per attention rank: sequences in a batch, prompt tokens per prefill iteration.
    `memory_reserve_ratio` of a GPU's memory is left to activations, graphs and communication buffers.
    `fitted_on` names the hardware whose measurements gave the constants.
    """

    name: str
    max_num_seqs: int
    max_num_batched_tokens: int
    memory_reserve_ratio: float
    constants: EngineConstants
    fitted_on: str
    sources: Mapping[str, str] = field(default_factory=dict)
