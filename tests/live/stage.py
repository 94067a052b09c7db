"""Set the stage for the whole loop and play it: servers, a graph of workers, load, and Headgate acting."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from models.artifact import dump
from models.values import Role
from tests.chart.helm import Helm, Object
from tests.chart.values import CHART
from tests.components import REPOSITORY
from tests.integration import dynamo_crds, loopback, prometheus_server
from tests.integration.dynamo_model import write_model, write_timing
from tests.integration.dynamo_stack import Stack
from tests.integration.kube_cluster import Cluster
from tests.live.graph import Count, Operator, operating, settle
from tests.live.load import Answer, Load, arrivals
from tests.live.story import ENGINES, ISL_TOKENS, OSL_TOKENS, TPOT_S, TTFT_S, Ramp, profile

GRAPH = "chat"
GPUS = {Role.PREFILL: 1, Role.DECODE: 1}
DEPLOYMENT = {
    "name": "chat",
    "model": "headgate/tiny",
    "profile": "profile.json",
    "budget": {"gpus": 16},
    "router": "round-robin",
    "observation_lag": "5s",
    "pools": {"prefill": {"min": 1}, "decode": {"min": 1}},
    "classes": [{"name": "chat", "slo": {"ttft": f"{TTFT_S}s", "itl": f"{TPOT_S}s"}}],
}


@dataclass(frozen=True, slots=True)
class Played:
    """Hold what came of a run: what users saw, what replicas there were, and where the journal lies.

    `began_s` is the moment at which the first user could ask, `ended_s` that of the last (Unix seconds).
    """

    answers: Sequence[Answer]
    counts: Sequence[Count]
    gpu_s: float
    began_s: float
    ended_s: float
    folder: Path
    log: str

    @property
    def attainment(self) -> float:
        """Share of all requests that kept the promise; what was never answered did not."""
        return sum(each.keeps(TTFT_S, TPOT_S) for each in self.answers) / len(self.answers)

    def most(self, role: Role) -> int:
        """Return the most replicas of a role that were ready at once."""
        return max(count.ready[role] for count in self.counts)


def play(folder: Path, cluster: Cluster, ramp: Ramp, cold_start_s: float, interval_s: int) -> Played:
    """Serve the load with Headgate in charge of the replicas, and return what came of it."""
    dynamo_crds.install(cluster)
    namespace = cluster.make_namespace("live")
    with _frontend(folder) as stack:
        operator = Operator(cluster, namespace, GRAPH, stack, 0.0, GPUS)
        operator.create({Role.PREFILL: 1, Role.DECODE: 1})
        frontend = stack.base_url.removeprefix("http://")
        with operating(operator), prometheus_server.serving(folder, folder, {"frontend": frontend}) as url:
            settle(operator, lambda ready: all(n == 1 for n in ready.values()))
            stack.wait_until_serving()
            operator.cold_start_s = cold_start_s
            config = _configuration(url, namespace, cold_start_s, interval_s)
            configured = _write(folder, config)
            account = _installed(cluster, folder, config)
            load = Load(stack.base_url, ramp.rate_rps, ramp.lasts_s, ISL_TOKENS, OSL_TOKENS)
            began_s = time.time()
            load.start()
            scaler = loopback.start("headgate", _command(configured, account), folder)
            try:
                while time.time() < began_s + ramp.lasts_s:
                    scaler.check()
                    operator.check()
                    time.sleep(0.5)
                load.join()
            finally:
                loopback.stop([scaler], patience_s=30)
    ended_s = began_s + ramp.lasts_s
    gpu_s = operator.gpu_s(began_s, ended_s)
    log = scaler.log.read_text(errors="replace")
    return Played(load.answers, operator.counts, gpu_s, began_s, ended_s, folder, log)


def static_peak_gpu_s(folder: Path, ramp: Ramp) -> float:
    """Return the GPU-seconds of the smallest constant fleet that keeps the promise on the same arrivals."""
    trace = folder / "arrivals.csv"
    times = arrivals(ramp.rate_rps, ramp.lasts_s, seed=0)
    rows = [
        f"{datetime.fromtimestamp(1.7e9 + t, UTC).isoformat()},{ISL_TOKENS},{OSL_TOKENS}\n" for t in times
    ]
    trace.write_text("timestamp,input_tokens,output_tokens\n" + "".join(rows))
    configured = _write(folder, {"deployments": [DEPLOYMENT]})
    said = _headgate(
        ["replay", "--config", str(configured), "--trace", str(trace), "--policy", "static-peak"]
    )
    replayed: Mapping[str, float] = said["policies"][0]
    return 3600.0 * replayed["gpu_hours"]


@contextmanager
def _frontend(folder: Path) -> Iterator[Stack]:
    """Serve a model that has no worker yet."""
    stack = Stack(folder, ENGINES, f"http://127.0.0.1:{loopback.free_port()}")
    write_model(folder / "hub")
    (folder / "discovery").mkdir()
    for role, engine in ENGINES.items():
        write_timing(folder / f"{role}.npz", engine.timing)
    try:
        stack.start_frontend()
        answers = partial(_listens, stack)
        loopback.wait_until("the frontend answers", answers, stack.servers(), timeout_s=60)
        yield stack
    finally:
        loopback.stop(stack.servers())


def _listens(stack: Stack) -> bool:
    return stack.listed_workers() == {}


def _configuration(url: str, namespace: str, cold_start_s: float, interval_s: int) -> Object:
    """Return what Headgate is told: to act on the graph, by what that Prometheus says."""
    times = {"startup": f"{cold_start_s:g}s", "startup_p99": "60s", "drain": "5s"}
    deployment = {
        **DEPLOYMENT,
        "mode": "act",
        "target": {"namespace": namespace, "dynamo": GRAPH},
        "pools": {role: {"min": 1, **times} for role in ("prefill", "decode")},
    }
    return {
        "interval": f"{interval_s}s",
        "prometheus": {"url": url},
        "journal": {"dir": "journal"},
        "deployments": [deployment],
    }


def _write(folder: Path, config: Object) -> Path:
    (folder / "profile.json").write_text(dump(profile()))
    path = folder / "headgate.yaml"
    path.write_text(json.dumps(config))
    return path


def _installed(cluster: Cluster, folder: Path, config: Object) -> Path:
    """Install the chart for this configuration; return a kubeconfig of the account that it makes."""
    namespace = cluster.make_namespace("headgate")
    helm = Helm(folder, cluster.kubeconfig, namespace)
    # In a Pod the journal has a volume; here it lies beside the configuration.
    values = {"config": {key: each for key, each in config.items() if key != "journal"}}
    ran = helm.run("install", "headgate", str(CHART), values=values)
    assert ran.returncode == 0, ran.stderr
    return cluster.write_account(namespace, "headgate")


def _command(configured: Path, kubeconfig: Path) -> list[str | Path]:
    listen = f"127.0.0.1:{loopback.free_port()}"
    return [*_PROGRAM, "run", "--config", configured, "--kubeconfig", kubeconfig, "--listen", listen]


def _headgate(arguments: Sequence[str]) -> Mapping[str, Sequence[Mapping[str, float]]]:
    command = [*map(str, _PROGRAM), *arguments, "-o", "json"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True, timeout=300)
    said: Mapping[str, Sequence[Mapping[str, float]]] = json.loads(ran.stdout)
    return said


_PROGRAM: tuple[str | Path, ...] = (Path(sys.executable).parent / "headgate",)
