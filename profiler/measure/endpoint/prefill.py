"""Time how long prompts that are sent together take to be read."""

import math
import statistics
import time

from profiler.measure.backend import Measurement, SweepPoint
from profiler.measure.endpoint.confidence import half_width
from profiler.measure.endpoint.failure import AnswerError
from profiler.measure.endpoint.probe import Overhead
from profiler.measure.endpoint.session import Session

# A round in which the load generator was held up for more than this share of it is played again, so often.
MOST_LAG_RATIO, MOST_REPLAYS = 0.1, 3


async def measure_prefill(session: Session, point: SweepPoint, overhead: Overhead) -> Measurement:
    """Return the engine seconds in which `batch` prompts are read.

    That is the time to the last first token, less the overhead. The first round opens connections and warms
    the engine up for this shape; it does not count.
    """
    tokens, cached = max(1, round(point.tokens)), round(point.cached_tokens)
    copies = session.policy.copies(point.role)
    count = max(1, round(point.batch)) * copies
    prefix = await session.warmed_prefix(cached, copies) if cached else None
    taken_s: list[float] = []
    late_s: list[float] = []
    began_s = time.monotonic()
    replays = 0
    await session.checked(count, tokens, 1, cached, prefix)
    while len(taken_s) < session.policy.max_repeats and not session.settled(taken_s, began_s):
        played = await session.checked(count, tokens, 1, cached, prefix)
        held_up = played.worst_s > MOST_LAG_RATIO * played.first_tokens_s
        if held_up and replays < MOST_REPLAYS:
            replays += 1
            continue
        taken_s.append(played.first_tokens_s - overhead.seconds)
        late_s.append(played.lag_s)
    seconds = statistics.fmean(taken_s)
    error_s = math.hypot(half_width(taken_s), overhead.error_s, statistics.fmean(late_s))
    if seconds <= 0:
        raise AnswerError(
            f"{count} prompts of {tokens} tokens took {seconds * 1e3:.1f} ± {error_s * 1e3:.1f} ms of engine "
            f"time behind an overhead of {overhead.seconds * 1e3:.1f} ms: too little to be told apart",
            suspect=False,
        )
    return Measurement(seconds, error_s, len(taken_s))
