"""Play rounds of random prompts against one endpoint, and check that they were what was asked for."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from profiler.measure.endpoint.client import Client
from profiler.measure.endpoint.confidence import half_width
from profiler.measure.endpoint.dialect import Dialect
from profiler.measure.endpoint.failure import AnswerError
from profiler.measure.endpoint.policy import EndpointPolicy
from profiler.measure.endpoint.prompts import Prompt, Words
from profiler.measure.endpoint.rounds import Round, check_lengths, play
from profiler.measure.endpoint.stream import Stream

if TYPE_CHECKING:
    from numpy.random import Generator

SHORT_TOKENS = 32
# Engines keep whole blocks of a prefix, of 16 to 128 tokens.
BLOCK_TOKENS = 128
# Random prompts share nothing but what a chat template puts in front of them.
CACHED_RATIO = 0.02


@dataclass(frozen=True, slots=True)
class Session:
    """Hold what measuring one point works with.

    `believes_cached` says whether the cached tokens that the endpoint reports mean the prefix cache; a decode
    worker may report the whole prompt that prefill handed over.
    """

    client: Client
    dialect: Dialect
    policy: EndpointPolicy
    rng: "Generator"
    believes_cached: bool = False

    @property
    def around_tokens(self) -> float:
        """Tokens that a chat template puts around each prompt."""
        return self.dialect.writing.around if isinstance(self.dialect.writing, Words) else 0.0

    def templated(self, tokens: int = SHORT_TOKENS) -> int:
        """Return the length of a prompt that says this many tokens, the chat template included."""
        return tokens + math.ceil(self.around_tokens)

    async def burst(self, count: int, tokens: int, output_tokens: int, prefix: Prompt | None = None) -> Round:
        """Send `count` prompts of `tokens` fresh tokens each, behind the prefix, together."""
        writing = self.dialect.writing
        prompts = [writing.make(self.rng, tokens, prefix) for _ in range(count)]
        return await play(self.client, self.dialect, prompts, output_tokens)

    async def checked(
        self, count: int, tokens: int, output_tokens: int, cached: int = 0, prefix: Prompt | None = None
    ) -> Round:
        """Do the same, and raise AnswerError where lengths or cache hits are not what was asked for."""
        played = await self.burst(count, tokens, output_tokens, prefix)
        check_lengths(played.streams, tokens + cached)
        if self.believes_cached:
            check_cached(played.streams, cached, self.around_tokens)
        return played

    async def warmed_prefix(self, tokens: int, copies: int) -> Prompt:
        """Return a random prefix of this length that each replica's cache has seen."""
        prefix = self.dialect.writing.make(self.rng, tokens)
        # Twice as many requests as replicas, so that a router that balances reaches every one.
        for _ in range(1 if copies == 1 else 2):
            await self.burst(copies, BLOCK_TOKENS, 1, prefix)
        return prefix

    def settled(self, values: Sequence[float], began_s: float) -> bool:
        """Whether the mean is known well enough, or has taken as long as it may."""
        if len(values) < min(self.policy.min_repeats, self.policy.max_repeats):
            return False
        mean = sum(values) / len(values)
        if half_width(values) <= self.policy.error_ratio * abs(mean):
            return True
        return time.monotonic() - began_s > self.policy.max_point_s


def check_cached(streams: Sequence[Stream], wanted: int, around: float) -> None:
    """Refuse a round of which the prefix cache served more or less than it should."""
    for stream in streams:
        if stream.cached_tokens is None:
            continue
        most = wanted + around + CACHED_RATIO * stream.prompt_tokens
        if stream.cached_tokens > most:
            raise AnswerError(
                f"{stream.cached_tokens} of {stream.prompt_tokens} prompt tokens came from a cache though "
                f"{'only ' + str(wanted) if wanted else 'none'} should: the time would not be the engine's",
                suspect=False,
            )
        if stream.cached_tokens < wanted * (1 - CACHED_RATIO) - BLOCK_TOKENS:
            raise AnswerError(
                f"the prefix cache held {stream.cached_tokens} of a prefix of {wanted} tokens that was just "
                "sent: it is off, or smaller than that",
                suspect=False,
            )
