"""Find what every request pays outside the engine, and what handing its cache over costs."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from models.values import Role
from profiler.measure.endpoint.confidence import half_width
from profiler.measure.endpoint.session import CACHED_RATIO, Session
from profiler.measure.endpoint.stream import Stream

PROBE_TOKENS = (32, 64, 128, 256)
PROBE_REPEATS = 4
STEP_TOKENS = 12
LONG_PROMPT_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Overhead:
    """Hold the seconds that a request pays outside the engine (router, network, first streamed token).

    `step_s` is the time per token of one sequence alone; `believes_cached` whether prompts that nobody ever
    sent were reported as not cached.
    """

    seconds: float
    error_s: float
    step_s: float
    handover_s_per_token: float
    believes_cached: bool

    @property
    def beside_a_step_s(self) -> float:
        """What remains where the first token is counted as coming from a decode step behind the prefill."""
        return max(0.0, self.seconds - self.step_s)


async def probe(session: Session) -> Overhead:
    """Send single prompts and take apart their times to first token.

    TTFT of short prompts is overhead + one iteration + work in proportion to their tokens. The line's value
    at no tokens, less one iteration, is the overhead. An iteration without work reads the weights once, which
    is what a decode step of one sequence does: its time is taken.
    """
    lengths = [session.templated(tokens) for tokens in PROBE_TOKENS]
    # The first request opens the connection. Its tokens, and others like it, give the time of a step.
    steps = [await _single(session, lengths[0], STEP_TOKENS) for _ in range(PROBE_REPEATS + 1)][1:]
    firsts = [(length, await _single(session, length, 1)) for _ in range(PROBE_REPEATS) for length in lengths]
    waits = [(length, stream.first_s - stream.sent_s) for length, stream in firsts]
    slope = max(0.0, statistics.linear_regression(*zip(*waits, strict=True)).slope)
    rests = [wait - slope * length for length, wait in waits]
    step_s = statistics.median(_step_s(stream) for stream in steps)
    return Overhead(
        seconds=max(0.0, statistics.median(rests) - step_s),
        error_s=_spread_of_median(rests),
        step_s=step_s,
        handover_s_per_token=await _handover(session, lengths[0])
        if Role.PREFILL in session.policy.deployed
        else 0.0,
        believes_cached=all(_looks_fresh(stream, session.around_tokens) for _, stream in firsts),
    )


async def _single(session: Session, tokens: int, output_tokens: int) -> Stream:
    return (await session.burst(1, tokens, output_tokens)).streams[0]


def _looks_fresh(stream: Stream, around: float) -> bool:
    return (stream.cached_tokens or 0) <= around + CACHED_RATIO * stream.prompt_tokens


def _spread_of_median(values: Sequence[float]) -> float:
    """Return half the 95 % interval of the median: 1.96 x 1.2533 x 1.4826 x MAD / √n."""
    middle = statistics.median(values)
    deviation = statistics.median(abs(value - middle) for value in values)
    return 3.64 * deviation / math.sqrt(len(values))


def _step_s(stream: Stream) -> float:
    """Return the time per token behind the second one, which may wait for a hand-over."""
    i = min(1, len(stream.times_s) - 2)
    if i < 0:
        return 0.0
    return (stream.last_s - stream.times_s[i]) / (stream.tokens[-1] - stream.tokens[i])


def _pause_s(stream: Stream) -> float:
    """Return by how much the second piece came later than its tokens explain."""
    if len(stream.times_s) < 3:
        return 0.0
    expected = (stream.tokens[1] - stream.tokens[0]) * _step_s(stream)
    return stream.times_s[1] - stream.first_s - expected


async def _handover(session: Session, short: int) -> float:
    """Return by how many seconds each prompt token delays the second output token; 0 within the noise.

    An engine that hands over before its first token pays it there: it is then part of the prefill surface.
    """
    long = min(LONG_PROMPT_TOKENS, session.policy.max_context_tokens // 2)
    if long <= 2 * short:
        return 0.0
    pauses = {
        length: [_pause_s(await _single(session, length, STEP_TOKENS)) for _ in range(PROBE_REPEATS)]
        for length in (short, long)
    }
    grown = statistics.fmean(pauses[long]) - statistics.fmean(pauses[short])
    noise = math.hypot(half_width(pauses[long]), half_width(pauses[short]))
    return grown / (long - short) if grown > noise else 0.0
