"""Stand between a client and a server on the loopback, and break what passes as a test asks for."""

import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

# They speak of one connection alone.
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "content-length"})
_PIECE = 65_536


class Cut(Enum):
    """Where a connection is cut: before the server hears of it, after it has answered, within the answer."""

    BEFORE = "before"
    AFTER = "after"
    WITHIN = "within"


@dataclass
class Fault:
    """Break requests whose method and path (a regular expression, query included) fit; `times`: how many.

    After `delay_s` the connection is cut, or `status` is answered with `body` and `headers` in place of the
    server, or the request is passed on.
    """

    method: str = ""
    path: str = ""
    times: int | None = None
    delay_s: float = 0.0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    cut: Cut | None = None

    def fits(self, method: str, path: str) -> bool:
        """Say whether it breaks a request."""
        return self.times != 0 and self.method in ("", method) and bool(re.search(self.path, path))


@dataclass(frozen=True, slots=True)
class Passed:
    """One request that came, and the status that went back; 0 where none did."""

    method: str
    path: str
    status: int


def refusal(status: int, message: str, **headers: str) -> Fault:
    """Make a Kubernetes API server's refusal; underscores in the names of headers stand for dashes."""
    said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}
    stated = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status=status, body=json.dumps(said), headers={"Content-Type": "application/json", **stated})


class FaultyProxy:
    """Pass requests on to a server under plain HTTP, with the faults of the moment.

    Credentials travel in headers (tokens); a client certificate does not reach the server through it.
    """

    def __init__(self, upstream: str, authority: Path | None = None) -> None:
        """Bind to a server; `authority` is the certificate that vouches for it."""
        self.faults: list[Fault] = []
        self.came: list[tuple[str, str]] = []
        """Method and path of each request, in the order in which they came."""
        self.passed: list[Passed] = []
        """What was answered, in the order of the answers."""
        parts = urlsplit(upstream)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._tls = ssl.create_default_context(cafile=authority) if parts.scheme == "https" else None
        self._lock, self.stopped = threading.Lock(), threading.Event()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["FaultyProxy"]:
        """Serve until the caller is done."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self.stopped.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    @contextmanager
    def broken(self, *faults: Fault) -> Iterator[None]:
        """Break what fits while the caller is at it."""
        self.faults.extend(faults)
        try:
            yield
        finally:
            for fault in faults:
                self.faults.remove(fault)

    def fault(self, method: str, path: str) -> Fault | None:
        """Take the first fault that fits a request that came."""
        with self._lock:
            self.came.append((method, path))
            found = next((each for each in self.faults if each.fits(method, path)), None)
            if found is not None and found.times is not None:
                found.times -= 1
            return found

    def note(self, method: str, path: str, status: int) -> None:
        """Remember a request."""
        with self._lock:
            self.passed.append(Passed(method, path, status))

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection to the server."""
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=120)
        return http.client.HTTPSConnection(self._host, self._port, timeout=120, context=self._tls)


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyProxy
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        """Read one request and answer it; a client or a server that goes away ends the connection."""
        with suppress(OSError, http.client.HTTPException):
            super().handle_one_request()
            return
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing; `passed` remembers."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        fault = self.owner.fault(self.command, self.path) or Fault()
        if fault.delay_s and self.owner.stopped.wait(fault.delay_s):
            return self._hang_up()
        if fault.cut is Cut.BEFORE:
            return self._hang_up()
        if fault.status is not None:
            return self._answer(fault)
        return self._pass_on(body, fault.cut)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815 (http.server looks for these)

    def _hang_up(self) -> None:
        self.owner.note(self.command, self.path, 0)
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, fault: Fault) -> None:
        data = fault.body.encode()
        self.owner.note(self.command, self.path, fault.status or 0)
        self.send_response(fault.status or 500)
        for name, value in {**fault.headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _pass_on(self, body: bytes | None, cut: Cut | None) -> None:
        upstream = self.owner.connect()
        try:
            kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            upstream.request(self.command, self.path, body, kept)
            answer = upstream.getresponse()
            if cut is Cut.AFTER:
                answer.read()
                return self._hang_up()
            self.owner.note(self.command, self.path, answer.status)
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            # As it comes: a watch answers for as long as it lasts.
            while piece := answer.read1(_PIECE):
                if cut is Cut.WITHIN:
                    piece = piece[: len(piece) // 2]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                if cut is Cut.WITHIN:
                    return self._hang_up()
            self.wfile.write(b"0\r\n\r\n")
        finally:
            upstream.close()
        return None
