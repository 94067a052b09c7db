"""The cluster client on scripted answers: forgotten places, cut streams, refusals in the server's words."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.errors import ClusterError

MAPS = "/api/v1/namespaces/lab/configmaps"


def config_map(name: str, version: int) -> dict[str, Any]:
    return {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": name, "resourceVersion": str(version)},
    }


def event(kind: str, found: Mapping[str, Any]) -> str:
    return json.dumps({"type": kind, "object": found}) + "\n"


def listed(version: int, *items: Mapping[str, Any]) -> str:
    return json.dumps({"metadata": {"resourceVersion": str(version)}, "items": items})


def kubeconfig(folder: Path, server: str) -> Path:
    """Write a kubeconfig of one context, `lab`."""
    text = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "lab",
    }
    path = folder / "config"
    path.write_text(json.dumps(text))
    return path


class Script:
    """Hold what the server answers next to lists and watches, and what it was asked."""

    def __init__(self) -> None:
        self.lists: list[str] = []
        self.watches: list[str | None] = []
        """The body of a stream, `None` for one that is cut."""
        self.asked: list[str] = []
        self.status = 200


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def cluster(script: Script, tmp_path: Path) -> Iterator[KubernetesCluster]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fixed = {
                "/version": {"gitVersion": "v1.34.1"},
                "/apis": {"kind": "APIGroupList", "groups": []},
                "/api/v1": {
                    "kind": "APIResourceList",
                    "resources": [{"name": "configmaps", "kind": "ConfigMap", "namespaced": True}],
                },
            }
            path, _, query = self.path.partition("?")
            if path in fixed:
                self._send(200, json.dumps(fixed[path]))
            elif script.status != 200:
                self._send(script.status, json.dumps({"message": "the words of the server"}))
            else:
                watching = "watch=" in query
                script.asked.append("watch" if watching else "list")
                self._send(200, script.watches.pop(0) if watching else script.lists.pop(0))

        def _send(self, status: int, body: str | None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if body is None:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"40\r\n{")  # a chunk that never comes
                self.close_connection = True
                return
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    config = kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}")
    access = kubernetes_access(config, None, {})
    with access.client:
        yield KubernetesCluster(access)
    server.shutdown()
    server.server_close()
    thread.join(10)


def seen(cluster: KubernetesCluster, count: int) -> list[tuple[str, str]]:
    """Return the first `count` changes of a watch."""
    found: list[tuple[str, str]] = []
    for change, each in cluster.watch("v1", "ConfigMap", "lab", "", lambda: len(found) >= count):
        found.append((change, each["metadata"]["name"]))
        if len(found) == count:
            break
    return found


def test_a_watch_begins_with_what_is_there_and_goes_on_where_it_ended(
    cluster: KubernetesCluster, script: Script
) -> None:
    script.lists = [listed(5, config_map("a", 4))]
    script.watches = [event("MODIFIED", config_map("a", 6)), event("DELETED", config_map("a", 7))]

    assert seen(cluster, 3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert script.asked == ["list", "watch", "watch"]


def test_where_the_server_has_forgotten_the_place_all_is_read_again(
    cluster: KubernetesCluster, script: Script
) -> None:
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    script.lists = [
        listed(5, config_map("a", 4), config_map("b", 4)),
        listed(90, config_map("b", 80), config_map("c", 81)),
    ]
    script.watches = [event("ERROR", gone)]

    assert seen(cluster, 5) == [
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("DELETED", "a"),
        ("MODIFIED", "b"),
        ("ADDED", "c"),
    ]
    assert script.asked == ["list", "watch", "list"]


def test_a_stream_that_is_cut_is_taken_up_again(cluster: KubernetesCluster, script: Script) -> None:
    script.lists = [listed(5), listed(9, config_map("a", 8))]
    script.watches = [None]

    assert seen(cluster, 1) == [("ADDED", "a")]
    assert script.asked == ["list", "watch", "list"]


def test_a_refusal_carries_the_servers_words_and_status(cluster: KubernetesCluster, script: Script) -> None:
    script.status = 403

    with pytest.raises(
        ClusterError, match=r"listing configmaps in lab: the words of the server \(HTTP 403\)"
    ) as found:
        cluster.find("v1", "ConfigMap", "lab")

    assert found.value.status == 403


def test_what_is_absent_is_none(cluster: KubernetesCluster, script: Script) -> None:
    script.status = 404

    assert cluster.get("v1", "ConfigMap", "a", "lab") is None


def test_a_kind_that_the_server_does_not_know_is_named(cluster: KubernetesCluster) -> None:
    with pytest.raises(
        ClusterError, match=r"knows no DynamoGraphDeployment of nvidia\.com/v1beta1: is its operator"
    ):
        cluster.resource("nvidia.com/v1beta1", "DynamoGraphDeployment")


def test_something_else_at_the_address_is_no_api_server(tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"hello": "world"}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(ClusterError, match="answers, but not as a Kubernetes API server does"):
            KubernetesCluster(kubernetes_access(config, None, {}))
        server.shutdown()


def test_a_server_that_does_not_answer_is_named_with_where_it_was_found(tmp_path: Path) -> None:
    config = kubeconfig(tmp_path, "http://127.0.0.1:9")

    with pytest.raises(ClusterError, match=r"127\.0\.0\.1:9 \(context lab of .*\) does not answer") as found:
        KubernetesCluster(kubernetes_access(config, None, {}))

    assert found.value.status == 0
