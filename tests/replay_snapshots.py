"""Make snapshots as Dynamo's replay (ai-dynamo 1.4.2) hands them to a scaling policy."""

from collections.abc import Mapping, Sequence
from typing import Any

TICK_S = 15.0
_FIELDS = (
    *("num_prefill_requests", "sum_prefill_tokens", "var_prefill_length", "sum_prefill_kv_tokens"),
    *("num_decode_requests", "sum_decode_kv_tokens", "var_decode_kv_tokens"),
    *("num_queued_prefill", "sum_queued_prefill_tokens", "var_queued_prefill_length"),
    *("num_queued_decode", "sum_queued_decode_kv_tokens", "var_queued_decode_kv_tokens"),
)


def snapshot(
    at_s: float,
    active: tuple[int, int] = (4, 2),
    traffic: Mapping[str, Any] | None = None,
    starting: tuple[Sequence[int], Sequence[int]] = ((), ()),
    draining: tuple[int, int] = (0, 0),
    prefill: Sequence[Mapping[str, Any]] | None = None,
    decode: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Make the dictionary of one tick; pairs are prefill, decode. Workers show an idle pass unless stated."""
    told: dict[str, Any] = {
        "now_ms": at_s * 1e3,
        "traffic": dict(window() if traffic is None else traffic),
        "prefill_fpm_snapshots": list(prefill if prefill is not None else map(worker, range(active[0]))),
        "decode_fpm_snapshots": list(decode if decode is not None else map(worker, range(active[1]))),
    }
    for i, role in enumerate(("prefill", "decode")):
        ids = list(range(active[i]))
        told |= {
            f"active_{role}_count": len(ids),
            f"active_{role}_ids": ids,
            f"starting_{role}_count": len(starting[i]),
            f"starting_{role}_ids": list(starting[i]),
            f"draining_{role}_count": draining[i],
            f"draining_{role}_ids": [1000 + n for n in range(draining[i])],
            f"non_draining_{role}_count": len(ids) + len(starting[i]),
            f"total_{role}_count": len(ids) + len(starting[i]) + draining[i],
        }
    return told


def window(
    arrived: int = 150,
    completed: int | None = None,
    isl: float = 2000.0,
    osl: float = 200.0,
    seconds: float = TICK_S,
    cached_ratio: float = 0.0,
) -> dict[str, Any]:
    """Make the traffic since the last tick; nothing completed gives averages of 0, as the replay does."""
    done = arrived if completed is None else completed
    return {
        "duration_s": seconds,
        "num_req": arrived,
        "shape_count": done,
        "avg_isl": isl if done else 0.0,
        "avg_osl": osl if done else 0.0,
        "ttft_count": done,
        "avg_ttft_ms": 250.0 if done else 0.0,
        "itl_count": done,
        "avg_itl_ms": 21.0 if done else 0.0,
        "hit_rate_count": arrived,
        "avg_kv_hit_rate": cached_ratio if arrived else 0.0,
        "accept_length_forward_count": done * 200,
        "avg_accept_length": 1.0 if done else None,
    }


def worker(number: int, **said: float) -> dict[str, Any]:
    """Make one worker's forward pass, all zero but for what is said."""
    return {"worker_id": number, "dp_rank": 0, "wall_time": 0.0, **dict.fromkeys(_FIELDS, 0), **said}


def prompt(number: int, tokens: int, **said: float) -> dict[str, Any]:
    """Make a prefill worker that was last seen with one prompt."""
    return worker(number, wall_time=0.2, num_prefill_requests=1, sum_prefill_tokens=tokens, **said)


def batch(number: int, requests: int, tokens: int) -> dict[str, Any]:
    """Make a decode worker with a running batch."""
    return worker(number, wall_time=0.02, num_decode_requests=requests, sum_decode_kv_tokens=tokens)
