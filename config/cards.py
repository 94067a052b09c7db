"""Say what a reference card may hold: the figures of GPUs, models and engines, and their ranges."""

from typing import Annotated, Any

from pydantic import Field

from config.section import Section
from models.hardware import Precision

Share = Annotated[float, Field(gt=0, le=1)]
# Bounds beyond any machine and model, so that a slip of the pen is told and not computed with.
Amount = Annotated[float, Field(gt=0, le=1e18)]
Number = Annotated[int, Field(gt=0, le=10**9)]
Seconds = Annotated[float, Field(ge=0, le=60)]
Count = Annotated[int, Field(ge=0, le=10**9)]


class Card(Section):
    """Hold a card as written: a name, other names for it, and figures in groups, each with its source."""

    name: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    published: tuple[dict[str, Any], ...] = Field(min_length=1)


class HardwareFigures(Section):
    """List the figures of a GPU; see `models.hardware.Hardware` for units."""

    flops_per_s: dict[Precision, Amount]
    matmul_reached_ratio: Share
    hbm_bytes: Amount
    hbm_bytes_per_s: Amount
    hbm_reached_ratio: Share
    scaleup_bytes_per_s: Amount
    scaleout_bytes_per_s: Amount
    gpus_per_node: Number
    scaleup_gpus: Number


class LatentFigures(Section):
    """List the figures of multi-head latent attention."""

    query_rank: Number
    kv_rank: Number
    rope_dim: Number
    nope_dim: Number
    value_dim: Number


class AttentionFigures(Section):
    """List the figures of an attention block."""

    query_heads: Number
    kv_heads: Number
    head_dim: Number
    windowed_layers: Count = 0
    window_tokens: Count = 0
    latent: LatentFigures | None = None


class ExpertsFigures(Section):
    """List the figures of mixture-of-experts layers."""

    routed: Number
    active: Number
    intermediate: Number
    precision: Precision
    activation_precision: Precision
    shared: Count = 0
    dense_layers: Count = 0


class ArchitectureFigures(Section):
    """List the figures of a model; see `models.architecture.Architecture`."""

    layers: Number
    hidden: Number
    intermediate: Number
    vocabulary: Number
    attention: AttentionFigures
    experts: ExpertsFigures | None = None
    weight_precision: Precision
    kv_precision: Precision
    parameters: Amount
    active_parameters: Amount
    max_context_tokens: Number


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

    max_num_seqs: Number
    max_num_batched_tokens: Annotated[int, Field(ge=16, le=10**9)]
    memory_reserve_ratio: Annotated[float, Field(ge=0, lt=1)]
    fitted_on: str
    constants: ConstantsFigures
    handover_steps: Annotated[float, Field(ge=0, le=100)] = 0.0
