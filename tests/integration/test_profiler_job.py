"""The job backend on a real API server: deployed, measured, watched, evicted, interrupted, cleaned up."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config.access import kubernetes_access
from config.cluster import KubernetesCluster
from models.artifact import Profile, parse
from models.errors import ClusterError
from models.values import Role
from tests.integration import loopback
from tests.integration.candidate_engine import clockwork
from tests.integration.kube_cluster import Cluster
from tests.integration.stand_in_kubelet import StandIn, standing_in

pytestmark = pytest.mark.integration

PROGRAM = Path(sys.executable).parent / "headgate-profiler"
GPUS = 4
TEMPLATE = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
  annotations:
    headgate.io/endpoint: http://127.0.0.1:PORT${gpus}
spec:
  replicas: 1
  selector: {matchLabels: {app: "${name}"}}
  template:
    metadata: {labels: {app: "${name}"}}
    spec:
      containers:
      - name: engine
        image: engine:test
        command: [python, -m, tests.integration.candidate_engine]
        args: ["--port", "PORT${gpus}", "--gpus", "${gpus}"]
        readinessProbe:
          httpGet:
            path: /v1/models
            port: PORT${gpus}
        resources: {limits: {nvidia.com/gpu: "${gpus}"}}
"""
# As small as an engine may be: at most 3 x 3 points a surface, and a point takes half a second.
ENGINE = """
name: tiny
published:
- source: small, so that a sweep is short
  max_num_seqs: 3
  max_num_batched_tokens: 1024
- source: small, so that a sweep is short
  memory_reserve_ratio: 0.1
- source: small, so that a sweep is short
  fitted_on: GB200
  constants:
    expert_ratio: 0.1
    kernel_s: 1.0e-6
    dispatch_s: 1.0e-6
    sequence_s: 1.0e-6
    collective_s: 1.0e-6
    request_s: 0.01
"""


@dataclass(frozen=True)
class Bench:
    """Hold a namespace in which pods run, and the command to sweep in it."""

    cluster: Cluster
    namespace: str
    node: StandIn
    folder: Path

    def command(self, *more: str, layouts: str = "aggregated=TP1,TP2") -> list[str]:
        """Return the command line of a small sweep."""
        flags = {
            "--model": "gpt-oss-120b",
            "--hardware": "gb200",
            "--engine": str(self.folder / "engine.yaml"),
            "--backend": "job",
            "--layouts": layouts,
            "--template": str(self.folder / "candidate.yaml"),
            "--image": "headgate:test",
            "--name": "small",
            "--namespace": self.namespace,
            "--kubeconfig": str(self.cluster.kubeconfig),
            "--out": str(self.folder / "profile.json"),
            "--max-context": "32",
            "--isl": "16",
            "--osl": "16",
            "--start-time": "2s",
            # Enough for telling one layout from the other; precision is the endpoint backend's test.
            "--confidence": "0.1",
            "--max-repeats": "4",
        }
        return [str(PROGRAM), "sweep", *(word for flag in flags.items() for word in flag), *more]

    def start(self, name: str, *more: str, layouts: str = "aggregated=TP1,TP2") -> loopback.Server:
        """Start the sweep; its output goes to a log."""
        return loopback.start(name, self.command(*more, layouts=layouts), self.folder)

    def objects(self) -> dict[str, list[str]]:
        """Return what is in the namespace, by kind, but for what every namespace has."""
        kinds = {
            "configmaps": "/api/v1",
            "pods": "/api/v1",
            "serviceaccounts": "/api/v1",
            "jobs": "/apis/batch/v1",
            "deployments": "/apis/apps/v1",
            "roles": "/apis/rbac.authorization.k8s.io/v1",
            "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
        }
        found = {}
        for kind, group in kinds.items():
            items = self.cluster.request("GET", f"{group}/namespaces/{self.namespace}/{kind}")["items"]
            if items:
                found[kind] = sorted(item["metadata"]["name"] for item in items)
        return found

    def points(self) -> list[dict[str, Any]]:
        """Return the points that were kept on this side, in the order of their arrival."""
        path = self.folder / "profile.json.measurements.jsonl"
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        return [json.loads(line)["point"] for line in lines]

    def profile(self) -> Profile:
        """Return the artifact that was written."""
        return parse((self.folder / "profile.json").read_text(), "profile.json")


