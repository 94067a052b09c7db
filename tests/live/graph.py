"""Stand in for Dynamo's operator and the kubelet: bring a graph's workers to where its replicas ask.

A replica is one pod in the API server and one simulated engine beside it, which begins after a cold start and
is ready when the frontend sends to it. A pod that is taken away drains first, as a real one does.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from models.values import Role
from tests.integration import dynamo_crds, loopback
from tests.integration.dynamo_stack import Stack
from tests.integration.kube_cluster import Cluster

Object = dict[str, Any]
MERGE = "application/merge-patch+json"
STEP_S = 0.25


@dataclass(slots=True)
class Replica:
    """One pod and its engine; `engine` is `None` during the cold start."""

    pod: str
    since_s: float
    engine: loopback.Server | None = None
    ready: bool = False
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """Say how many replicas of each role there were at a moment: asked for, ready, and holding GPUs."""

    at_s: float
    desired: Mapping[Role, int]
    ready: Mapping[Role, int]
    held: Mapping[Role, int]


@dataclass(slots=True)
class Operator:
    """Keep one graph's workers going, a step at a time; `counts` is what there was at each step."""

    cluster: Cluster
    namespace: str
    graph: str
    stack: Stack
    cold_start_s: float
    gpus: Mapping[Role, int]
    counts: list[Count] = field(default_factory=list)
    _replicas: dict[Role, list[Replica]] = field(default_factory=dict)
    _made: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _failure: BaseException | None = None

    def create(self, replicas: Mapping[Role, int], adapters: bool = True) -> None:
        """Create the graph, with a scaling adapter for each role where asked to."""
        parts = [dynamo_crds.component("Frontend", "frontend", 1, gpus=0)]
        for role, count in replicas.items():
            more: Object = {"scalingAdapter": {}} if adapters else {}
            parts.append(dynamo_crds.component(_name(role), str(role), count, self.gpus[role], **more))
        made = dynamo_crds.create(self.cluster, self.namespace, dynamo_crds.graph(self.graph, parts))
        owner = {key: made[key] for key in ("apiVersion", "kind")}
        owner |= {"name": self.graph, "uid": made["metadata"]["uid"], "controller": True}
        for role, count in replicas.items() if adapters else ():
            adapter = dynamo_crds.adapter(self.graph, _name(role), count)
            adapter["metadata"]["ownerReferences"] = [owner]
            dynamo_crds.create(self.cluster, self.namespace, adapter)
        self._replicas = {role: [] for role in replicas}

    def run(self) -> None:
        """Step until told to stop; what goes wrong is raised when the test leaves."""
        try:
            while not self._stop.is_set():
                self.step()
                self._stop.wait(STEP_S)
        except BaseException as error:  # noqa: BLE001 (raised again in the test's thread)
            self._failure = error

    def step(self) -> None:
        """Bring adapters, graph, pods, engines and status one step on."""
        graph = self.cluster.request("GET", self._path(_GRAPH, self.graph))
        desired = self._follow_adapters(graph)
        listed = self.stack.listed_workers()
        for role, replicas in self._replicas.items():
            self._scale(role, replicas, desired[role])
            serving = sum(replica.engine is not None for replica in replicas)
            for replica in list(replicas):
                self._bring_on(role, replica, listed.get(role, 0) >= serving)
        self._report(graph, desired)
        now_s = time.time()
        held = {role: len(replicas) for role, replicas in self._replicas.items()}
        self.counts.append(Count(now_s, desired, self.ready(), held))

    def ready(self) -> dict[Role, int]:
        """Count the replicas that serve, per role."""
        return {
            role: sum(each.ready and not each.leaving for each in replicas)
            for role, replicas in self._replicas.items()
        }

    def gpu_s(self, begin_s: float, end_s: float) -> float:
        """Return the GPU-seconds between two moments: whatever starts, serves or drains holds its GPUs."""
        total = 0.0
        for before, after in zip(self.counts, self.counts[1:], strict=False):
            span_s = min(after.at_s, end_s) - max(before.at_s, begin_s)
            if span_s > 0:
                total += span_s * sum(n * self.gpus[role] for role, n in before.held.items())
        return total

    def close(self) -> None:
        """Stop stepping; raise what went wrong."""
        self._stop.set()

    def check(self) -> None:
        """Raise what ended the stepping."""
        if self._failure is not None:
            raise self._failure

    def _follow_adapters(self, graph: Object) -> dict[Role, int]:
        """Return the replicas per role, those that adapters own written into the graph first."""
        desired: dict[Role, int] = {}
        for number, component in enumerate(graph["spec"]["components"]):
            role = next((role for role in self._replicas if _name(role) == component["name"]), None)
            if role is None:
                continue
            desired[role] = component["replicas"]
            if "scalingAdapter" not in component:
                continue
            adapter = self.cluster.request("GET", self._path(_ADAPTER, self._adapter(role)))
            asked = adapter["spec"]["replicas"]
            if asked != component["replicas"]:
                where = f"/spec/components/{number}/replicas"
                change = [{"op": "replace", "path": where, "value": asked}]
                path = self._path(_GRAPH, self.graph)
                self.cluster.request("PATCH", path, change, "application/json-patch+json")
                desired[role] = asked
            status = {"replicas": len(self._replicas[role]), "selector": _selector(self.graph, role)}
            if adapter.get("status", {}) != status:
                self._patch(_ADAPTER, self._adapter(role), {"status": status}, "/status")
        return desired

    def _scale(self, role: Role, replicas: list[Replica], wanted: int) -> None:
        staying = [replica for replica in replicas if not replica.leaving]
        for _ in range(wanted - len(staying)):
            self._made += 1
            name = f"{self.graph}-{_name(role).lower()}-{self._made}"
            self._make_pod(role, name)
            replicas.append(Replica(name, time.monotonic()))
        # The newest go first, as a ReplicaSet chooses: what is not ready before what is.
        leaving = sorted(staying, key=lambda each: (each.ready, each.since_s))
        for replica in leaving[: len(staying) - wanted] if wanted < len(staying) else ():
            replica.leaving = True
            path = f"/api/v1/namespaces/{self.namespace}/pods/{replica.pod}"
            self.cluster.send("DELETE", path, {"gracePeriodSeconds": 60})
            if replica.engine is not None:
                replica.engine.process.terminate()

    def _bring_on(self, role: Role, replica: Replica, listed: bool) -> None:
        if replica.leaving:
            if replica.engine is None or replica.engine.process.poll() is not None:
                self._gone(role, replica)
        elif replica.engine is None:
            if time.monotonic() - replica.since_s >= self.cold_start_s:
                replica.engine = self.stack.start_worker(role)
                self._pod_status(replica, ready=False)
        elif not replica.ready and listed:
            replica.ready = True
            self._pod_status(replica, ready=True)

    def _gone(self, role: Role, replica: Replica) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{replica.pod}"
        self.cluster.send("DELETE", path, {"gracePeriodSeconds": 0})
        self._replicas[role].remove(replica)
        if replica.engine is not None and replica.engine in self.stack.workers.get(role, ()):
            self.stack.workers[role].remove(replica.engine)

    def _report(self, graph: Object, desired: Mapping[Role, int]) -> None:
        ready = self.ready()
        components = {
            _name(role): {
                "componentKind": "Deployment",
                "replicas": len(replicas),
                "updatedReplicas": len(replicas),
                "readyReplicas": ready[role],
                "availableReplicas": ready[role],
                "gpusPerReplica": self.gpus[role],
            }
            for role, replicas in self._replicas.items()
        }
        settled = ready == desired
        status = {
            "state": "successful" if settled else "pending",
            "observedGeneration": graph["metadata"]["generation"],
            "components": components,
        }
        if graph.get("status") != status:
            self._patch(_GRAPH, self.graph, {"status": status}, "/status")

    def _make_pod(self, role: Role, name: str) -> None:
        labels = dict(part.split("=") for part in _selector(self.graph, role).split(","))
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            # On a node: a pod that is on none vanishes at once when it is deleted.
            "spec": {"nodeName": "tray-0", "containers": [dynamo_crds.container("main", self.gpus[role])]},
        }
        self.cluster.request("POST", f"/api/v1/namespaces/{self.namespace}/pods", pod)

    def _pod_status(self, replica: Replica, ready: bool) -> None:
        said = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": _now()}
        container = {
            "name": "main",
            "image": "engine",
            "imageID": "engine",
            "ready": ready,
            "restartCount": 0,
        }
        status = {"phase": "Running", "conditions": [said], "containerStatuses": [container]}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{replica.pod}/status"
        self.cluster.send("PATCH", path, {"status": status}, MERGE)

    def _adapter(self, role: Role) -> str:
        return f"{self.graph}-{_name(role).lower()}"

    def _path(self, kind: str, name: str) -> str:
        return dynamo_crds.path(self.namespace, dynamo_crds.BETA, kind, name)

    def _patch(self, kind: str, name: str, body: Object, part: str = "") -> None:
        # Somebody may have changed the object meanwhile; the next step says it anew.
        self.cluster.send("PATCH", self._path(kind, name) + part, body, MERGE)


