"""Run real `headgate run` processes against a real API server, and read what they said and wrote."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.decision import Record
from planner.record.journal import read_journal
from tests.components import REPOSITORY
from tests.integration.kube_cluster import Cluster
from tests.integration.kube_objects import Hand
from tests.integration.loopback import free_port

Object = dict[str, Any]


def workload(name: str, replicas: int) -> Object:
    """Return a Deployment whose pods do nothing."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "engine", "image": "engine:1"}]},
            },
        },
    }


@dataclass(frozen=True)
class Site:
    """Hold a namespace with two pools that are ready, and a configuration that names them."""

    cluster: Cluster
    namespace: str
    folder: Path

    def pools(self, replicas: int) -> None:
        """Create both pools with ready pods."""
        hand = Hand(self.cluster, self.namespace)
        for role in ("prefill", "decode"):
            hand.create(workload(role, replicas))
            for i in range(replicas):
                hand.pod(f"{role}-{i}", {"app": role})
            ready = {"replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas}
            hand.status(workload(role, replicas), {**ready, "observedGeneration": 1})

    def configured(self, config: Path, mode: str) -> None:
        """Name the pools' objects in a configuration, and what may be done with them."""
        text = config.read_text().replace("model:", f"mode: {mode}\n    model:", 1)
        pools = ", ".join(
            f"{role}: {{min: 1, target: {{kind: Deployment, name: {role}}}}}"
            for role in ("prefill", "decode")
        )
        lines = [f"    pools: {{{pools}}}" if "pools:" in line else line for line in text.splitlines()]
        config.write_text("\n".join(lines) + "\n")

    def replicas(self, role: str) -> int:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{role}/scale"
        return int(self.cluster.request("GET", path)["spec"]["replicas"])

    def lease(self, name: str = "headgate") -> Object:
        """Return the Lease's spec; empty before there is one."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{name}"
        answer = self.cluster.send("GET", path)
        return dict(answer.json()["spec"]) if answer.ok else {}

    def events(self) -> list[Object]:
        found: list[Object] = self.cluster.request("GET", f"/api/v1/namespaces/{self.namespace}/events")[
            "items"
        ]
        return [each for each in found if each["source"].get("component") == "headgate"]


@dataclass
class Runner:
    """Hold one `headgate run`; leaving it kills the process."""

    site: Site
    config: Path
    arguments: Sequence[str] = ()
    name: str = "run"
    port: int = field(default_factory=free_port)

    def __enter__(self) -> "Runner":
        command = [sys.executable, "-c", "from planner.cli import main; main()", "run"]
        command += ["--config", str(self.config), "--kubeconfig", str(self.site.cluster.kubeconfig)]
        command += ["-n", self.site.namespace, "--listen", f"127.0.0.1:{self.port}", *self.arguments]
        self.log = self.config.parent / f"{self.name}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stderr=out, stdout=out, cwd=REPOSITORY)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(20)

    def page(self, path: str) -> tuple[int, str]:
        """Return status and text of a page; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def leads(self) -> bool:
        return "headgate_leader 1.0" in self.page("/metrics")[1]

    def records(self) -> list[Record]:
        folder = self.config.parent / "journal"
        if not folder.exists() or not any(folder.glob("*.jsonl*")):
            return []
        return [line.record for line in read_journal(folder) if line.record]

    def said(self) -> Iterator[Object]:
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def wait(self, what: str, holds: Any, timeout_s: float = 45.0) -> None:
        """Wait until a condition holds, the process being there."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            if holds():
                return
            time.sleep(0.1)
        raise AssertionError(f"{what}: not within {timeout_s:g} s\n{self.log.read_text()[-4000:]}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)
