"""Send requests and note when each piece of an answer arrives; the one place that knows aiohttp.

Nothing is parsed while answers stream: a reading costs 15 to 25 microseconds, and readings that fall behind
hold several pieces each, so that a busy client blurs times but does not hold up the server.
"""

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from models.errors import MeasureError
from profiler.measure.endpoint.failure import AnswerError

if TYPE_CHECKING:
    from aiohttp import ClientError, ClientResponse, ClientSession

CONNECT_S = 10.0
# What a person reads of a server's message.
SAID_CHARACTERS = 300


@dataclass(slots=True)
class Received:
    """Hold an answer as it came: bytes, and when (monotonic seconds) how many of them were there."""

    sent_s: float
    status: int = 0
    kind: str = ""
    data: bytearray = field(default_factory=bytearray)
    times_s: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer as text."""
        return self.data.decode(errors="replace")


class Client:
    """Hold connections to one endpoint while a point is measured."""

    def __init__(
        self,
        base: str,
        headers: Mapping[str, str],
        api_key: str | None,
        ca_file: str | None,
        silence_s: float,
    ) -> None:
        """Connect lazily; `silence_s` is the longest wait for the next byte."""
        self._base = base
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **headers}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._ca_file = ca_file
        self._silence_s = silence_s
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open a pool of connections without a bound: each stream of a batch holds one."""
        from aiohttp import ClientSession, ClientTimeout, TCPConnector

        try:
            trust: ssl.SSLContext | bool = True
            if self._ca_file is not None:
                trust = ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:
            raise MeasureError(f"{self._ca_file}: the certificates cannot be read: {error}") from None
        self._session = ClientSession(
            connector=TCPConnector(limit=0, ssl=trust),
            timeout=ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=self._silence_s),
            headers=self._headers,
            trust_env=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection: the server sees streams that were still open end."""
        if self._session is not None:
            await self._session.close()

    async def post(self, path: str, body: bytes) -> Received:
        """Send a request and take the whole answer; raises AnswerError when it breaks off."""
        return await self._exchange("POST", self._base + path, body)

    async def get(self, url_or_path: str) -> Received:
        """Ask for a page of the endpoint, or of another address."""
        url = url_or_path if "://" in url_or_path else self._base + url_or_path
        return await self._exchange("GET", url, None)

    async def _exchange(self, method: str, url: str, body: bytes | None) -> Received:
        from aiohttp import ClientError

        assert self._session is not None
        received = Received(time.monotonic())
        try:
            async with self._session.request(method, url, data=body) as answer:
                received.status, received.kind = answer.status, answer.content_type
                acknowledge = _acknowledging(answer)
                acknowledge()
                while piece := await answer.content.readany():
                    received.data += piece
                    received.times_s.append(time.monotonic())
                    received.lengths.append(len(received.data))
                    acknowledge()
        except TimeoutError:
            raise AnswerError(f"{url} said nothing for {self._silence_s:g} s", suspect=True) from None
        except ClientError as error:
            raise self._lost(url, error, received) from None
        except OSError as error:
            raise AnswerError(f"{url} broke the connection: {error}", suspect=True) from None
        return received

    def _lost(self, url: str, error: "ClientError", received: Received) -> Exception:
        from aiohttp import ClientConnectorError, ClientSSLError, InvalidURL

        if isinstance(error, ClientSSLError):
            return MeasureError(
                f"{self._base}: its certificate is not trusted: {error}; name the file of its "
                "authority (--ca-file)"
            )
        if isinstance(error, ClientConnectorError):
            return unreachable(self._base, str(error.os_error))
        if isinstance(error, InvalidURL):
            return MeasureError(f"{url!r} is not a URL that can be asked")
        after = f" after {len(received.data)} bytes" if received.data else ""
        return AnswerError(f"{url} broke the connection{after} ({type(error).__name__})", suspect=True)


def _acknowledging(answer: "ClientResponse") -> Callable[[], None]:
    """Return what has the kernel acknowledge at once what has arrived.

    Otherwise it waits for up to 40 ms, and a server that gathers small packets (Nagle) holds the first tokens
    back until then: on Dynamo the first token took 43 ms for prompts of 16 and of 1,024 tokens alike, and
    13 and 33 ms without.
    """
    option = getattr(socket, "TCP_QUICKACK", None)
    connection = answer.connection
    transport = None if connection is None else connection.transport
    open_socket = None if transport is None else transport.get_extra_info("socket")
    if option is None or open_socket is None:
        return lambda: None

    def acknowledge() -> None:
        # A connection that has just been closed needs no acknowledgement.
        with suppress(OSError):
            open_socket.setsockopt(socket.IPPROTO_TCP, option, 1)

    return acknowledge


def unreachable(base: str, why: str) -> MeasureError:
    """Say that nothing answers at the endpoint."""
    return MeasureError(
        f"{base} cannot be reached: {why}; start the endpoint or correct its URL, then run the same command "
        "again: measured points are kept"
    )


def said(received: Received) -> str:
    """Return what the server said, short and on one line."""
    text = " ".join(received.text.split())
    return text[:SAID_CHARACTERS] or "nothing"
