"""Count what is asked of a cluster, by verb and the status of the answer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from models.errors import ClusterError
from planner.cluster.api import Cluster, Manifest

# Called after each request with its verb and the status of the answer; 0 where there was none.
Count = Callable[[str, int], None]

_OK, _CREATED = 200, 201


class CountedCluster:
    """Implement the Cluster protocol with another, and count its requests.

    A watch counts when it begins and when it breaks: what it brings is no request.
    """

    def __init__(self, cluster: Cluster, count: Count) -> None:
        """Bind the cluster and who counts."""
        self._cluster = cluster
        self._count = count

    def get(
        self, api_version: str, kind: str, name: str, namespace: str, subresource: str = ""
    ) -> Manifest | None:
        """Return an object."""
        with self._counted("get"):
            return self._cluster.get(api_version, kind, name, namespace, subresource)

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Manifest]:
        """Return the objects that carry the labels."""
        with self._counted("list"):
            return self._cluster.find(api_version, kind, namespace, labels)

    def create(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        """Create an object."""
        with self._counted("create", _CREATED):
            return self._cluster.create(manifest, dry_run)

    def patch(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        """Merge into an object."""
        with self._counted("patch"):
            return self._cluster.patch(manifest, dry_run)

    def patch_json(
        self,
        of: tuple[str, str, str, str],
        operations: Sequence[Mapping[str, Any]],
        dry_run: bool = False,
        subresource: str = "",
    ) -> Manifest:
        """Apply operations to an object."""
        with self._counted("patch"):
            return self._cluster.patch_json(of, operations, dry_run, subresource)

    def delete(self, api_version: str, kind: str, name: str, namespace: str) -> bool:
        """Delete an object."""
        with self._counted("delete"):
            return self._cluster.delete(api_version, kind, name, namespace)

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        labels: str,
        stopped: Callable[[], bool],
        current: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[str, Manifest]]:
        """Yield changes of objects."""
        self._count("watch", _OK)
        try:
            yield from self._cluster.watch(api_version, kind, namespace, labels, stopped, current)
        except ClusterError as error:
            self._count("watch", error.status)
            raise

    @contextmanager
    def _counted(self, verb: str, fine: int = _OK) -> Iterator[None]:
        try:
            yield
        except ClusterError as error:
            self._count(verb, error.status)
            raise
        self._count(verb, fine)
