"""Describe a language model's architecture, as data with sources."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.hardware import Precision


@dataclass(frozen=True, slots=True)
class Attention:
    """Describe one attention block.

    Grouped-query attention caches `2 * kv_heads * head_dim` elements per token and layer; latent
    attention (MLA) caches `latent_dim` elements instead. `window_tokens` bounds the context of the
    `windowed_layers` sliding-window layers.
    """

    query_heads: int
    kv_heads: int
    head_dim: int
    latent_dim: int | None = None
    query_lora_rank: int | None = None
    rope_dim: int | None = None
    value_dim: int | None = None
    windowed_layers: int = 0
    window_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Experts:
    """Describe the mixture-of-experts layers: `routed` experts, `active` of them per token, `shared` always on."""

    routed: int
    active: int
    intermediate: int
    shared: int = 0
    dense_layers: int = 0


@dataclass(frozen=True, slots=True)
class Architecture:
    """Hold the published shape of a model; `sources` names where each figure was published."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    attention: Attention
    experts: Experts | None
    weight_precision: Precision
    expert_precision: Precision
    kv_precision: Precision
    parameters: float
    active_parameters: float
    max_context_tokens: int
    sources: Mapping[str, str] = field(default_factory=dict)
