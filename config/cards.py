"""Say what a reference card may hold: the figures of GPUs, models and engines, and their ranges."""

from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt

from config.section import Section
from models.hardware import Precision

Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


class Card(Section):
    """Hold a card as written: a name, other names for it, and figures in groups, each with its source."""

    name: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    published: tuple[dict[str, Any], ...] = Field(min_length=1)


class HardwareFigures(Section):
    """List the figures of a GPU; see `models.hardware.Hardware` for units."""

    flops_per_s: dict[Precision, PositiveFloat]
    matmul_reached_ratio: Share
    hbm_bytes: PositiveFloat
    hbm_bytes_per_s: PositiveFloat
    hbm_reached_ratio: Share
    scaleup_bytes_per_s: PositiveFloat
    scaleout_bytes_per_s: PositiveFloat
    gpus_per_node: PositiveInt
    scaleup_gpus: PositiveInt


class LatentFigures(Section):
    """List the figures of multi-head latent attention."""

    query_rank: PositiveInt
    kv_rank: PositiveInt
    rope_dim: PositiveInt
    nope_dim: PositiveInt
    value_dim: PositiveInt


class AttentionFigures(Section):
    """List the figures of an attention block."""

    query_heads: PositiveInt
    kv_heads: PositiveInt
    head_dim: PositiveInt
    windowed_layers: Count = 0
    window_tokens: Count = 0
    latent: LatentFigures | None = None


class ExpertsFigures(Section):
    """List the figures of mixture-of-experts layers."""

    routed: PositiveInt
    active: PositiveInt
    intermediate: PositiveInt
    precision: Precision
    activation_precision: Precision
    shared: Count = 0
    dense_layers: Count = 0


class ArchitectureFigures(Section):
    """List the figures of a model; see `models.architecture.Architecture`."""

    layers: PositiveInt
    hidden: PositiveInt
    intermediate: PositiveInt
    vocabulary: PositiveInt
    attention: AttentionFigures
    experts: ExpertsFigures | None = None
    weight_precision: Precision
    kv_precision: Precision
    parameters: PositiveFloat
    active_parameters: PositiveFloat
    max_context_tokens: PositiveInt


class ConstantsFigures(Section):
    """List an engine's constants; see `models.engine.EngineConstants`."""

    expert_ratio: Share
    kernel_s: Seconds
    dispatch_s: Seconds
    sequence_s: Seconds
    collective_s: Seconds
    request_s: Seconds


class EngineFigures(Section):
    """List the figures of an engine; see `models.engine.Engine`."""

    max_num_seqs: PositiveInt
    max_num_batched_tokens: PositiveInt
    memory_reserve_ratio: Annotated[float, Field(ge=0, lt=1)]
    fitted_on: str
    constants: ConstantsFigures