@contextmanager
def operating(operator: Operator) -> Iterator[Operator]:
    """Run the operator beside the caller until the caller is done; its engines end with the stack."""
    thread = threading.Thread(target=operator.run, daemon=True)
    thread.start()
    try:
        yield operator
    finally:
        operator.close()
        thread.join(30)
        operator.check()


def settle(operator: Operator, holds: Callable[[Mapping[Role, int]], bool], timeout_s: float = 60.0) -> None:
    """Wait until the ready replicas are as asked."""

    def reached() -> bool:
        operator.check()
        return bool(operator.counts) and holds(operator.ready())

    loopback.wait_until("the graph's workers are ready", reached, timeout_s=timeout_s)


_GRAPH = "DynamoGraphDeployment"
_ADAPTER = "DynamoGraphDeploymentScalingAdapter"


def _name(role: Role) -> str:
    """Name the component of a role as Dynamo's examples do."""
    return {Role.PREFILL: "PrefillWorker", Role.DECODE: "DecodeWorker", Role.AGGREGATED: "Worker"}[role]


def _selector(graph: str, role: Role) -> str:
    return (
        f"nvidia.com/dynamo-graph-deployment-name={graph},nvidia.com/dynamo-component={_name(role)},"
        f"nvidia.com/dynamo-component-type={role}"
    )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
