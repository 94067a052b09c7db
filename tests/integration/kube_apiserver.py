"""Run a real Kubernetes API server with its etcd on the loopback, under TLS and RBAC.

There is no controller-manager, no scheduler and no kubelet: a Job makes no pods, a pod stays pending, a
deleted namespace never goes. What stands in for them in a test writes through the API, as they do.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests import components
from tests.integration import certificates, loopback
from tests.integration.kube_cluster import Cluster


@dataclass
class Servers:
    """The running servers of a cluster, for a test that ends, stops or brings them back."""

    cluster: Cluster
    etcd: loopback.Server
    apiserver: loopback.Server
    command: list[str | Path]

    def kill_apiserver(self) -> None:
        """End the API server as a lost machine would."""
        self.apiserver.process.kill()
        self.apiserver.process.wait(timeout=10)

    def start_apiserver(self) -> None:
        """Start the API server anew, on what etcd keeps, and wait until it answers."""
        self.apiserver = loopback.start("kube-apiserver", self.command, self.cluster.folder)
        ready = partial(_is_ready, self.cluster)
        loopback.wait_until("kube-apiserver is ready", ready, [self.etcd, self.apiserver], timeout_s=90)

    def pause_etcd(self) -> None:
        """Stop etcd where it is: the API server waits for it, and so does who asks."""
        self.etcd.process.send_signal(signal.SIGSTOP)

    def resume_etcd(self) -> None:
        """Let etcd go on."""
        self.etcd.process.send_signal(signal.SIGCONT)


@contextmanager
def serving(folder: Path) -> Iterator[Cluster]:
    """Serve an empty cluster until the caller is done; `folder` is empty and the cluster's own."""
    with servers(folder) as running:
        yield running.cluster


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Serve an empty cluster whose servers a test may end and bring back."""
    assets = components.kube_assets()
    certificates.make_authority(folder)
    certificates.issue_server(folder, "server")
    certificates.issue_client(folder, "admin", user="admin", group="system:masters")
    etcd_port, peer_port, port = (loopback.free_port() for _ in range(3))
    cluster = Cluster(f"https://127.0.0.1:{port}", folder)
    cluster.write_kubeconfig("admin", cluster.certificate("admin"), "default")
    command = _apiserver(assets, folder, etcd_port, port)
    etcd = loopback.start("etcd", _etcd(assets, folder, etcd_port, peer_port), folder)
    try:
        running = Servers(cluster, etcd, loopback.start("kube-apiserver", command, folder), command)
        try:
            ready = partial(_is_ready, cluster)
            loopback.wait_until("kube-apiserver is ready", ready, [etcd, running.apiserver], timeout_s=90)
            yield running
        finally:
            # The API server first: without its etcd it would spend its patience on retries.
            running.resume_etcd()
            loopback.stop([running.apiserver])
    finally:
        loopback.stop([etcd])


def _etcd(assets: Path, folder: Path, port: int, peer_port: int) -> list[str | Path]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        assets / "etcd",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    ]


def _apiserver(assets: Path, folder: Path, etcd_port: int, port: int) -> list[str | Path]:
    """Name flags that 1.20 and today's releases both know."""
    certificate, key = folder / "server.crt", folder / "server.key"
    return [
        assets / "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--client-ca-file={folder / 'ca.crt'}",
        # Without it anybody may do anything: the Roles that a chart grants would go untested.
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={key}",
        f"--service-account-key-file={certificate}",
        # It would hold every pod back until a controller has made its token.
        "--disable-admission-plugins=ServiceAccount",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--endpoint-reconciler-type=none",
        # For the logs of pods: a node's kubelet is asked under its InternalIP.
        f"--kubelet-client-certificate={folder / 'admin.crt'}",
        f"--kubelet-client-key={folder / 'admin.key'}",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _is_ready(cluster: Cluster) -> bool:
    return cluster.send("GET", "/readyz").ok and cluster.send("GET", "/api/v1/namespaces/default").ok
