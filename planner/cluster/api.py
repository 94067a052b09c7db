"""Name what the planner asks of a Kubernetes cluster: objects as plain dictionaries, whatever their kind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

Manifest = dict[str, Any]


class Reader(Protocol):
    """Read objects; every call may raise ClusterError, with the status of the answer."""

    def get(
        self, api_version: str, kind: str, name: str, namespace: str, subresource: str = ""
    ) -> Manifest | None:
        """Return an object, or its `scale` or `status`; `None` where there is none."""
        ...

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Manifest]:
        """Return the objects of a kind that carry the labels (`key=value,key=value`)."""
        ...


class Cluster(Reader, Protocol):
    """Read, change and watch objects; every call may raise ClusterError, with the status of the answer."""

    def create(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        """Create an object and return it as the server keeps it; a dry run is checked and not kept."""
        ...

    def patch(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        """Merge into the object that the manifest names; a resourceVersion in it must be current (409)."""
        ...

    def patch_json(
        self,
        of: tuple[str, str, str, str],
        operations: Sequence[Mapping[str, Any]],
        dry_run: bool = False,
        subresource: str = "",
    ) -> Manifest:
        """Apply the operations of RFC 6902, all or none; a `test` that does not hold has status 422."""
        ...

    def delete(self, api_version: str, kind: str, name: str, namespace: str) -> bool:
        """Delete an object, and what it owns after it; false where there was none."""
        ...

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        labels: str,
        stopped: Callable[[], bool],
        current: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[str, Manifest]]:
        """Yield (ADDED | MODIFIED | DELETED, object): what is there, then each change, until `stopped`.

        `current` is called whenever all that was there a moment ago has been yielded: after what is there at
        the start, and from time to time while nothing happens. Of what is DELETED only metadata is sure.
        """
        ...
