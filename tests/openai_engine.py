"""Serve the OpenAI completions API on the loopback from an engine whose times are known exactly.

One event loop plays a continuous-batching engine: it reads waiting prompts, one iteration of at most
`max_num_batched_tokens` at a time, and decodes all running sequences in between. What it does wrong, it does
on purpose and where a test asked for it.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

BLOCK_TOKENS = 16


@dataclass(frozen=True)
class Clockwork:
    """State the engine's times in seconds: of an iteration, per token read, per step, sequence, context."""

    request_s: float = 0.0
    prefill_base_s: float = 0.004
    prefill_s_per_token: float = 20e-6
    step_s: float = 0.004
    sequence_s: float = 0.0002
    context_s: float = 1e-6

    def prefill_s(self, tokens: float) -> float:
        """Return the time of an iteration that reads this many tokens."""
        return self.prefill_base_s + self.prefill_s_per_token * tokens

    def decode_s(self, sequences: float, context_tokens: float) -> float:
        """Return the time of a step of `sequences` with this much context each."""
        return self.step_s + sequences * (self.sequence_s + self.context_s * context_tokens)


@dataclass
class Behaviour:
    """Say how the server deviates from a good one; the defaults are a good one."""

    models: tuple[str, ...] = ("tiny",)
    token_ids: bool = True
    chat_only: bool = False
    tokens_per_chunk: int = 1
    continuous_usage: bool = False
    strict: bool = False
    usage: bool = True
    ends_early: int | None = None
    prefix_cache: bool = False
    reports_cached: bool = True
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 1_000_000
    max_context_tokens: int = 100_000
    word_tokens: int = 1
    template_tokens: int = 0
    metrics: str = ""
    server_info: dict[str, object] | None = None
    api_key: str | None = None
    # Called with the number of the completion request (from 1) and its body; returns what to write instead of
    # a good answer, as bytes of HTTP, after which the connection closes; None answers well.
    instead: Callable[[int, dict[str, Any]], bytes | None] | None = None
    # Called alike; returns after how many chunks the connection is cut.
    cut_after: Callable[[int], int | None] | None = None
    silent_after: int | None = None


@dataclass
class Job:
    """Hold one request while the engine works on it."""

    prompt: list[int]
    max_tokens: int
    cached: int = 0
    produced: int = 0
    steps: "asyncio.Queue[int]" = field(default_factory=asyncio.Queue)
    gone: bool = False


@dataclass
class State:
    """Hold what the server saw: completions asked for, streams open, the most that decoded together."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    streams: int = 0
    most_running: int = 0
    completions: int = 0


class Engine:
    """Run iterations while there is work."""

    def __init__(self, clockwork: Clockwork, behaviour: Behaviour, state: State) -> None:
        self.clockwork, self.behaviour, self.state = clockwork, behaviour, state
        self.waiting: list[Job] = []
        self.running: list[Job] = []
        self.blocks: set[int] = set()
        self.work = asyncio.Event()

    def submit(self, sequence: Job) -> None:
        """Queue a request."""
        if self.behaviour.prefix_cache:
            # The last token is always computed.
            for i, block in enumerate(_blocks(sequence.prompt[:-1]), start=1):
                if block not in self.blocks:
                    break
                sequence.cached = i * BLOCK_TOKENS
        self.waiting.append(sequence)
        self.work.set()

    async def run(self) -> None:
        """Iterate until cancelled; steps follow one another without drift."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.waiting = [s for s in self.waiting if not s.gone]
            self.running = [s for s in self.running if not s.gone]
            if not self.waiting and not self.running:
                self.work.clear()
                await self.work.wait()
                # Requests that were sent together arrive within a moment.
                await asyncio.sleep(0.002)
                due = loop.time()
            admitted = self._admit()
            if admitted:
                due += self.clockwork.prefill_s(sum(len(s.prompt) - s.cached for s in admitted))
            elif self.running:
                n = len(self.running)
                context = sum(len(s.prompt) + s.produced for s in self.running) / n
                due += self.clockwork.decode_s(n, context)
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.running += admitted
            self.state.most_running = max(self.state.most_running, len(self.running))
            for each in admitted or list(self.running):
                each.produced += 1
                each.steps.put_nowait(each.produced)
            self.running = [s for s in self.running if s.produced < s.max_tokens]

    def _admit(self) -> list[Job]:
        taken: list[Job] = []
        tokens = 0
        free = self.behaviour.max_num_seqs - len(self.running)
        while self.waiting and len(taken) < free:
            tokens += len(self.waiting[0].prompt) - self.waiting[0].cached
            if taken and tokens > self.behaviour.max_num_batched_tokens:
                break
            taken.append(self.waiting.pop(0))
        if self.behaviour.prefix_cache:
            for each in taken:
                self.blocks.update(_blocks(each.prompt))
        return taken


