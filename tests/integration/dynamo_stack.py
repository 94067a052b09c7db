"""Run a real Dynamo on the loopback: a frontend and workers whose engine is simulated from a timing table."""

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from models.values import Role
from tests import components
from tests.integration import loopback
from tests.integration.dynamo_model import MODEL, Timing, prompt, write_model, write_timing
from tests.integration.loopback import Server

_MODES = {Role.AGGREGATED: "agg", Role.PREFILL: "prefill", Role.DECODE: "decode"}


@dataclass(frozen=True, slots=True)
class Engine:
    """Say how many workers a role has and what each of their engines admits; flags of vLLM's names."""

    timing: Timing
    workers: int = 1
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    kv_blocks: int = 16_384
    block_size: int = 64
    # Off: a repeated prompt would be measured as free.
    prefix_caching: bool = False
    extra: tuple[str, ...] = ()

    def arguments(self, role: Role, timing_file: Path) -> list[str]:
        """Return the worker's command-line flags."""
        return [
            f"--disaggregation-mode={_MODES[role]}",
            f"--planner-profile-data={timing_file}",
            f"--max-num-seqs={self.max_num_seqs}",
            f"--max-num-batched-tokens={self.max_num_batched_tokens}",
            f"--num-gpu-blocks-override={self.kv_blocks}",
            f"--block-size={self.block_size}",
            "--enable-prefix-caching" if self.prefix_caching else "--no-enable-prefix-caching",
            "--speedup-ratio=1.0",
            # The timing table says all: no transfer time on top.
            "--kv-transfer-bandwidth=0",
            *self.extra,
        ]


@dataclass(slots=True)
class Stack:
    """A running frontend with its workers; what tests ask and break."""

    folder: Path
    engines: Mapping[Role, Engine]
    base_url: str
    model: str = MODEL
    frontend: Server | None = None
    workers: dict[Role, list[Server]] = field(default_factory=dict)
    metrics_urls: dict[str, str] = field(default_factory=dict)
    """Where each worker publishes its own metrics, by the worker's name."""

    def servers(self) -> list[Server]:
        """List every process that was started and not killed since."""
        frontend = [self.frontend] if self.frontend else []
        return frontend + [worker for pool in self.workers.values() for worker in pool]

    def start_frontend(self, *flags: str) -> None:
        """Start the frontend on the stack's port; `flags` choose the router."""
        port = self.base_url.rpartition(":")[2]
        command: list[str | Path] = [
            components.dynamo(),
            "-m",
            "dynamo.frontend",
            "--http-host=127.0.0.1",
            f"--http-port={port}",
        ]
        self.frontend = loopback.start("frontend", [*command, *flags], self.folder, self._environment())

    def start_worker(self, role: Role) -> Server:
        """Start one more worker of a role; it serves about a second later."""
        pool, port = self.workers.setdefault(role, []), loopback.free_port()
        name = f"{role}-{len(self.metrics_urls)}"
        command: list[str | Path] = [components.dynamo(), "-m", "dynamo.mocker", f"--model-name={MODEL}"]
        where = self.folder / "hub" / f"models--{MODEL.replace('/', '--')}" / "snapshots" / "main"
        flags = [f"--model-path={where}", *self.engines[role].arguments(role, self.folder / f"{role}.npz")]
        environment = self._environment() | {"DYN_SYSTEM_HOST": "127.0.0.1", "DYN_SYSTEM_PORT": str(port)}
        worker = loopback.start(name, [*command, *flags], self.folder, environment)
        pool.append(worker)
        self.metrics_urls[name] = f"http://127.0.0.1:{port}/metrics"
        return worker

    def kill_worker(self, role: Role, index: int = -1) -> None:
        """End a worker at once, as a lost node does: the frontend goes on listing it for about 10 s."""
        self._end(self.workers[role].pop(index), at_once=True)

    def drain_worker(self, role: Role, index: int = -1) -> None:
        """Ask a worker to finish its requests and end, as a scale-down does."""
        self._end(self.workers[role].pop(index), at_once=False)

    def kill_frontend(self) -> None:
        """End the frontend at once; connections break."""
        if self.frontend:
            self._end(self.frontend, at_once=True)
        self.frontend = None

    def wait_until_serving(self, timeout_s: float = 60.0) -> None:
        """Wait until the frontend lists the model and every worker, and answers a request."""
        wanted = {role: len(pool) for role, pool in self.workers.items() if pool}
        servers = self.servers()
        loopback.wait_until(
            "Dynamo lists its workers", lambda: self.listed_workers() == wanted, servers, timeout_s
        )
        loopback.wait_until("Dynamo lists the model", self._listed, servers, timeout_s)
        loopback.wait_until("Dynamo answers a request", self._answers, servers, timeout_s)

    def listed_workers(self) -> Mapping[Role, int]:
        """Count the workers that the frontend sends to; a killed one is counted for about 10 s more."""
        with urllib.request.urlopen(f"{self.base_url}/health", timeout=5) as answer:
            instances = json.load(answer)["instances"]
        # Prefill workers register as a component of that name, all others as the backend.
        backend = next((role for role in self.engines if role is not Role.PREFILL), Role.AGGREGATED)
        workers = [entry for entry in instances if entry["endpoint"] == "generate"]
        return Counter(Role.PREFILL if entry["component"] == "prefill" else backend for entry in workers)

    def _listed(self) -> bool:
        with urllib.request.urlopen(f"{self.base_url}/v1/models", timeout=5) as answer:
            return any(entry["id"] == MODEL for entry in json.load(answer)["data"])

    def _answers(self) -> bool:
        body = {"model": MODEL, "prompt": prompt(4), "max_tokens": 2, "ignore_eos": True}
        request = urllib.request.Request(
            f"{self.base_url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bool(json.load(answer)["usage"]["completion_tokens"] == 2)

    def _environment(self) -> dict[str, str]:
        """Keep discovery in the stack's folder, traffic on the loopback and everything offline."""
        return {
            "DYN_DISCOVERY_BACKEND": "file",
            "DYN_FILE_KV": str(self.folder / "discovery"),
            "DYN_REQUEST_PLANE": "tcp",
            "DYN_EVENT_PLANE": "zmq",
            "DYN_TCP_RPC_HOST": "127.0.0.1",
            "DYN_TCP_RESPONSE_STREAM_HOST": "lo",
            "DYN_LOG": "warn",
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_CACHE": str(self.folder / "hub"),
        }

    @staticmethod
    def _end(server: Server, at_once: bool) -> None:
        if at_once:
            server.process.kill()
            server.process.wait(timeout=10)
        else:
            loopback.stop([server], patience_s=60)


@contextmanager
def serving(folder: Path, engines: Mapping[Role, Engine], *frontend_flags: str) -> Iterator[Stack]:
    """Serve a model until the caller is done.

    `engines` has one key, `aggregated`, or two, `prefill` and `decode`; `folder` is the stack's own.
    """
    stack = Stack(folder, engines, f"http://127.0.0.1:{loopback.free_port()}")
    write_model(folder / "hub")
    (folder / "discovery").mkdir()
    for role, engine in engines.items():
        write_timing(folder / f"{role}.npz", engine.timing)
    try:
        stack.start_frontend(*frontend_flags)
        for role, engine in engines.items():
            for _ in range(engine.workers):
                stack.start_worker(role)
        stack.wait_until_serving()
        yield stack
    finally:
        loopback.stop(stack.servers())
