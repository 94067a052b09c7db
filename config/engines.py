"""Say in the configuration what the engines of a deployment do that its profile does not show."""

from typing import Annotated

from pydantic import Field, model_validator

from config.bytesizes import Bandwidth, Bytes
from config.quantities import Count
from config.section import Section, refuse
from models.equipping import EnginePolicy, OffloadPolicy, PrefixPolicy
from models.features import TURN_TOKENS

_PLAIN = EnginePolicy()


class OffloadSettings(Section):
    """Memory behind each GPU's KV cache, such as that of its host.

    Sequences that the device does not hold take turns with those that it does.
    """

    memory: Bytes = Field(
        description="Memory for KV cache behind each GPU, such as 400GB. A replica's grows with its GPUs.",
    )
    bandwidth: Bandwidth = Field(
        description="Bandwidth from there to each GPU, such as 50GB/s (PCIe 5) or 400GB/s (Grace).",
    )
    turn_tokens: Count = Field(
        default=int(TURN_TOKENS),
        ge=1,
        le=100_000,
        description="Tokens that a sequence makes before another one takes its place on the device.",
    )

    def to_policy(self) -> OffloadPolicy:
        """Return the tier behind a GPU."""
        return OffloadPolicy(self.memory, self.bandwidth, float(self.turn_tokens))


class PrefixCacheSettings(Section):
    """What replicas keep of the prompts that they read, for prompts that begin alike.

    A replay honours it where the trace carries block hashes. The scaler needs it not: it observes hits.
    """

    tokens: Count | None = Field(
        default=None,
        ge=1,
        description="Tokens that a replica keeps, a count such as 2M. null: its whole KV cache.",
    )
    overlap_weight: Annotated[float, Field(ge=0, le=1000)] = Field(
        default=PrefixPolicy().overlap_weight,
        description="How much a token of a prompt that a replica would have to compute counts beside one "
        "that waits there already, when a load-aware router chooses a replica. 0: it is blind to caches.",
    )
    block_tokens: Count | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Tokens that one hash of the trace stands for. null: as its format has it (Mooncake: "
        "512).",
    )

    def to_policy(self) -> PrefixPolicy:
        """Return what is kept, and how far routing goes by it."""
        tokens = None if self.tokens is None else float(self.tokens)
        return PrefixPolicy(tokens, self.overlap_weight, self.block_tokens)


class EngineSettings(Section):
    """What the engines do that the profile does not show. Default: nothing."""

    accepted_tokens: Annotated[float, Field(ge=1, le=100)] | None = Field(
        default=None,
        description="Tokens that a decode step emits on average on this traffic, with speculative decoding; "
        "engines publish it. null: as profiled.",
    )
    step_ratio: Annotated[float, Field(ge=0.1, le=100)] = Field(
        default=_PLAIN.step_ratio,
        description="How much longer a step takes than as profiled, where speculation was not: it verifies "
        "several tokens. 1: as long.",
    )
    preemption: bool = Field(
        default=_PLAIN.preempts,
        description="Whether a sequence is admitted for the KV cache that it takes so far, and the newest is "
        "thrown out and computed again when the cache runs short (vLLM, SGLang). false: for its whole prompt "
        "and output (TensorRT-LLM's default).",
    )
    kv_bytes_per_token: Bytes | None = Field(
        default=None,
        description="KV cache that a token takes on each GPU that holds it, such as 40kB. null: as profiled.",
    )
    handover_bandwidth: Bandwidth | None = Field(
        default=None,
        description="Bandwidth at which each prefill GPU hands KV cache over to decode, such as 50GB/s. "
        "null: as profiled.",
    )
    kv_offload: OffloadSettings | None = Field(
        default=None, description="Memory behind the KV cache of GPUs. null: none."
    )
    prefix_cache: PrefixCacheSettings | None = Field(
        default=None,
        description="What replicas keep of prompts in a replay. null: block hashes of a trace are ignored.",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "EngineSettings":
        if self.step_ratio != _PLAIN.step_ratio and self.accepted_tokens is None:
            refuse([(("step_ratio",), "is the cost of speculation; state `accepted_tokens` too")])
        return self

    def to_policy(self) -> EnginePolicy:
        """Return what layouts are equipped with."""
        return EnginePolicy(
            accepted_tokens=self.accepted_tokens,
            step_ratio=self.step_ratio,
            preempts=self.preemption,
            kv_bytes_per_token=self.kv_bytes_per_token,
            handover_bytes_per_s=self.handover_bandwidth,
            offload=None if self.kv_offload is None else self.kv_offload.to_policy(),
            prefix_cache=None if self.prefix_cache is None else self.prefix_cache.to_policy(),
        )
