"""Stand in for the part of an API server that keeps one Lease: versions, conflicts, slow and lost answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from models.errors import ClusterError
from planner.cluster.api import Manifest

T = TypeVar("T")


class LeaseServer:
    """Keep at most one object; `before` and `after` run on the way to it and on the way back."""

    def __init__(self) -> None:
        self.object: Manifest | None = None
        self.version = 0
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.requests: list[str] = []

    def get(
        self, api_version: str, kind: str, name: str, namespace: str, subresource: str = ""
    ) -> Manifest | None:
        return self._served("get", lambda: self.object)

    def create(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        def make() -> Manifest:
            if self.object is not None:
                raise ClusterError("already exists", 409)
            return self._keep(manifest)

        return self._served("create", make)

    def patch(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        def merge() -> Manifest:
            if self.object is None:
                raise ClusterError("not found", 404)
            if manifest["metadata"]["resourceVersion"] != self.object["metadata"]["resourceVersion"]:
                raise ClusterError("the object has been modified", 409)
            return self._keep(manifest)

        return self._served("patch", merge)

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Manifest]:
        raise NotImplementedError

    def patch_json(
        self,
        of: tuple[str, str, str, str],
        operations: Sequence[Mapping[str, Any]],
        dry_run: bool = False,
        subresource: str = "",
    ) -> Manifest:
        raise NotImplementedError

    def delete(self, api_version: str, kind: str, name: str, namespace: str) -> bool:
        self.object = None
        return True

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        labels: str,
        stopped: Callable[[], bool],
        current: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[str, Manifest]]:
        raise NotImplementedError

    def _served(self, verb: str, serve: Callable[[], T]) -> T:
        self.requests.append(verb)
        self.before()
        found = serve()
        self.after()
        return found

    def _keep(self, manifest: Mapping[str, Any]) -> Manifest:
        self.version += 1
        metadata = {**manifest["metadata"], "resourceVersion": str(self.version)}
        self.object = {**manifest, "metadata": metadata}
        return self.object
