"""Read the time per output token off streams while all of them decode.

Only times between tokens of one stream count, from the piece that ends one stretch to the piece that ends the
next, divided by the tokens between them: what a piece holds, and when it was read, cancels out.
"""

import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from profiler.measure.endpoint.stream import Stream

# The first tokens after the last prompt was read still share the engine with it.
SETTLING_TOKENS = 2
STRETCH_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Window:
    """Hold the time per token in each stretch of a round in which every stream decoded.

    `context_tokens` is the mean over streams in the middle of the window, `stretch_s` the duration of one
    stretch, by which the error of a time stamp is divided.
    """

    itl_s: tuple[float, ...]
    context_tokens: float
    stretch_s: float


def window(streams: Sequence[Stream], tokens: int) -> Window | None:
    """Return the window in which all streams decode, at most its first `tokens` tokens; None without one."""
    last_start = max(streams, key=lambda each: each.first_s)
    begin = _after(last_start, SETTLING_TOKENS)
    end = min(each.last_s for each in streams)
    if begin is None or end <= begin:
        return None
    produced = _tokens_at(last_start, end) - _tokens_at(last_start, begin)
    if produced < 2:
        return None
    end = begin + (end - begin) * min(1.0, tokens / produced)
    stretches = max(1, int(min(produced, tokens) / STRETCH_TOKENS))
    edges = [begin + (end - begin) * i / stretches for i in range(stretches + 1)]
    found = [_mean_itl(streams, a, b) for a, b in pairwise(edges)]
    if not (itl_s := [each for each in found if each is not None]):
        return None
    middle = (begin + end) / 2
    context = statistics.fmean(each.prompt_tokens + _tokens_at(each, middle) for each in streams)
    return Window(_level(itl_s), context, (end - begin) / stretches)


def _level(itl_s: Sequence[float]) -> tuple[float, ...]:
    """Return the values without the rise that the growing context gives them, about the same mean."""
    if len(itl_s) < 4:
        return tuple(itl_s)
    slope = statistics.linear_regression(range(len(itl_s)), itl_s).slope
    return tuple(each - slope * (i - (len(itl_s) - 1) / 2) for i, each in enumerate(itl_s))


def most_together(streams: Sequence[Stream]) -> int:
    """Return how many streams at most were between their first and last token at one moment."""
    changes = sorted(
        [(each.first_s, 1) for each in streams] + [(each.last_s, -1) for each in streams],
    )
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def stagger_tokens(streams: Sequence[Stream]) -> float:
    """Return how many tokens the first stream was ahead when the last one began."""
    first = min(streams, key=lambda each: each.first_s)
    return max(0.0, _tokens_at(first, max(each.first_s for each in streams)) - first.tokens[0])


def _mean_itl(streams: Sequence[Stream], begin: float, end: float) -> float | None:
    """Return the time per token between two moments, as the mean over streams that span them."""
    found = []
    for each in streams:
        i, j = bisect_left(each.times_s, begin), bisect_left(each.times_s, end)
        if j < len(each.times_s) and each.tokens[j] > each.tokens[i]:
            found.append((each.times_s[j] - each.times_s[i]) / (each.tokens[j] - each.tokens[i]))
    return statistics.fmean(found) if found else None


def _after(stream: Stream, tokens: int) -> float | None:
    """Return when the stream had this many tokens more than in its first piece."""
    i = bisect_left(stream.tokens, stream.tokens[0] + tokens)
    return stream.times_s[i] if i < len(stream.times_s) else None


def _tokens_at(stream: Stream, at_s: float) -> float:
    """Return the tokens that the stream had at a moment."""
    i = bisect_left(stream.times_s, at_s)
    if i < len(stream.times_s) and stream.times_s[i] == at_s:
        return stream.tokens[i]
    return stream.tokens[i - 1] if i else 0.0
