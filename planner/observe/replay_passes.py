"""Read the forward passes that Dynamo's replay shows of its workers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import ObserveError
from models.observation import QueueReading
from models.values import Role

Told = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pass:
    """Hold one worker's latest pass, and what waits at the worker.

    Of a prefill worker it is the last pass that it made, of `requests` prompts with `tokens` in all; of a
    decode worker the batch that runs, with `tokens` in the KV cache.
    """

    worker: object
    requests: int
    tokens: float
    queued_requests: int = 0
    queued_tokens: float = 0.0


def passes(told: Told, role: Role) -> Sequence[Pass]:
    """Return the passes of one role's workers; a worker that has made none yet is missing.

    Raises ObserveError for a snapshot without the fields that those of the replay (1.4.2) have.
    """
    read = _prefill if role is Role.PREFILL else _decode
    return tuple(read(each) for each in told.get(f"{role}_fpm_snapshots") or ())


def waiting(prefill: Sequence[Pass]) -> QueueReading | None:
    """Count what waits for prefill; `None` while no worker has shown a pass."""
    if not prefill:
        return None
    return QueueReading(
        sum(each.queued_requests for each in prefill), sum(each.queued_tokens for each in prefill)
    )


def number(told: Told, key: str) -> float:
    """Return a field that must be a finite number; raises ObserveError that names it."""
    value = told.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ObserveError(
            f"the replay's snapshot has no number {key!r} (it says {value!r}): "
            "is it Dynamo's replay of 1.4.2 with separate prefill and decode workers?"
        )
    return float(value)


def _prefill(said: Told) -> Pass:
    requests, tokens = number(said, "num_prefill_requests"), number(said, "sum_prefill_tokens")
    if not requests and not number(said, "wall_time"):
        # With one prompt at a time the simulator shows a finished one as a decode that took no time.
        requests, tokens = number(said, "num_decode_requests"), number(said, "sum_decode_kv_tokens")
    return Pass(
        said.get("worker_id"),
        int(requests),
        tokens,
        int(number(said, "num_queued_prefill")),
        number(said, "sum_queued_prefill_tokens"),
    )


def _decode(said: Told) -> Pass:
    batch, tokens = number(said, "num_decode_requests"), number(said, "sum_decode_kv_tokens")
    return Pass(said.get("worker_id"), int(batch), tokens)
