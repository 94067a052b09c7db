"""Fit a profile's layouts with what the deployment's engines do beyond what was profiled."""

from dataclasses import dataclass, replace

from models.artifact import LayoutProfile
from models.features import TURN_TOKENS, KvTier, PrefixCache
from models.surface import Surface
from models.values import Role


@dataclass(frozen=True, slots=True)
class OffloadPolicy:
    """State memory behind each GPU's KV cache, in bytes, and the bandwidth to it, in bytes per second."""

    bytes_per_gpu: float
    bytes_per_s: float
    turn_tokens: float = TURN_TOKENS


@dataclass(frozen=True, slots=True)
class PrefixPolicy:
    """State the prefix cache of the replicas that read prompts.

    `tokens` per replica (`None`: the replica's whole KV cache); see `models.features.PrefixCache`.
    """

    tokens: float | None = None
    overlap_weight: float = 1.0
    block_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """Say what the engines of a deployment do that its profile does not show; the default is nothing.

    `accepted_tokens` is what a step emits on this deployment's traffic and `step_ratio` how much longer it
    takes than a step of the profile (`None`: all as profiled). `kv_bytes_per_token` is on each GPU that holds
    the token (`None`: the profile's). `handover_bytes_per_s` is the bandwidth of each sending GPU (`None`:
    the profile's time to hand over).
    """

    accepted_tokens: float | None = None
    step_ratio: float = 1.0
    preempts: bool = False
    kv_bytes_per_token: float | None = None
    handover_bytes_per_s: float | None = None
    offload: OffloadPolicy | None = None
    prefix_cache: PrefixPolicy | None = None


def equip(layout: LayoutProfile, policy: EnginePolicy, profiled_tokens: float = 1.0) -> LayoutProfile:
    """Return the layout as this deployment's engines run it; the layout itself where nothing is stated.

    `profiled_tokens` is what a step of the profile emits. Raises ValueError where bytes per token are needed
    and neither the profile nor the policy states them.
    """
    if policy == EnginePolicy():
        return layout
    fitted = _handing_over(_speculating(layout, policy, profiled_tokens), policy)
    tier = None if policy.offload is None else _tier(fitted, policy, policy.offload)
    decodes = layout.role is not Role.PREFILL
    features = replace(
        fitted.features,
        preempts=policy.preempts and decodes,
        tier=tier if decodes else None,
        prefix_cache=None if layout.role is Role.DECODE else _prefix_cache(layout, policy.prefix_cache, tier),
    )
    return replace(fitted, features=features)


def _speculating(layout: LayoutProfile, policy: EnginePolicy, profiled: float) -> LayoutProfile:
    """Count the tokens that a step emits here: surfaces read seconds per token."""
    if policy.accepted_tokens is None or layout.decode is None:
        return layout
    factor = profiled * policy.step_ratio / policy.accepted_tokens
    features = replace(layout.features, accepted_tokens=policy.accepted_tokens)
    return replace(layout, decode=_scaled(layout.decode, factor), features=features)


def _scaled(surface: Surface, factor: float) -> Surface:
    return replace(surface, values_s=tuple(tuple(v * factor for v in row) for row in surface.values_s))


def _handing_over(layout: LayoutProfile, policy: EnginePolicy) -> LayoutProfile:
    if policy.handover_bytes_per_s is None or layout.role is not Role.PREFILL:
        return layout
    seconds = _token_bytes(layout, policy, "handover_bandwidth") / policy.handover_bytes_per_s
    return replace(layout, handover_s_per_token=seconds)


def _tier(layout: LayoutProfile, policy: EnginePolicy, offload: OffloadPolicy) -> KvTier:
    """Size the tier like the cache: attention ranks hold different sequences, and move them side by side."""
    token_bytes, ranks = _token_bytes(layout, policy, "kv_offload"), layout.parallelism.dp
    return KvTier(
        offload.bytes_per_gpu / token_bytes * ranks,
        token_bytes / offload.bytes_per_s / ranks,
        offload.turn_tokens,
    )


def _prefix_cache(
    layout: LayoutProfile, stated: PrefixPolicy | None, tier: KvTier | None
) -> PrefixCache | None:
    if stated is None:
        return None
    return PrefixCache(
        layout.kv_capacity_tokens if stated.tokens is None else stated.tokens,
        stated.overlap_weight,
        stated.block_tokens,
        0.0 if tier is None else tier.tokens,
        0.0 if tier is None else tier.s_per_token,
    )


def _token_bytes(layout: LayoutProfile, policy: EnginePolicy, needed_by: str) -> float:
    stated = policy.kv_bytes_per_token or layout.kv_bytes_per_token
    if not stated:
        raise ValueError(
            f"{needed_by} needs the bytes of a token's KV cache, and the profile does not state them for "
            f"layout {layout.key}; set kv_bytes_per_token"
        )
    return stated
