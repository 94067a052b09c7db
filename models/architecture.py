"""Describe a language model's architecture, as data with sources, and count its parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from models.engine import Serving
from models.hardware import Precision


@dataclass(frozen=True, slots=True)
class Latent:
    """Give the ranks and widths of multi-head latent attention (MLA, DeepSeek-V2)."""

    query_rank: int
    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int


@dataclass(frozen=True, slots=True)
class Attention:
    """Describe one attention block.

    `windowed_layers` of the model's layers see the last `window_tokens` tokens only. With `latent` the
    cache holds one latent vector per token, whatever the number of heads.
    """

    query_heads: int
    kv_heads: int
    head_dim: int
    windowed_layers: int = 0
    window_tokens: int = 0
    latent: Latent | None = None

    def parameters(self, hidden: int) -> int:
        """Return the weights of one layer's projections, biases and norms left out."""
        if self.latent is None:
            return hidden * self.head_dim * (2 * self.query_heads + 2 * self.kv_heads)
        m, heads = self.latent, self.query_heads
        queries = m.query_rank * (hidden + heads * (m.nope_dim + m.rope_dim))
        latents = hidden * (m.kv_rank + m.rope_dim) + m.kv_rank * heads * (m.nope_dim + m.value_dim)
        return queries + latents + heads * m.value_dim * hidden

    def kv_elements(self) -> int:
        """Return the cached elements of one token in one layer."""
        if self.latent is None:
            return 2 * self.kv_heads * self.head_dim
        return self.latent.kv_rank + self.latent.rope_dim

    def kv_share(self, tp: int) -> float:
        """Return the share of the cache that one of `tp` GPUs holds: heads are split, a latent is copied."""
        return 1.0 if self.latent else -(-self.kv_heads // tp) / self.kv_heads

    def prefill_flops_per_pair(self) -> float:
        """Return the operations of all heads on one (query, key) pair while a prompt is read."""
        if self.latent is None:
            return 4.0 * self.query_heads * self.head_dim
        m = self.latent
        return 2.0 * self.query_heads * (m.nope_dim + m.rope_dim + m.value_dim)

    def decode_flops_per_pair(self) -> float:
        """Return the same for one decode step; MLA then works in the latent space (weight absorption)."""
        if self.latent is None:
            return 4.0 * self.query_heads * self.head_dim
        return 2.0 * self.query_heads * (2 * self.latent.kv_rank + self.latent.rope_dim)


@dataclass(frozen=True, slots=True)
class Experts:
    """Describe the mixture-of-experts layers.

    `active` of `routed` experts see each token, `shared` experts see all; the first `dense_layers` layers
    have an ordinary MLP instead. Weights are stored in `precision` and meet activations in
    `activation_precision`.
    """

    routed: int
    active: int
    intermediate: int
    precision: Precision
    activation_precision: Precision
    shared: int = 0
    dense_layers: int = 0


@dataclass(frozen=True, slots=True)
class Architecture:
    """Hold the published shape of a model; `sources` names where each figure was published.

    `parameters` and `active_parameters` are the published totals, kept to check the shape against. The
    input embedding and the output head are stored in bf16 by every checkpoint listed here.
    """

    name: str
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    attention: Attention
    experts: Experts | None
    weight_precision: Precision
    kv_precision: Precision
    parameters: float
    active_parameters: float
    max_context_tokens: int
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def full_layers(self) -> int:
        """Layers whose attention sees the whole context."""
        return self.layers - self.attention.windowed_layers

    @property
    def moe_layers(self) -> int:
        """Layers with routed experts."""
        return self.layers - self.experts.dense_layers if self.experts else 0

    @property
    def dense_layers(self) -> int:
        """Layers with an ordinary MLP."""
        return self.layers - self.moe_layers

    def served(self, serving: Serving) -> Self:
        """Return the model in the number formats that the engine serves it with.

        Other weights are met by activations of the same format, as quantised checkpoints are.
        """
        weights, experts = serving.weight_precision, self.experts
        if weights and experts:
            experts = replace(experts, precision=weights, activation_precision=weights)
        return replace(
            self,
            weight_precision=weights or self.weight_precision,
            kv_precision=serving.kv_precision or self.kv_precision,
            experts=experts,
        )

    def mlp_parameters(self) -> int:
        """Return the weights of one dense MLP (gate, up and down)."""
        return 3 * self.hidden * self.intermediate

    def expert_parameters(self) -> int:
        """Return the weights of one expert in one layer."""
        return 3 * self.hidden * self.experts.intermediate if self.experts else 0

    def counted_parameters(self) -> float:
        """Return the parameters that follow from the shape, to be held against the published total."""
        experts = self.experts.routed + self.experts.shared if self.experts else 0
        return (
            2.0 * self.vocabulary * self.hidden
            + self.layers * self.attention.parameters(self.hidden)
            + self.dense_layers * self.mlp_parameters()
            + self.moe_layers * experts * self.expert_parameters()
        )
