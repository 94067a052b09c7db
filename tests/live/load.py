"""Send requests to a frontend as their users would: at their own times, whatever became of earlier ones."""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

from tests.integration.dynamo_model import MODEL, prompt

PATIENCE_S = 60.0
PROMPTS = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """Say what one user saw, in seconds, `sent_s` since the begin of the load; `None` was never seen."""

    sent_s: float
    ttft_s: float | None = None
    tpot_s: float | None = None

    def keeps(self, ttft_s: float, tpot_s: float) -> bool:
        """Say whether the answer came, its first token and the mean of the others in time."""
        if self.ttft_s is None or self.tpot_s is None:
            return False
        return self.ttft_s <= ttft_s and self.tpot_s <= tpot_s


@dataclass(slots=True)
class Load:
    """Requests of one length that arrive at random, `rate_rps(t)` of them a second, for `lasts_s`."""

    base_url: str
    rate_rps: Callable[[float], float]
    lasts_s: float
    isl_tokens: int
    osl_tokens: int
    seed: int = 0
    answers: list[Answer] = field(default_factory=list)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send, in a thread."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until the last answer has come, or was waited for long enough."""
        assert self._thread is not None
        self._thread.join(self.lasts_s + 2 * PATIENCE_S)
        assert not self._thread.is_alive(), "the load did not come to an end"

    async def _send(self) -> None:
        begin_s = asyncio.get_running_loop().time()
        # No pool: a user who waits must not keep another one from asking.
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            asking = []
            texts = [prompt(self.isl_tokens, seed) for seed in range(PROMPTS)]
            for number, at_s in enumerate(arrivals(self.rate_rps, self.lasts_s, self.seed)):
                await asyncio.sleep(max(begin_s + at_s - asyncio.get_running_loop().time(), 0.0))
                text = texts[number % PROMPTS]
                asking.append(asyncio.create_task(self._ask(session, at_s, text)))
            await asyncio.gather(*asking)

    async def _ask(self, session: aiohttp.ClientSession, at_s: float, text: str) -> None:
        clock = asyncio.get_running_loop().time
        body = {
            "model": MODEL,
            "prompt": text,
            "max_tokens": self.osl_tokens,
            "ignore_eos": True,
            "stream": True,
        }
        sent_s, first_s, last_s, tokens = clock(), None, 0.0, 0
        try:
            async with session.post(f"{self.base_url}/v1/completions", json=body) as answer:
                async for line in answer.content:
                    if answer.status == 200 and _is_token(line):
                        last_s, tokens = clock(), tokens + 1
                        first_s = last_s if first_s is None else first_s
        except (aiohttp.ClientError, TimeoutError):
            tokens = 0
        if first_s is None or tokens < self.osl_tokens:
            self.answers.append(Answer(at_s))
            return
        tpot_s = (last_s - first_s) / max(tokens - 1, 1)
        self.answers.append(Answer(at_s, first_s - sent_s, tpot_s))


def arrivals(rate_rps: Callable[[float], float], lasts_s: float, seed: int) -> Sequence[float]:
    """Draw the arrival times of a Poisson process of this rate, by thinning (Lewis and Shedler 1979)."""
    generator = np.random.default_rng(seed)
    most = max(rate_rps(float(t)) for t in np.linspace(0.0, lasts_s, 1000))
    times = np.cumsum(generator.exponential(1.0 / most, size=int(2 * most * lasts_s) + 100))
    times = times[times < lasts_s]
    kept = generator.random(len(times)) * most < [rate_rps(float(t)) for t in times]
    return [float(t) for t in times[kept]]


def _is_token(line: bytes) -> bool:
    if not line.startswith(b"data: {"):
        return False
    event: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
    return any(choice.get("text") for choice in event.get("choices", ()))
