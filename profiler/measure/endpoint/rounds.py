"""Send prompts together and take all their answers: one round of a point."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from profiler.measure.endpoint.client import Client, Received
from profiler.measure.endpoint.dialect import Dialect
from profiler.measure.endpoint.failure import AnswerError
from profiler.measure.endpoint.prompts import Prompt
from profiler.measure.endpoint.strain import watching
from profiler.measure.endpoint.stream import Stream, read, refused

ATTEMPTS = 3
BACKOFF_S = 1.0
# A prompt may come out longer or shorter by this share, or by a few tokens that begin every sequence.
LENGTH_RATIO, LENGTH_TOKENS = 0.02, 4


@dataclass(frozen=True, slots=True)
class Round:
    """Hold the answers to prompts that were sent together.

    `lag_s` is how late the load generator's event loop ran as a rule, `worst_s` at most.
    """

    streams: tuple[Stream, ...]
    lag_s: float
    worst_s: float

    @property
    def start_s(self) -> float:
        """When the first request was sent."""
        return min(each.sent_s for each in self.streams)

    @property
    def first_tokens_s(self) -> float:
        """The time from the first request to the last first token."""
        return max(each.first_s for each in self.streams) - self.start_s


async def play(client: Client, dialect: Dialect, prompts: Sequence[Prompt], tokens: int) -> Round:
    """Have every prompt answered with `tokens` tokens; suspect failures are tried again.

    One answer that fails ends the round and closes its other streams. Raises AnswerError when it stays so.
    """
    bodies = [dialect.body(prompt, tokens) for prompt in prompts]
    for attempt in range(ATTEMPTS):
        try:
            return await _play(client, dialect.path, bodies, tokens)
        except AnswerError as error:
            if not error.suspect or attempt == ATTEMPTS - 1:
                raise
        # An endpoint that went away refuses here with an error of its own, which stops the sweep.
        await client.get("/v1/models")
        await asyncio.sleep(BACKOFF_S * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


async def _play(client: Client, path: str, bodies: Sequence[bytes], tokens: int) -> Round:
    async def one(body: bytes) -> Received:
        received = await client.post(path, body)
        if received.status != 200:
            raise refused(received)
        return received

    async with watching() as strain:
        asked = [asyncio.ensure_future(one(body)) for body in bodies]
        try:
            answers = await asyncio.gather(*asked)
        finally:
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
    # Parsed when nothing streams any more: it would delay the time stamps.
    return Round(tuple(read(received, tokens) for received in answers), strain.lag_s, strain.worst_s)


def check_lengths(streams: Sequence[Stream], prompt_tokens: int) -> None:
    """Refuse a round whose prompts did not come out as long as asked."""
    for stream in streams:
        off = abs(stream.prompt_tokens - prompt_tokens)
        if off > max(LENGTH_TOKENS, LENGTH_RATIO * prompt_tokens):
            raise AnswerError(
                f"a prompt of {prompt_tokens} tokens was counted as {stream.prompt_tokens}", suspect=False
            )
