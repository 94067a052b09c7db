"""An endpoint behind TLS is measured when its authority is trusted, and refused when it is not."""

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models.errors import MeasureError
from models.values import Role
from tests.integration import certificates
from tests.unit.profiler.endpoint.benches import TP1, endpoint

pytestmark = pytest.mark.integration


class _NoModels(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"data": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    certificates.make_authority(tmp_path)
    certificates.issue_server(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _NoModels)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_certificate_of_an_unknown_authority_is_refused(url: str) -> None:
    with pytest.raises(MeasureError, match=r"its certificate is not trusted: .*--ca-file"):
        endpoint(url).describe(Role.AGGREGATED, TP1)


def test_a_named_authority_is_trusted(url: str, tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="it serves no model"):
        endpoint(url, ca_file=str(tmp_path / "ca.crt")).describe(Role.AGGREGATED, TP1)


def test_a_file_that_holds_no_certificates_is_named(url: str, tmp_path: Path) -> None:
    for name in ("absent.crt", "ca.key"):
        with pytest.raises(MeasureError, match=f"{name}: the certificates cannot be read"):
            endpoint(url, ca_file=str(tmp_path / name)).describe(Role.AGGREGATED, TP1)
