"""Put something around every request to a cluster."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from planner.cluster.api import Cluster, Manifest

Answer = TypeVar("Answer")


class ClusterAround:
    """Implement the Cluster protocol with another; a subclass says what happens around each request."""

    def __init__(self, cluster: Cluster) -> None:
        """Bind the cluster that is asked."""
        self.cluster = cluster

    def around(self, verb: str, ask: Callable[[], Answer], dry_run: bool = False) -> Answer:
        """Make one request: `verb` is that of a Role (get, list, create, patch, delete), `ask` sends it."""
        raise NotImplementedError

    def get(
        self, api_version: str, kind: str, name: str, namespace: str, subresource: str = ""
    ) -> Manifest | None:
        """Return an object, or one of its subresources."""
        return self.around("get", lambda: self.cluster.get(api_version, kind, name, namespace, subresource))

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Manifest]:
        """Return the objects that carry the labels."""
        return self.around("list", lambda: self.cluster.find(api_version, kind, namespace, labels))

    def create(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        """Create an object."""
        return self.around("create", lambda: self.cluster.create(manifest, dry_run), dry_run)

    def patch(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        """Merge into an object."""
        return self.around("patch", lambda: self.cluster.patch(manifest, dry_run), dry_run)

    def patch_json(
        self,
        of: tuple[str, str, str, str],
        operations: Sequence[Mapping[str, Any]],
        dry_run: bool = False,
        subresource: str = "",
    ) -> Manifest:
        """Apply operations to an object."""
        return self.around(
            "patch", lambda: self.cluster.patch_json(of, operations, dry_run, subresource), dry_run
        )

    def delete(self, api_version: str, kind: str, name: str, namespace: str) -> bool:
        """Delete an object."""
        return self.around("delete", lambda: self.cluster.delete(api_version, kind, name, namespace))

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        labels: str,
        stopped: Callable[[], bool],
        current: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[str, Manifest]]:
        """Yield changes of objects; nothing is put around those."""
        return self.cluster.watch(api_version, kind, namespace, labels, stopped, current)
