"""Say what a replica's engine does beyond its surfaces: speculation, pre-emption, KV tiers, prefix caches."""

from dataclasses import dataclass

# Steps between two changes of turn: a restore of 8,000 tokens of 40 kB each over 50 GB/s, 6 ms, then adds a
# tenth of a millisecond to each of them.
TURN_TOKENS = 64


@dataclass(frozen=True, slots=True)
class KvTier:
    """Describe memory behind a replica's KV cache, such as that of its host.

    `tokens` is what it holds; a token's cache is moved back in `s_per_token`. Sequences that the device does
    not hold take turns with those that it does, `turn_tokens` tokens a turn: all step in as many rounds as
    the device needs to hold them one after the other. Engines differ in whose turn it is (vLLM parks the
    newest); the mean time per token is the same by Little's law.
    """

    tokens: float
    s_per_token: float
    turn_tokens: float = TURN_TOKENS

    def __post_init__(self) -> None:
        """Refuse a tier that holds nothing, or that nothing could be read from."""
        if not (0 < self.tokens < float("inf") and 0 <= self.s_per_token < float("inf")):
            raise ValueError(f"a KV tier holds some tokens and moves them in some time, got {self}")
        if not self.turn_tokens >= 1:
            raise ValueError(f"a turn lasts at least one token, not {self.turn_tokens}")


@dataclass(frozen=True, slots=True)
class PrefixCache:
    """Describe what a replica keeps of the prompts that it has read, for those that begin alike.

    `tokens` are kept on the device and `tier_tokens` behind it, the least recently used going first; what is
    found in the tier is moved back in `s_per_token`. A load-aware router sends a prompt where least is left
    to compute: outstanding tokens plus `overlap_weight` times those of the prompt that are not found there.
    0: the router is blind to caches. `block_tokens` are the tokens of a block, `None`: as the trace has it.
    """

    tokens: float
    overlap_weight: float = 1.0
    block_tokens: int | None = None
    tier_tokens: float = 0.0
    s_per_token: float = 0.0

    def __post_init__(self) -> None:
        """Refuse sizes and weights below zero."""
        if min(self.tokens, self.overlap_weight, self.tier_tokens, self.s_per_token) < 0:
            raise ValueError(f"sizes and weights of a prefix cache are not below zero, got {self}")
        if self.block_tokens is not None and self.block_tokens < 1:
            raise ValueError(f"a block holds at least one token, not {self.block_tokens}")


@dataclass(frozen=True, slots=True)
class Features:
    """Gather what an engine does; the default is an engine that does none of it.

    A step emits `accepted_tokens` on average (1: no speculation). Without `preempts` a sequence is admitted
    when its whole prompt and output fit, as TensorRT-LLM does by default; with it, when its tokens so far
    fit, and the newest sequence is thrown out and recomputed when the cache runs full, as vLLM does.
    """

    accepted_tokens: float = 1.0
    preempts: bool = False
    tier: KvTier | None = None
    prefix_cache: PrefixCache | None = None

    def __post_init__(self) -> None:
        """Refuse a step that emits less than a token."""
        if not 1.0 <= self.accepted_tokens < float("inf"):
            raise ValueError(f"a step emits at least one token, not {self.accepted_tokens}")


PLAIN = Features()