def _blocks(prompt: list[int]) -> Iterator[int]:
    """Yield the chained hash of each whole block."""
    chained = 0
    for end in range(BLOCK_TOKENS, len(prompt) + 1, BLOCK_TOKENS):
        chained = hash((chained, *prompt[end - BLOCK_TOKENS : end]))
        yield chained


class Server:
    """Speak HTTP/1.1 as far as clients of this API need."""

    def __init__(self, clockwork: Clockwork, behaviour: Behaviour, state: State) -> None:
        self.clockwork, self.behaviour, self.state = clockwork, behaviour, state
        self.engine = Engine(clockwork, behaviour, state)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().rstrip().split("\r\n")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                if not await self._answer(first.split()[1], headers, body, reader, writer):
                    break
        writer.close()

    async def _answer(
        self,
        path: str,
        headers: dict[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        does = self.behaviour
        if does.api_key and headers.get("authorization") != f"Bearer {does.api_key}":
            return _plain(writer, 401, json.dumps({"error": {"message": "invalid api key"}}))
        if path == "/v1/models":
            return _plain(writer, 200, json.dumps({"data": [{"id": name} for name in does.models]}))
        if path == "/metrics" and does.metrics:
            return _plain(writer, 200, does.metrics)
        if path == "/get_server_info" and does.server_info is not None:
            return _plain(writer, 200, json.dumps(does.server_info))
        if path != ("/v1/chat/completions" if does.chat_only else "/v1/completions"):
            return _plain(writer, 404, json.dumps({"detail": "Not Found"}))
        return await self._complete(json.loads(body), headers, reader, writer)

    async def _complete(
        self,
        body: dict[str, Any],
        headers: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        does, state = self.behaviour, self.state
        state.completions += 1
        state.bodies.append(body)
        state.headers.append(headers)
        number = state.completions
        if does.instead is not None and (raw := does.instead(number, body)) is not None:
            writer.write(raw)
            await writer.drain()
            return False
        if refusal := self._refusal(body):
            return _plain(writer, *refusal)
        sequence = Job(self._prompt(body), int(body["max_tokens"]))
        if does.ends_early:
            sequence.max_tokens = min(sequence.max_tokens, does.ends_early)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        state.streams += 1
        listening = asyncio.ensure_future(reader.read(1))
        try:
            return await self._stream(body, sequence, number, listening, writer)
        finally:
            sequence.gone = True
            state.streams -= 1
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    def _refusal(self, body: dict[str, Any]) -> tuple[int, str] | None:
        does = self.behaviour
        if body.get("model") not in does.models:
            return 404, json.dumps({"error": {"message": f"model {body.get('model')} not found"}})
        if does.strict and set(body) - {
            "model",
            "prompt",
            "max_tokens",
            "stream",
            "stream_options",
            "temperature",
        }:
            return 400, json.dumps({"error": {"message": "Unsupported parameter(s)"}})
        if not does.token_ids and isinstance(body.get("prompt"), list):
            return 400, json.dumps({"error": {"message": "prompt must be a string"}})
        if len(self._prompt(body)) + int(body["max_tokens"]) > does.max_context_tokens:
            text = f"This model's maximum context length is {does.max_context_tokens} tokens."
            return 400, json.dumps({"error": {"message": text}})
        return None

    def _prompt(self, body: dict[str, Any]) -> list[int]:
        given = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
        if isinstance(given, list):
            return [int(each) for each in given]
        words = [hash(word) for word in given.split() for _ in range(self.behaviour.word_tokens)]
        return [0] * self.behaviour.template_tokens + words

    async def _stream(
        self,
        body: dict[str, Any],
        sequence: Job,
        number: int,
        listening: "asyncio.Future[bytes]",
        writer: asyncio.StreamWriter,
    ) -> bool:
        does = self.behaviour
        await asyncio.sleep(self.clockwork.request_s)
        self.engine.submit(sequence)
        cut = does.cut_after(number) if does.cut_after else None
        if does.chat_only:
            _event(writer, {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
        unsent = chunks = 0
        while not writer.transport.is_closing():
            if not await _next(sequence.steps, listening):
                return False
            unsent += 1
            done = sequence.produced >= sequence.max_tokens and sequence.steps.empty()
            if unsent < does.tokens_per_chunk and not done:
                continue
            if chunks == cut:
                writer.transport.abort()
                return False
            if does.silent_after == chunks:
                await listening
                return False
            self._tokens(writer, body, sequence, unsent)
            unsent, chunks = 0, chunks + 1
            if done:
                break
        ended: dict[str, Any] = {"delta": {}} if does.chat_only else {"text": ""}
        _event(writer, {"choices": [{"index": 0, "finish_reason": "length", **ended}]})
        if does.usage and (body.get("stream_options") or {}).get("include_usage"):
            _event(writer, {"choices": [], "usage": self._usage(sequence, sequence.produced)})
        _chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        # A client that already sent its next request has been heard as leaving: it must connect anew.
        return not listening.done()

    def _tokens(self, writer: asyncio.StreamWriter, body: dict[str, Any], sequence: Job, count: int) -> None:
        text = " x" * count
        said: dict[str, Any] = {"delta": {"content": text}} if self.behaviour.chat_only else {"text": text}
        event: dict[str, Any] = {"choices": [{"index": 0, "finish_reason": None, **said}]}
        wanted = (body.get("stream_options") or {}).get("continuous_usage_stats")
        if wanted and self.behaviour.continuous_usage:
            event["usage"] = self._usage(sequence, sequence.produced)
        _event(writer, event)

    def _usage(self, sequence: Job, produced: int) -> dict[str, Any]:
        usage: dict[str, Any] = {"prompt_tokens": len(sequence.prompt), "completion_tokens": produced}
        if self.behaviour.reports_cached:
            usage["prompt_tokens_details"] = {"cached_tokens": sequence.cached}
        return usage


async def _next(steps: "asyncio.Queue[int]", listening: "asyncio.Future[bytes]") -> bool:
    """Wait for the sequence's next token; false when the client left first."""
    if not steps.empty():
        steps.get_nowait()
        return True
    step: asyncio.Future[Any] = asyncio.ensure_future(steps.get())
    await asyncio.wait([step, listening], return_when=asyncio.FIRST_COMPLETED)
    if step.done():
        return True
    step.cancel()
    return False


def _event(writer: asyncio.StreamWriter, event: dict[str, Any]) -> None:
    _chunk(
        writer,
        b"data: " + json.dumps({"id": "cmpl-1", "object": "text_completion", **event}).encode() + b"\n\n",
    )


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _plain(writer: asyncio.StreamWriter, status: int, text: str) -> bool:
    writer.write(http(status, text))
    return True


def http(status: int, text: str, kind: str = "application/json") -> bytes:
    """Write a whole HTTP answer, the last of its connection."""
    body = text.encode()
    # Unsaid, a client that keeps connections would sometimes ask again on this one while it closes.
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"{head}\r\n\r\n".encode() + body


@contextmanager
def serving(clockwork: Clockwork | None = None, behaviour: Behaviour | None = None) -> Iterator[State]:
    """Serve until the caller is done, on a thread of its own."""
    state = State()
    ready = threading.Event()
    stop: asyncio.Event
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        nonlocal stop
        stop = asyncio.Event()
        server = Server(clockwork or Clockwork(), behaviour or Behaviour(), state)
        engine = asyncio.ensure_future(server.engine.run())
        listener = await asyncio.start_server(server.connected, "127.0.0.1", 0, limit=2**26, backlog=4096)
        state.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        listener.close()
        engine.cancel()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(serve())
        finally:
            loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield state
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
