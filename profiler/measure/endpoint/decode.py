"""Time output tokens at a held batch: rounds of sequences that start together and all decode for a while."""

import math
import statistics
import time
from dataclasses import dataclass, field

from profiler.measure.backend import Measurement, SweepPoint
from profiler.measure.endpoint.confidence import half_width
from profiler.measure.endpoint.failure import AnswerError
from profiler.measure.endpoint.rounds import Round
from profiler.measure.endpoint.session import Session
from profiler.measure.endpoint.windows import (
    SETTLING_TOKENS,
    STRETCH_TOKENS,
    Window,
    most_together,
    stagger_tokens,
    window,
)

# A window is a quarter of the context long, so that the context stands still, within these bounds in tokens.
SHORTEST_WINDOW, LONGEST_WINDOW = 16, 64
# The mean context in the window may be off by this share of it, or by some tokens.
CONTEXT_RATIO, CONTEXT_TOKENS = 0.05, 8
MOST_CORRECTIONS = 5
# Time stamps that are late alike at both ends of a window cancel out. Where they may be late by more than
# this share of it, the load generator is measured instead of the engine.
MOST_LAG_RATIO = 0.2
# So is it where its event loop runs later than this and than two tokens: it cannot read that many streams.
MOST_LAG_S = 0.05


@dataclass(slots=True)
class Plan:
    """Hold how long prompts and outputs of the next round are.

    `stagger` is how many tokens the first sequence is expected to be ahead when the last one begins.
    """

    tokens: int
    window: int
    stagger: float
    shift: float = 0.0

    @property
    def output(self) -> int:
        """Tokens that each sequence writes."""
        return math.ceil(self.stagger) + self.window + SETTLING_TOKENS + 2

    @property
    def prompt(self) -> int:
        """Tokens of each prompt, so that the mean context in the window is the one asked for."""
        return round(self.tokens - self.stagger / 2 - self.window / 2 - SETTLING_TOKENS - self.shift)


@dataclass(slots=True)
class Held:
    """Collect what rounds gave."""

    itl_s: list[float] = field(default_factory=list)
    blur_ratio: list[float] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)
    together: int = 0


async def measure_decode(session: Session, point: SweepPoint, stagger: float) -> Measurement:
    """Return the seconds per output token of each of `batch` sequences with `tokens` of context.

    `stagger` is the prior guess for the plan. The first round that fits the plan warms the engine up and does
    not count. Raises AnswerError when the engine never decodes all sequences at once.
    """
    count = max(1, round(point.batch)) * session.policy.copies(point.role)
    tokens = max(4, round(point.tokens))
    width = max(SHORTEST_WINDOW, min(tokens // 4, LONGEST_WINDOW))
    plan = Plan(tokens, min(width, max(2, 2 * (tokens - SETTLING_TOKENS - 2))), min(stagger, tokens))
    held = Held()
    began_s = time.monotonic()
    corrections = rounds = 0
    while rounds <= session.policy.max_repeats:
        if plan.prompt < 1:
            raise AnswerError(
                f"prompts are read so slowly that the first of {count} sequences has written about "
                f"{plan.stagger:.0f} tokens when the last one begins: a context of {tokens} tokens cannot "
                "be held; ask for a longer one, or a smaller batch",
                suspect=False,
            )
        played = await session.checked(count, plan.prompt, plan.output)
        found = window(played.streams, plan.window)
        if not _fits(plan, played, found, held, count):
            corrections += 1
            if corrections > MOST_CORRECTIONS:
                raise AnswerError(
                    f"{count} sequences with a context of {tokens} tokens did not stand still "
                    f"in {corrections} rounds",
                    suspect=False,
                )
            continue
        rounds += 1
        if rounds > 1 and found is not None:
            held.itl_s += found.itl_s
            held.lag_s.append(played.lag_s)
            held.blur_ratio.append(played.lag_s / (found.stretch_s * len(found.itl_s)))
        if session.settled(held.itl_s, began_s):
            break
    return _measurement(held)


def _measurement(held: Held) -> Measurement:
    seconds = statistics.fmean(held.itl_s)
    blur = statistics.fmean(held.blur_ratio)
    lag_s = statistics.fmean(held.lag_s)
    if blur > MOST_LAG_RATIO or lag_s > max(MOST_LAG_S, 2 * seconds):
        raise _late(lag_s)
    blur_s = blur * seconds / math.sqrt(len(held.blur_ratio))
    return Measurement(seconds, math.hypot(half_width(held.itl_s), blur_s), len(held.itl_s))


def _late(lag_s: float) -> AnswerError:
    return AnswerError(
        f"the load generator ran {lag_s * 1e3:.0f} ms late, so that it would be measured and not the engine: "
        "run it on an idle machine near the endpoint, or ask for a smaller batch",
        suspect=False,
    )


def _fits(plan: Plan, played: Round, found: Window | None, held: Held, count: int) -> bool:
    """Whether the round shows what was planned; corrects the plan where it does not."""
    if found is None or len(found.itl_s) < max(1, plan.window // STRETCH_TOKENS // 2):
        together = most_together(played.streams)
        if played.lag_s > MOST_LAG_S:
            raise _late(played.lag_s)
        if together < count and together <= held.together * 1.02:
            raise AnswerError(
                f"at most {together} of {count} sequences decode at once: max_num_seqs or the KV cache of "
                "the engine bounds them",
                suspect=False,
            )
        held.together = together
        plan.stagger = max(2 * plan.stagger, 2 * stagger_tokens(played.streams), float(plan.window))
        return False
    off = found.context_tokens - plan.tokens
    if abs(off) <= max(CONTEXT_RATIO * plan.tokens, CONTEXT_TOKENS):
        return True
    plan.shift += off
    return False