@pytest.fixture
def bench(cluster: Cluster, tmp_path: Path) -> Iterator[Bench]:
    """Give a namespace with a node of 4 GPUs."""
    namespace = cluster.make_namespace("sweep")
    (tmp_path / "candidate.yaml").write_text(TEMPLATE.replace("PORT", str(_port_prefix())))
    (tmp_path / "engine.yaml").write_text(ENGINE)
    node = tmp_path / "node"
    node.mkdir()
    with standing_in(cluster, namespace, node, GPUS) as stand_in:
        yield Bench(cluster, namespace, stand_in, tmp_path)


def _port_prefix() -> int:
    """Return what becomes a free port when the digits 1, 2 or 8 follow."""
    while True:
        prefix = loopback.free_port() // 10
        if all(_is_free(prefix * 10 + gpus) for gpus in (1, 2, 8)):
            return prefix


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _finished(server: loopback.Server, timeout_s: float = 80.0) -> str:
    """Wait until the command has ended well; return what it said."""
    code = server.process.wait(timeout=timeout_s)
    said = server.log.read_text()
    assert code == 0, said
    return said


def _sweep_pods(bench: Bench) -> list[str]:
    path = f"/api/v1/namespaces/{bench.namespace}/pods?labelSelector=app.kubernetes.io/component=sweep"
    return [str(pod["metadata"]["name"]) for pod in bench.cluster.request("GET", path)["items"]]


def _in_pod(bench: Bench, pod: str) -> KubernetesCluster:
    """Return the cluster as a pod sees it, with its own service account."""
    host, port = bench.cluster.url.removeprefix("https://").split(":")
    environ = {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "HEADGATE_SERVICE_ACCOUNT": str(bench.node.folder / f"{pod}-account"),
    }
    return KubernetesCluster(kubernetes_access(None, None, environ))


def test_a_sweep_survives_an_eviction_and_the_loss_of_its_command(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(bench.folder))  # no kubeconfig of the developer's
    first = bench.start("first")
    loopback.wait_until("points arrive", lambda: len(bench.points()) >= 3, [first], 40)
    (pod,) = _sweep_pods(bench)
    _check_rights(bench, pod)

    # The laptop is closed, and the pod's node drained.
    first.process.kill()
    first.process.wait(10)
    before = bench.points()
    bench.cluster.request("DELETE", f"/api/v1/namespaces/{bench.namespace}/pods/{pod}")
    second = bench.start("second")
    said = _finished(second)

    assert "runs already: following it" in said
    points = bench.points()
    assert points[: len(before)] == before
    assert len({json.dumps(point) for point in points}) == len(points), "a point was measured twice"
    evicted, successor = (name for name in bench.node.started if name.startswith("small-0-"))
    assert evicted == pod
    assert "told to stop" in bench.node.log(evicted)
    assert "taking over Deployment" in bench.node.log(successor), "the weights were loaded again"
    engines = [name for name in bench.node.started if name.startswith("small-tp")]
    assert len(engines) == 2, "one start per layout"
    assert bench.node.most_gpus == 2, "the first candidate was gone before the second came"
    _check_surfaces(bench.profile())
    assert bench.objects() == {"configmaps": ["small-profile"]}
    kept = bench.cluster.request("GET", f"/api/v1/namespaces/{bench.namespace}/configmaps/small-profile")
    assert kept["data"]["profile.json"] == (bench.folder / "profile.json").read_text()


