"""Stand in for what a bare API server lacks: controllers, scheduler, kubelet, garbage collector.

Everything goes through the API, as it does in a cluster, and the pods' commands run as processes of this
machine: with the environment and the service account that their manifests ask for.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.components import REPOSITORY
from tests.integration.kube_cluster import Cluster

MERGE = "application/merge-patch+json"
Object = dict[str, Any]
GRACE_S = 10.0


@dataclass
class Running:
    """Hold a pod whose command runs."""

    uid: str
    process: "subprocess.Popen[bytes]"
    log: Path
    told_s: float | None = None
    ready: bool = False


@dataclass
class StandIn:
    """Bring what is in the cluster to where it ought to be, a step at a time, in the namespaces given."""

    cluster: Cluster
    namespace: str
    folder: Path
    gpus: int = 8
    started: list[str] = field(default_factory=list)
    """Every pod that was started, in order."""
    most_gpus: int = 0
    """The most GPUs that pods held at the same time."""
    _pods: dict[str, Running] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _failure: BaseException | None = None

    def run(self) -> None:
        """Step until told to stop; what goes wrong is raised when the test leaves."""
        try:
            while not self._stop.is_set():
                self.step()
                self._stop.wait(0.05)
        except BaseException as error:  # noqa: BLE001 (raised again in the test's thread)
            self._failure = error

    def step(self) -> None:
        """Look at everything once, and do what each controller would."""
        pods = {pod["metadata"]["name"]: pod for pod in self._list("/api/v1", "pods")}
        jobs = self._list("/apis/batch/v1", "jobs")
        deployments = self._list("/apis/apps/v1", "deployments")
        living = {each["metadata"]["uid"] for each in (*jobs, *deployments)}
        for job in jobs:
            self._job(job, [pod for pod in pods.values() if _owner(pod) == job["metadata"]["uid"]])
        for deployment in deployments:
            mine = [pod for pod in pods.values() if _owner(pod) == deployment["metadata"]["uid"]]
            self._deployment(deployment, mine)
        for uid in self._pods.keys() - {pod["metadata"]["uid"] for pod in pods.values()}:
            self._pods.pop(uid).process.kill()
        for pod in pods.values():
            orphan = _owner(pod) is not None and _owner(pod) not in living
            self._pod(pod, pods, orphan)

    def close(self) -> None:
        """Stop stepping, and end every process that was started."""
        self._stop.set()

    def kill_all(self) -> None:
        """End what still runs."""
        for running in self._pods.values():
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait(10)
        if self._failure is not None:
            raise self._failure

    def log(self, pod: str) -> str:
        """Return what a pod wrote."""
        return (self.folder / f"{pod}.log").read_text(errors="replace")

    # The Job controller: a pod per index, again where it vanished or failed.
    def _job(self, job: Object, pods: list[Object]) -> None:
        spec, name = job["spec"], job["metadata"]["name"]
        if any(each["status"] == "True" for each in job.get("status", {}).get("conditions", ())):
            return
        indexed = spec.get("completionMode") == "Indexed"
        indexes = range(spec.get("completions", 1) if indexed else 1)
        by_index: dict[int, list[Object]] = {index: [] for index in indexes}
        for pod in pods:
            by_index[int(pod["metadata"]["annotations"][_INDEX])].append(pod)
        phases = {i: [_phase(pod) for pod in mine] for i, mine in by_index.items()}
        succeeded = [i for i, found in phases.items() if "Succeeded" in found]
        failed = sum(found.count("Failed") for found in phases.values())
        status: Object = {"active": len(pods) - failed, "succeeded": len(succeeded), "failed": failed}
        if len(succeeded) == len(indexes):
            status["conditions"] = [_condition("Complete", "True")]
        elif failed > spec.get("backoffLimit", 6):
            message = "Job has reached the specified backoff limit"
            status["conditions"] = [_condition("Failed", "True", "BackoffLimitExceeded", message)]
        if job.get("status", {}) != status:
            self._patch("/apis/batch/v1", "jobs", name, {"status": status}, "status")
        if "conditions" in status:
            return
        going = sum(not set(found) <= {"Succeeded", "Failed"} for found in phases.values())
        for index, found in phases.items():
            idle = index not in succeeded and all(phase == "Failed" for phase in found)
            if idle and going < spec.get("parallelism", 1):
                self._make_job_pod(job, index, indexed)
                going += 1

    def _make_job_pod(self, job: Object, index: int, indexed: bool) -> None:
        template = job["spec"]["template"]
        pod = {**template, "apiVersion": "v1", "kind": "Pod"}
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        labels = {**template["metadata"].get("labels", {}), "job-name": name, "controller-uid": uid}
        pod["metadata"] = {
            "generateName": f"{name}-{index}-",
            "labels": labels,
            "annotations": {_INDEX: str(index)},
            "ownerReferences": [_reference(job, "batch/v1", "Job")],
        }
        if indexed:
            for container in pod["spec"]["containers"]:
                container.setdefault("env", []).append({"name": "JOB_COMPLETION_INDEX", "value": str(index)})
        self.cluster.request("POST", f"/api/v1/namespaces/{self.namespace}/pods", pod)

    def _deployment(self, deployment: Object, pods: list[Object]) -> None:
        spec, metadata = deployment["spec"], deployment["metadata"]
        for number in range(len(pods), spec["replicas"]):
            template = spec["template"]
            pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
            pod["metadata"] = {
                "generateName": f"{metadata['name']}-{number}-",
                "labels": template["metadata"]["labels"],
                "ownerReferences": [_reference(deployment, "apps/v1", "Deployment")],
            }
            self.cluster.request("POST", f"/api/v1/namespaces/{self.namespace}/pods", pod)
        ready = sum(_is_ready(pod) for pod in pods)
        status = {
            "observedGeneration": metadata["generation"],
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        if any(deployment.get("status", {}).get(key) != value for key, value in status.items() if value):
            self._patch("/apis/apps/v1", "deployments", metadata["name"], {"status": status}, "status")

    # Scheduler, kubelet and garbage collector, for one pod.
    def _pod(self, pod: Object, pods: dict[str, Object], orphan: bool) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        running = self._pods.get(uid)
        deleted = "deletionTimestamp" in pod["metadata"]
        if (orphan or deleted) and (running is None or running.process.poll() is not None):
            self._delete(name, uid)
        elif orphan or deleted:
            assert running is not None
            self._end(running)
        elif running is None and _phase(pod) == "Pending":
            self._start(pod, pods)
        elif running is not None and _phase(pod) == "Running":
            self._observe(pod, running)

    def _start(self, pod: Object, pods: dict[str, Object]) -> None:
        name, asked = pod["metadata"]["name"], _gpus(pod)
        held = sum(_gpus(other) for other in pods.values() if other["metadata"]["uid"] in self._pods)
        if asked and held + asked > self.gpus:
            message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
            scheduled = _condition("PodScheduled", "False", "Unschedulable", message)
            if scheduled not in pod.get("status", {}).get("conditions", ()):
                self._set(name, {"phase": "Pending", "conditions": [scheduled]})
            return
        self.most_gpus = max(self.most_gpus, held + asked)
        # A pod that is bound is deleted with grace, one that is not at once.
        bound = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "node"}}
        self.cluster.send("POST", f"/api/v1/namespaces/{self.namespace}/pods/{name}/binding", bound)
        container = pod["spec"]["containers"][0]
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self._command(container),
                cwd=self.folder,
                env=self._environment(pod, container),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._pods[pod["metadata"]["uid"]] = Running(pod["metadata"]["uid"], process, log)
        self.started.append(name)
        self._set_running(pod, ready="readinessProbe" not in container)

    def _observe(self, pod: Object, running: Running) -> None:
        code = running.process.poll()
        container = pod["spec"]["containers"][0]
        if code is not None:
            words = "" if code == 0 else running.log.read_text(errors="replace")[-2048:]
            ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "message": words}
            state = {**_container(container, False), "state": {"terminated": ended}}
            phase = "Succeeded" if code == 0 else "Failed"
            conditions = [_condition("Ready", "False", "PodCompleted")]
            status = {"phase": phase, "conditions": conditions, "containerStatuses": [state]}
            self._set(pod["metadata"]["name"], status)
        elif not running.ready and "readinessProbe" in container and _answers(container):
            running.ready = True
            self._set_running(pod, ready=True)

    def _set_running(self, pod: Object, ready: bool) -> None:
        container = pod["spec"]["containers"][0]
        status = {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "conditions": [
                _condition("PodScheduled", "True"),
                _condition("Ready", "True" if ready else "False"),
            ],
            "containerStatuses": [{**_container(container, ready), "state": {"running": {}}}],
        }
        self._set(pod["metadata"]["name"], status)

    def _command(self, container: Object) -> list[str]:
        words: list[str] = [*container.get("command", ()), *container.get("args", ())]
        program, rest = words[0], words[1:]
        # What an image has on its PATH lies beside the interpreter here.
        beside = Path(sys.executable).parent / program
        found = str(beside) if beside.exists() else shutil.which(program)
        assert found is not None, f"no program {program}"
        return [found, *rest]

    def _environment(self, pod: Object, container: Object) -> dict[str, str]:
        url = urlsplit(self.cluster.url)
        made = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(self.folder),
            "KUBERNETES_SERVICE_HOST": str(url.hostname),
            "KUBERNETES_SERVICE_PORT": str(url.port),
            "HEADGATE_SERVICE_ACCOUNT": str(self._account(pod)),
        }
        for each in container.get("env", ()):
            source = each.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            made[each["name"]] = str(each["value"]) if source is None else _field(pod, source)
        return made

    def _account(self, pod: Object) -> Path:
        """Mount the service account: its token, the authority's certificate, the namespace."""
        folder = self.folder / f"{pod['metadata']['name']}-account"
        folder.mkdir()
        name = pod["spec"].get("serviceAccountName", "default")
        if name != "default":
            asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{name}/token"
            token = self.cluster.request("POST", path, asked)["status"]["token"]
            (folder / "token").write_text(token)
            (folder / "ca.crt").write_bytes((self.cluster.folder / "ca.crt").read_bytes())
            (folder / "namespace").write_text(self.namespace)
        return folder

    def _end(self, running: Running) -> None:
        if running.told_s is None:
            running.told_s = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
        elif time.monotonic() - running.told_s > GRACE_S:
            running.process.kill()

    def _delete(self, name: str, uid: str) -> None:
        self._pods.pop(uid, None)
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}"
        self.cluster.send("DELETE", path, {"gracePeriodSeconds": 0})

    def _list(self, group: str, plural: str) -> list[Object]:
        found = self.cluster.request("GET", f"{group}/namespaces/{self.namespace}/{plural}")
        return list(found["items"])

    def _set(self, pod: str, status: Object) -> None:
        self._patch("/api/v1", "pods", pod, {"status": status}, "status")

    def _patch(self, group: str, plural: str, name: str, body: Object, part: str) -> None:
        path = f"{group}/namespaces/{self.namespace}/{plural}/{name}/{part}"
        answer = self.cluster.send("PATCH", path, body, MERGE)
        assert answer.ok or answer.status_code == 404, answer.text


