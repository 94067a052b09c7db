"""Pages can be read by GET and HEAD at the address that was told, and change nothing."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from models.errors import ConfigError
from planner.record.serving import Page, plain, serve

PATIENCE_S = 10.0


@pytest.fixture
def address() -> Iterator[str]:
    pages = {"/healthz": lambda _: plain(False, "hangs shop"), "/metrics": lambda a: Page(200, a, b"1")}
    found, stop = serve("127.0.0.1:0", pages)
    yield found
    stop()


def ask(address: str, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://{address}{path}", method=method, headers={"Accept": "x/y"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_pages_are_answered_and_others_are_not(address: str) -> None:
    assert ask(address, "/healthz") == (503, "hangs shop")
    assert ask(address, "/metrics?name=x") == (200, "1")
    assert ask(address, "/metrics", "HEAD") == (200, "")
    assert ask(address, "/") == (404, "there is /healthz, /metrics\n")
    assert ask(address, "/../etc/passwd")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_reading_is_answered(address: str, method: str) -> None:
    assert ask(address, "/metrics", method)[0] == 501


def test_it_is_bound_where_it_was_told_and_nowhere_else(address: str) -> None:
    host, port = address.split(":")
    assert host == "127.0.0.1"
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        other.connect(("127.0.0.2", int(port)))


def test_a_client_that_says_nothing_holds_up_no_other(address: str) -> None:
    host, port = address.split(":")
    with socket.create_connection((host, int(port))):
        assert ask(address, "/metrics")[0] == 200


@pytest.mark.parametrize("address", ["9464", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", ":9464"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        serve(address, {})


def test_a_port_that_is_taken_is_refused_with_the_reason() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"cannot be served there: .*in use"):
            serve(f"127.0.0.1:{taken.getsockname()[1]}", {})
