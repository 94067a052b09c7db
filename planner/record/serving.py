"""Serve /healthz, /readyz and /metrics at one address: read-only, nothing else, no state."""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from models.errors import ConfigError

# A client that sends nothing does not hold a thread for longer.
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """Hold one answer."""

    status: int
    content_type: str
    body: bytes


# Given the Accept header of who asks.
Pages = dict[str, Callable[[str], Page]]


def plain(fine: bool, text: str) -> Page:
    """Return a page of text: 200 where all is well, else 503."""
    return Page(200 if fine else 503, "text/plain; charset=utf-8", text.encode())


def serve(address: str, pages: Pages) -> tuple[str, Callable[[], None]]:
    """Serve pages at HOST:PORT from now on; return the address that was bound, and what ends that.

    Port 0 takes any that is free. Raises ConfigError for an address that cannot be served at.
    """
    host, port = parsed(address)

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_S
        server_version, sys_version = "headgate", ""
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(True)

        def do_HEAD(self) -> None:
            self._answer(False)

        def _answer(self, with_body: bool) -> None:
            made = pages.get(self.path.partition("?")[0])
            page = made(self.headers.get("Accept", "")) if made else _absent(pages)
            self.send_response(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if with_body:
                self.wfile.write(page.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: probes come every few seconds."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that went away."""

    try:
        server = Server((host, port), Handler)
    except OSError as error:
        raise ConfigError(f"--listen {address}: cannot be served there: {error.strerror or error}") from None
    thread = threading.Thread(target=server.serve_forever, name="pages", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{server.server_address[1]}", stop


def parsed(address: str) -> tuple[str, int]:
    """Return host and port; raises ConfigError that says how to write them."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65_535:
        raise ConfigError(f"--listen {address}: write HOST:PORT, such as 127.0.0.1:9464")
    return host.strip("[]"), int(port)


def _absent(pages: Pages) -> Page:
    return Page(404, "text/plain; charset=utf-8", f"there is {', '.join(pages)}\n".encode())
