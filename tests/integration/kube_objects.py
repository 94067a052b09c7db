"""Write pods, statuses and Events into the test cluster, as controllers, scheduler and kubelets do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration import dynamo_crds
from tests.integration.kube_cluster import Cluster

Object = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"
READY = ({"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"})


def moment(ago_s: float = 0.0) -> str:
    """Return the time so many seconds ago, as the API writes it."""
    return (datetime.now(UTC) - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def unschedulable(message: str, ago_s: float = 0.0) -> Object:
    """Return the condition of a pod that fits on no node."""
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": moment(ago_s),
    }


@dataclass(frozen=True, slots=True)
class Hand:
    """Do by hand in one namespace what the cluster's controllers would."""

    cluster: Cluster
    namespace: str

    def create(self, manifest: Object) -> Object:
        """Create one of the kinds that are scaled."""
        return dynamo_crds.create(self.cluster, self.namespace, manifest)

    def status(self, manifest: Object, status: Mapping[str, Any]) -> None:
        """Merge into the status of such an object."""
        self._merge(f"{self._of(manifest)}/status", {"status": dict(status)})

    def scale(self, manifest: Object, replicas: int) -> None:
        """Set its replicas through Scale."""
        self._merge(f"{self._of(manifest)}/scale", {"spec": {"replicas": replicas}})

    def annotate(self, manifest: Object, **annotations: str | None) -> None:
        """Write Headgate's annotations: `paused="true"` is headgate.io/paused; `None` takes one away."""
        named = {f"headgate.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
        self._merge(self._of(manifest), {"metadata": {"annotations": named}})

    def delete(self, manifest: Object) -> None:
        """Delete such an object."""
        self.cluster.request("DELETE", self._of(manifest))

    def pod(
        self,
        name: str,
        labels: Mapping[str, str],
        conditions: Sequence[Object] = READY,
        annotations: Mapping[str, str] | None = None,
        **status: Any,
    ) -> Object:
        """Create a pod and write its status."""
        metadata = {"name": name, "labels": dict(labels), "annotations": dict(annotations or {})}
        spec = {"containers": [{"name": "engine", "image": "engine:1"}], "terminationGracePeriodSeconds": 60}
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        body = {"metadata": metadata, "spec": {**spec, "nodeName": "node-1"}}
        made: Object = self.cluster.request("POST", pods, body)
        self.pod_status(name, conditions, **status)
        return made

    def pod_status(self, name: str, conditions: Sequence[Object] = READY, **status: Any) -> None:
        """Write a pod's status."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/status"
        self._merge(path, {"status": {"phase": "Running", "conditions": list(conditions), **status}})

    def end(self, name: str, at_once: bool = True) -> None:
        """Delete a pod; unless at once it drains until its kubelet has ended it."""
        grace = "?gracePeriodSeconds=0" if at_once else ""
        self.cluster.request("DELETE", f"/api/v1/namespaces/{self.namespace}/pods/{name}{grace}")

    def event(self, subject: Mapping[str, Any], reason: str, message: str) -> None:
        """Tell of something that happened to an object: its manifest as the server gave it."""
        metadata = subject["metadata"]
        about = {
            "kind": subject["kind"],
            "name": metadata["name"],
            "namespace": self.namespace,
            "uid": metadata["uid"],
        }
        body = {
            "metadata": {"generateName": f"{metadata['name']}."},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "firstTimestamp": moment(),
            "lastTimestamp": moment(),
            "type": "Warning",
        }
        self.cluster.request("POST", f"/api/v1/namespaces/{self.namespace}/events", body)

    def _of(self, manifest: Object) -> str:
        name = manifest["metadata"]["name"]
        return dynamo_crds.path(self.namespace, manifest["apiVersion"], manifest["kind"], name)

    def _merge(self, path: str, body: Object) -> None:
        self.cluster.request("PATCH", path, body, MERGE_PATCH)
