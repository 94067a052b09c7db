"""Answer HTTP on the loopback as a test wants: a Prometheus that misbehaves on purpose."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """One query as it arrived."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Answering:
    """Hold where the server listens, and what it was asked."""

    url: str
    requests: list[Request] = field(default_factory=list)


# Returns HTTP status and body.
Respond = Callable[[Request], tuple[int, str]]


@contextmanager
def answering(respond: Respond) -> Iterator[Answering]:
    """Serve until the caller is done."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {k: v[0] for k, v in parse_qs(parts.query).items()}
            request = Request(parts.path, query, dict(self.headers))
            state.requests.append(request)
            status, body = respond(request)
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())
            except OSError:
                # The client gave up waiting, which is what some tests are about.
                return

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Answering(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def success(result: Sequence[object], kind: str = "matrix", warnings: Sequence[str] = ()) -> str:
    """Write a result as Prometheus does."""
    body: dict[str, object] = {"status": "success", "data": {"resultType": kind, "result": result}}
    return json.dumps({**body, "warnings": warnings} if warnings else body)


def series(name: str, pairs: Sequence[tuple[float, object]], **labels: str) -> dict[str, object]:
    """Write one series of a matrix."""
    where = {"__name__": name, "job": "frontend", "instance": "a", "model": "gpt-oss-120b", **labels}
    return {"metric": where, "values": [[at, str(value)] for at, value in pairs]}