def _check_rights(bench: Bench, pod: str) -> None:
    """Hold the pod's account to what it needs: every refusal is the real API server's."""
    inside, namespace = _in_pod(bench, pod), bench.namespace
    assert inside.get("v1", "ConfigMap", "small", namespace) is not None
    assert inside.get("apps/v1", "Deployment", "small-tp1", namespace) is not None
    assert list(inside.find("v1", "Pod", namespace, "app.kubernetes.io/component=sweep"))
    other = bench.cluster.make_namespace("other")

    def body(kind: str, name: str, api_version: str = "v1", where: str = namespace) -> dict[str, Any]:
        return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": where}}

    forbidden: dict[str, Callable[[], object]] = {
        "list secrets": lambda: inside.find("v1", "Secret", namespace),
        "list configmaps": lambda: inside.find("v1", "ConfigMap", namespace),
        "read another's configmap": lambda: inside.get("v1", "ConfigMap", "theirs", namespace),
        "change its own inputs": lambda: inside.patch(body("ConfigMap", "small")),
        "create a configmap": lambda: inside.create(body("ConfigMap", "new")),
        "delete a page": lambda: inside.delete("v1", "ConfigMap", "small-0-page-0", namespace),
        "list deployments": lambda: inside.find("apps/v1", "Deployment", namespace),
        "read another's deployment": lambda: inside.get("apps/v1", "Deployment", "theirs", namespace),
        "delete another's deployment": lambda: inside.delete("apps/v1", "Deployment", "theirs", namespace),
        "change a candidate": lambda: inside.patch(body("Deployment", "small-tp1", "apps/v1")),
        "create a pod": lambda: inside.create(body("Pod", "new")),
        "delete a pod": lambda: inside.delete("v1", "Pod", pod, namespace),
        "read the job": lambda: inside.get("batch/v1", "Job", "small-0", namespace),
        "change its role": lambda: inside.get("rbac.authorization.k8s.io/v1", "Role", "small", namespace),
        "look into another namespace": lambda: inside.find("v1", "Pod", other),
        "deploy into another namespace": lambda: inside.create(body("Deployment", "x", "apps/v1", other)),
    }
    for what, attempt in forbidden.items():
        with pytest.raises(ClusterError) as refused:
            attempt()
        assert refused.value.status == 403, f"{what}: {refused.value}"


def _check_surfaces(profile: Profile) -> None:
    """Hold what was measured to the engines' own clockwork.

    Nothing is faster than its clockwork, but for the 10 % that points are measured to and a fit's 5 %. The
    tests beside this one may keep the cores busy: twice the time is let pass, and 12 ms of HTTP and event
    loops per prompt. A layout that was measured at the other's candidate would be off by a factor of 4.
    """
    layouts = {each.parallelism.tp: each for each in profile.artifact.layouts}
    assert set(layouts) == {1, 2}
    for gpus, layout in layouts.items():
        truth = clockwork(gpus)
        assert layout.role is Role.AGGREGATED
        assert layout.decode is not None
        step_s = truth.decode_s(3, 32)
        assert 0.85 * step_s <= layout.decode.at(32, 3) <= 2 * step_s
        assert layout.prefill is not None
        reads_s = truth.prefill_s(3 * 32)
        assert 0.85 * reads_s <= layout.prefill.at(32, 3) <= 2 * reads_s + 0.012


