"""Name what the profiler asks of a Kubernetes cluster: objects as plain dictionaries, whatever their kind."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

Manifest = dict[str, Any]


class Cluster(Protocol):
    """Create, read, change, delete and watch objects; every call may raise ClusterError."""

    @property
    def version(self) -> str:
        """The API server's version, such as `v1.34.1`."""
        ...

    def resource(self, api_version: str, kind: str) -> tuple[str, str, bool]:
        """Return a kind's API group, its plural name and whether it lives in a namespace."""
        ...

    def create(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        """Create an object and return it as the server keeps it; a dry run is checked and not kept."""
        ...

    def get(self, api_version: str, kind: str, name: str, namespace: str) -> Manifest | None:
        """Return an object, `None` where there is none."""
        ...

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Manifest]:
        """Return the objects of a kind that carry the labels (`key=value,key=value`)."""
        ...

    def patch(self, manifest: Mapping[str, Any]) -> Manifest:
        """Merge into the object that the manifest names; a resourceVersion in it must be current."""
        ...

    def delete(self, api_version: str, kind: str, name: str, namespace: str) -> bool:
        """Delete an object, and what it owns after it; false where there was none."""
        ...

    def watch(
        self, api_version: str, kind: str, namespace: str, labels: str, stopped: Callable[[], bool]
    ) -> Iterator[tuple[str, Manifest]]:
        """Yield (ADDED | MODIFIED | DELETED, object): what is there, then each change, until `stopped`."""
        ...


def names(manifest: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return what an object goes by: API version, kind, name, namespace."""
    metadata = manifest["metadata"]
    return manifest["apiVersion"], manifest["kind"], metadata["name"], metadata.get("namespace", "")


def passing(status: int) -> bool:
    """Say whether a ClusterError may go away: no answer, too many requests, a server's own fault."""
    return status in {0, 429} or status >= 500
