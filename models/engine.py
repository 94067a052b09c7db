"""Describe a serving engine: its limits, and the constants that turn a roofline into its times."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.hardware import Precision


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
class Serving:
    """Say how the engine serves the model, where that is not the model's own default.

    `weight_precision` and `kv_precision` replace the checkpoint's number formats. `prefix_ratio` is the share
    of each prompt that the prefix cache holds: prefill points compute the rest behind it. With speculative
    decoding a step proposes `draft_tokens` tokens and emits `accepted_tokens` on average, the engine's own
    one included (1: no speculation).
    """

    weight_precision: Precision | None = None
    kv_precision: Precision | None = None
    prefix_ratio: float = 0.0
    draft_tokens: int = 0
    accepted_tokens: float = 1.0

    def __post_init__(self) -> None:
        """Refuse shares and lengths that no engine has."""
        if not 0.0 <= self.prefix_ratio < 1.0:
            raise ValueError(f"prefix_ratio must be at least 0 and under 1, got {self.prefix_ratio}")
        if self.draft_tokens < 0 or not 1.0 <= self.accepted_tokens <= self.draft_tokens + 1:
            raise ValueError(
                f"of {self.draft_tokens} draft tokens between 1 and {self.draft_tokens + 1} are emitted per "
                f"step, not {self.accepted_tokens}"
            )


@dataclass(frozen=True, slots=True)
class Engine:
    """Hold one engine's defaults and constants for one hardware.

    Limits are per attention rank: sequences in a batch, prompt tokens per prefill iteration.
    `memory_reserve_ratio` of a GPU's memory is left to activations, graphs and communication buffers.
    `handover_steps` are the decode steps that pass between a prompt's arrival at a decode replica and the
    step that makes its first token there. `fitted_on` names the hardware whose measurements gave the
    constants.
    """

    name: str
    max_num_seqs: int
    max_num_batched_tokens: int
    memory_reserve_ratio: float
    constants: EngineConstants
    fitted_on: str
    handover_steps: float = 0.0
    sources: Mapping[str, str] = field(default_factory=dict)
