"""Serve agent pools on the loopback as the Azure Resource Manager does, under TLS.

Shapes, codes and headers are those of Microsoft.ContainerService: a PUT begins an operation that ends when
the test says so, another one meanwhile is a conflict, an outdated ETag a failed precondition.
"""

import json
import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.integration import certificates

SUBSCRIPTION = "5f1a6f0e-0000-4000-8000-2d2f5c6b7a10"
GROUP, CLUSTER = "fleet", "aks-fleet"
TOKEN = "a-token-of-the-test"

_POOL = re.compile(
    rf"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft\.ContainerService"
    rf"/managedClusters/{CLUSTER}/agentPools/(?P<pool>\w+)(?P<action>/deleteMachines)?"
)
_OPERATION = re.compile(r"/subscriptions/[\w-]+/providers/Microsoft\.ContainerService/operations/(?P<id>\d+)")


@dataclass
class Answer:
    """One answer: its status, body and headers."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Arm:
    """A resource manager with some agent pools; its lock is held while a request is answered."""

    folder: Path
    url: str = ""
    pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    machines: dict[str, list[str]] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path and body of each request that was let in."""
    next_answers: list[Answer] = field(default_factory=list)
    """Answers given, one each, to the next requests that would change something."""
    operations: list[dict[str, Any]] = field(default_factory=list)
    tells_error_on_pool: bool = True
    _going: list[list[str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def ca_file(self) -> str:
        """The authority that a client has to trust."""
        return str(self.folder / "ca.crt")

    def add_pool(self, name: str, count: int, low: int | None = None, high: int | None = None) -> None:
        """Add an agent pool; with bounds its own autoscaler is on."""
        properties: dict[str, Any] = {
            "count": count,
            "vmSize": "Standard_ND128isr_NDR_GB200_v6",
            "osType": "Linux",
            "mode": "User",
            "enableAutoScaling": low is not None,
            "provisioningState": "Succeeded",
            "powerState": {"code": "Running"},
            "nodeTaints": ["sku=gpu:NoSchedule"],
            "eTag": "tag-1",
        }
        if low is not None:
            properties |= {"minCount": low, "maxCount": high}
        identity = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/agentPools/{name}"
        self.pools[name] = {"id": identity, "name": name, "properties": properties}
        self.machines[name] = [f"aks-{name}-12345678-vmss{i:06d}" for i in range(count)]

    def finish(self, pool: str, code: str = "", message: str = "") -> None:
        """End the operation that is under way, with an error where a code is given."""
        with self._lock:
            properties, operation = self.pools[pool]["properties"], self.operations[-1]
            error = {"code": code, "message": message}
            properties["provisioningState"] = "Failed" if code else "Succeeded"
            operation["status"] = properties["provisioningState"]
            properties.pop("status", None)
            if code:
                operation["error"] = error
                if self.tells_error_on_pool:
                    properties["status"] = {"provisioningError": error}
            elif self._going and self._going[-1]:
                left = [each for each in self.machines[pool] if each not in self._going[-1]]
                self.machines[pool], properties["count"] = left, len(left)

    def written(self) -> list[tuple[str, Any]]:
        """Return method and body of every request that was to change something."""
        return [(method, body) for method, _, body in self.requests if method != "GET"]

    def answer(self, method: str, path: str, body: Any, headers: Message) -> Answer:
        """Answer one request."""
        with self._lock:
            if headers.get("Authorization") != f"Bearer {TOKEN}":
                return _error(401, "InvalidAuthenticationToken", "The access token is invalid.")
            self.requests.append((method, path, body))
            operation = _OPERATION.fullmatch(path)
            if operation is not None:
                return Answer(200, self.operations[int(operation["id"])])
            found = _POOL.fullmatch(path)
            if found is None or found["pool"] not in self.pools:
                return _error(404, "ResourceNotFound", f"The Resource at {path} was not found.")
            if method == "GET":
                return Answer(200, self.pools[found["pool"]])
            return self.next_answers.pop(0) if self.next_answers else self._change(found, body, headers)

    def _change(self, found: "re.Match[str]", body: Any, headers: Message) -> Answer:
        pool = self.pools[found["pool"]]
        properties = pool["properties"]
        state = properties["provisioningState"]
        if state not in ("Succeeded", "Failed", "Canceled"):
            message = f"Operation is not allowed: Another operation ({state}) is in progress, please wait."
            return _error(409, "OperationNotAllowed", message)
        if found["action"]:
            return self._begin(properties, "Deleting", 202, {}, body["machineNames"])
        if headers.get("If-Match", properties["eTag"]).strip('"') != properties["eTag"]:
            return _error(412, "EtagMismatch", "The agent pool was changed.")
        wanted = body["properties"]
        if properties["enableAutoScaling"] and wanted.get("count") != properties["count"]:
            message = "Cannot set count of an agent pool whose cluster autoscaler is enabled."
            return _error(400, "InvalidParameter", message)
        properties |= {key: wanted[key] for key in ("count", "minCount", "maxCount") if key in wanted}
        properties["eTag"] = f"tag-{len(self.operations) + 2}"
        return self._begin(properties, "Scaling", 200, pool, [])

    def _begin(
        self, properties: dict[str, Any], state: str, status: int, body: Mapping[str, Any], going: list[str]
    ) -> Answer:
        properties["provisioningState"] = state
        address = f"{self.url}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ContainerService/operations"
        self.operations.append({"name": str(len(self.operations)), "status": "InProgress"})
        self._going.append(going)
        return Answer(status, body, {"Azure-AsyncOperation": f"{address}/{len(self.operations) - 1}"})


@contextmanager
def serving(folder: Path) -> Iterator[Arm]:
    """Serve until the caller is done; `folder` is empty and takes the certificates."""
    certificates.make_authority(folder)
    certificates.issue_server(folder, "arm")
    arm = Arm(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve("GET")

        def do_PUT(self) -> None:
            self._serve("PUT")

        def do_POST(self) -> None:
            self._serve("POST")

        def _serve(self, method: str) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(text) if text else None
            answer = arm.answer(method, self.path.partition("?")[0], body, self.headers)
            data = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for key, value in {**answer.headers, "Content-Type": "application/json"}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "arm.crt", folder / "arm.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    arm.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield arm
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _error(status: int, code: str, message: str, **headers: str) -> Answer:
    return Answer(status, {"error": {"code": code, "message": message}}, headers)


def refusal(status: int, code: str, message: str, retry_after_s: int | None = None) -> Answer:
    """Return an answer that refuses."""
    return _error(
        status, code, message, **({} if retry_after_s is None else {"Retry-After": str(retry_after_s)})
    )
