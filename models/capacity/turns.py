"""Continue a decode curve past what the device holds, where KV cache may lie in a tier behind it."""

from collections.abc import Sequence

from models.artifact import LayoutProfile


def device_sequences(layout: LayoutProfile, context_tokens: float) -> float:
    """Return how many sequences of a mean context the device holds at once."""
    return layout.kv_capacity_tokens / max(context_tokens + layout.kv_fixed_tokens, 1.0)


def usable_tokens(layout: LayoutProfile) -> float:
    """Return the tokens of KV cache that sequences may take: the device's, and the tier's behind it."""
    tier = layout.features.tier
    return layout.kv_capacity_tokens + (0.0 if tier is None else tier.tokens)


def with_turns(
    layout: LayoutProfile, context_tokens: float, batches: Sequence[float], itl_s: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return a curve of (batch, seconds per token) that holds on both sides of the device's edge.

    With d sequences on the device n take turns: n / d * ITL(d), and what lies in the tier is moved back once
    a turn. Both are linear in n. As `models.simulation.pace.TurnsPace` simulates it. Without a tier the curve
    stays as it is.
    """
    tier = layout.features.tier
    if tier is None:
        return tuple(batches), tuple(itl_s)
    edge = max(device_sequences(layout, context_tokens), batches[0])
    inside = [(n, s) for n, s in zip(batches, itl_s, strict=True) if n < edge]
    edge_s = _read(edge, batches, itl_s)
    restore_s = (context_tokens + layout.kv_fixed_tokens) * tier.s_per_token / tier.turn_tokens
    outside = [(edge, edge_s), (2 * edge, 2 * edge_s + edge * restore_s)]
    extended = [*inside, *outside]
    return tuple(n for n, _ in extended), tuple(s for _, s in extended)


def _read(batch: float, batches: Sequence[float], itl_s: Sequence[float]) -> float:
    """Read a curve, on its last piece's line beyond it."""
    if len(batches) == 1:
        return itl_s[0]
    last = len(batches) - 2
    i = min(next((j for j in range(last + 1) if batch <= batches[j + 1]), last), last)
    slope = (itl_s[i + 1] - itl_s[i]) / (batches[i + 1] - batches[i])
    return itl_s[i] + slope * (batch - batches[i])
