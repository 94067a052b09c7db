"""Read token counts and their times off a streamed answer."""

import json
import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from profiler.measure.endpoint.client import Received, said
from profiler.measure.endpoint.failure import AnswerError

_END_OF_EVENT = re.compile(rb"\r?\n\r?\n")
_TEXT_KEYS = ("content", "reasoning_content", "reasoning", "tool_calls")


@dataclass(frozen=True, slots=True)
class Stream:
    """Hold one answer: `tokens[i]` output tokens had arrived at `times_s[i]`, in monotonic seconds.

    Engines send several tokens in a piece, or pieces without text: counts come from `usage`. `cached_tokens`
    of the prompt came from the prefix cache (`None`: not reported); `running_usage` says whether each piece
    carried its count.
    """

    sent_s: float
    times_s: tuple[float, ...]
    tokens: tuple[float, ...]
    prompt_tokens: int
    cached_tokens: int | None
    running_usage: bool

    @property
    def first_s(self) -> float:
        """When the first token arrived."""
        return self.times_s[0]

    @property
    def last_s(self) -> float:
        """When the last token arrived."""
        return self.times_s[-1]


def read(received: Received, wanted_tokens: int) -> Stream:
    """Parse an answer of `wanted_tokens` tokens; raises AnswerError where it is not one."""
    if received.status != 200:
        raise refused(received)
    if received.kind != "text/event-stream":
        raise AnswerError(
            f"the answer is {received.kind or 'of no kind'}, not an event stream: {said(received)}",
            suspect=True,
        )
    pieces: list[tuple[float, int | None]] = []
    usage: dict[str, Any] | None = None
    finished = start = 0
    for match in _END_OF_EVENT.finditer(received.data):
        at_s = received.times_s[bisect_left(received.lengths, match.end())]
        event = _event(bytes(received.data[start : match.start()]))
        start = match.end()
        if event is None:
            continue
        found = event.get("usage")
        usage = found if isinstance(found, dict) else usage
        finished += _finishes(event)
        if _carries_token(event):
            pieces.append((at_s, _count(found, "completion_tokens")))
    if not finished:
        raise AnswerError(f"the stream ended in the middle, after {len(pieces)} pieces", suspect=True)
    total = _count(usage, "completion_tokens")
    if total is None:
        raise AnswerError("the stream carries no usage, so that its tokens cannot be counted", suspect=True)
    if not total or not pieces:
        raise AnswerError("HTTP 200 without a single token", suspect=True)
    if total < wanted_tokens:
        raise AnswerError(
            f"the answer ended after {total} of {wanted_tokens} tokens: the endpoint honours neither "
            "ignore_eos nor min_tokens, or bounds outputs",
            suspect=False,
        )
    return _stream(received, pieces, usage or {}, total)


def _stream(
    received: Received, pieces: list[tuple[float, int | None]], usage: dict[str, Any], total: int
) -> Stream:
    running = all(count is not None for _, count in pieces)
    counts = [float(count or 0) for _, count in pieces] if running else _shared(total, len(pieces))
    details = usage.get("prompt_tokens_details")
    return Stream(
        sent_s=received.sent_s,
        times_s=tuple(at_s for at_s, _ in pieces),
        tokens=tuple(counts),
        prompt_tokens=_count(usage, "prompt_tokens") or 0,
        cached_tokens=_count(details, "cached_tokens"),
        running_usage=running,
    )


def _shared(total: int, pieces: int) -> list[float]:
    """Return how many tokens had come with each piece where only their total is known.

    Engines that gather tokens send as many in each piece, and the rest in the last. Where that does not add
    up, each piece is given the same share.
    """
    each = -(-total // pieces)
    if each * (pieces - 1) < total:
        return [*(float(each * i) for i in range(1, pieces)), float(total)]
    return [i * total / pieces for i in range(1, pieces + 1)]


def refused(received: Received) -> AnswerError:
    """Say what an HTTP error means: server errors and overload are suspect, refusals are not."""
    suspect = received.status >= 500 or received.status in (408, 429)
    return AnswerError(f"HTTP {received.status}: {said(received)}", suspect)


def _event(raw: bytes) -> dict[str, Any] | None:
    """Return an event's object, None for comments and the end mark."""
    lines = [line.rstrip(b"\r") for line in raw.split(b"\n")]
    data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
    if b"event: error" in lines or b"event:error" in lines:
        raise AnswerError(f"the stream reports an error: {raw.decode(errors='replace')[:300]}", suspect=True)
    if not data or data == b"[DONE]":
        return None
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise AnswerError(f"the stream holds {data[:80]!r}, which is no JSON object", suspect=True)
    if event.get("error"):
        raise AnswerError(f"the stream reports an error: {str(event['error'])[:300]}", suspect=True)
    return event


def _choice(event: dict[str, Any]) -> dict[str, Any]:
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _finishes(event: dict[str, Any]) -> bool:
    return _choice(event).get("finish_reason") is not None


def _carries_token(event: dict[str, Any]) -> bool:
    """Whether a piece stands for a token: text, or none where half a character waits for its other half."""
    choice = _choice(event)
    if not choice:
        return False
    delta = choice.get("delta")
    if isinstance(delta, dict):
        if any(delta.get(key) for key in _TEXT_KEYS):
            return True
        return delta.get("content") == "" and "role" not in delta and choice.get("finish_reason") is None
    text = choice.get("text")
    return bool(text) or (text == "" and choice.get("finish_reason") is None)


def _count(holder: object, key: str) -> int | None:
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if isinstance(value, int) and value >= 0 else None