def test_an_interrupted_sweep_cleans_up_and_goes_on_where_it_was(bench: Bench) -> None:
    first = bench.start("first", layouts="aggregated=TP2")
    loopback.wait_until("points arrive", lambda: len(bench.points()) >= 3, [first], 40)

    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(30) == 130, first.log.read_text()

    assert "cleaning up" in first.log.read_text()
    assert bench.objects() == {}
    before = bench.points()

    # TP8 asks for more GPUs than the node has.
    flags = ("--schedule-timeout", "1s", "--parallel", "2")
    said = _finished(bench.start("second", *flags, layouts="aggregated=TP2,TP8"))

    points = bench.points()
    assert points[: len(before)] == before
    assert len({json.dumps(point) for point in points}) == len(points), "a point was measured twice"
    artifact = bench.profile().artifact
    assert [each.parallelism.name for each in artifact.layouts] == ["TP2"]
    (left_out,) = [each for each in artifact.left_out if each.layout == "TP8"]
    assert "the candidate did not start: pod small-tp8-" in left_out.reason
    assert "no node takes it: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu." in left_out.reason
    assert "small-tp8: pod small-tp8-" in said, "seen while it waits, not only at the end"
    assert {name[:7] for name in bench.node.started if name.startswith(("small-0", "small-1"))} == {
        "small-0",
        "small-1",
    }
    assert bench.objects() == {"configmaps": ["small-profile"]}


def test_a_dry_run_prints_valid_objects_with_the_least_rights_and_creates_none(bench: Bench) -> None:
    bench.cluster.make_definition(GRAPHS)
    (bench.folder / "candidate.yaml").write_text(GRAPH)

    made = subprocess.run(bench.command("--dry-run"), capture_output=True, text=True, timeout=60, check=False)

    assert made.returncode == 0, made.stderr
    assert bench.objects() == {}
    objects = list(yaml.safe_load_all(made.stdout))
    for each in objects:
        if each["kind"] != "DynamoGraphDeployment":
            kubernetes_validate.validate(each, "1.34", strict=True)
    (role,) = [each for each in objects if each["kind"] == "Role"]
    assert role["rules"][3:] == [
        {"apiGroups": ["nvidia.com"], "resources": ["dynamographdeployments"], "verbs": ["create"]},
        {
            "apiGroups": ["nvidia.com"],
            "resources": ["dynamographdeployments"],
            "verbs": ["get", "delete"],
            "resourceNames": ["small-tp1", "small-tp2"],
        },
    ]
    graphs = [each for each in objects if each["kind"] == "DynamoGraphDeployment"]
    assert [each["spec"]["components"][0]["replicas"] for each in graphs] == [1, 1]


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        (
            "replicas: 1",
            "replicas: many",
            "the API server would refuse Deployment small-tp1: .*replicas",
        ),
        ("kind: Deployment", "kind: Deploiment", "knows no Deploiment of apps/v1: is its operator"),
        ('gpu: "${gpus}"', "gpu: 4", "asks for 4 GPUs for small-tp1, which takes 1"),
        ("name: ${name}", "name: mine", r"write metadata.name with \$\{name\}"),
    ],
)
def test_a_template_that_the_cluster_would_refuse_fails_before_anything_is_made(
    bench: Bench, was: str, now: str, said: str
) -> None:
    text = (bench.folder / "candidate.yaml").read_text()
    assert was in text
    (bench.folder / "candidate.yaml").write_text(text.replace(was, now, 1))

    made = subprocess.run(bench.command(), capture_output=True, text=True, timeout=60, check=False)

    assert made.returncode == 1
    assert re.search(said, made.stderr), made.stderr
    assert bench.objects() == {}


def _definition(group: str, kind: str, plural: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    schema = {"type": "object", "properties": {"spec": spec, "status": {"type": "object", **_ANYTHING}}}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
    }


_ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}
GRAPHS = _definition(
    "nvidia.com", "DynamoGraphDeployment", "dynamographdeployments", {"type": "object", **_ANYTHING}
)
GRAPH = """
apiVersion: nvidia.com/v1beta1
kind: DynamoGraphDeployment
metadata:
  name: ${name}
  annotations: {headgate.io/endpoint: "http://${name}-frontend.${namespace}.svc:8000"}
spec:
  components:
  - name: Worker
    type: worker
    replicas: ${nodes}
    podTemplate:
      spec:
        containers:
        - name: main
          image: engine:test
          args: [--tensor-parallel-size, "${tp}"]
          resources: {limits: {nvidia.com/gpu: "${gpus}"}}
"""