@contextmanager
def standing_in(cluster: Cluster, namespace: str, folder: Path, gpus: int = 8) -> Iterator[StandIn]:
    """Keep one namespace going until the caller is done; its node has this many GPUs."""
    stand_in = StandIn(cluster, namespace, folder, gpus)
    thread = threading.Thread(target=stand_in.run, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.close()
        thread.join(20)
        stand_in.kill_all()


_INDEX = "batch.kubernetes.io/job-completion-index"


def _owner(pod: Object) -> str | None:
    owners = pod["metadata"].get("ownerReferences", ())
    return str(owners[0]["uid"]) if owners else None


def _reference(owner: Object, api_version: str, kind: str) -> Object:
    metadata = owner["metadata"]
    named = {"apiVersion": api_version, "kind": kind, "name": metadata["name"], "uid": metadata["uid"]}
    return {**named, "controller": True}


def _condition(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason or kind, "message": message}


def _container(container: Object, ready: bool) -> Object:
    named = {"name": container["name"], "image": container["image"], "imageID": container["image"]}
    return {**named, "ready": ready, "restartCount": 0}


def _phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _gpus(pod: Object) -> int:
    limits = (each.get("resources", {}).get("limits", {}) for each in pod["spec"]["containers"])
    return sum(int(each.get("nvidia.com/gpu", 0)) for each in limits)


def _field(pod: Object, path: str) -> str:
    label = re.fullmatch(r"metadata\.labels\['(.+)'\]", path)
    if label:
        return str(pod["metadata"].get("labels", {}).get(label[1], ""))
    return str(pod["metadata"][path.removeprefix("metadata.")])


def _answers(container: Object) -> bool:
    asked = container["readinessProbe"]["httpGet"]
    with (
        suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{asked['port']}{asked['path']}", timeout=1) as answer,
    ):
        return bool(answer.status == 200)
    return False
