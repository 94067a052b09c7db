"""Answer reads of a cluster from watches, so that a tick asks the server for nothing that has not changed."""

import threading
from collections.abc import Callable

from models.errors import ClusterError
from planner.cluster.api import Cluster, Manifest
from planner.cluster.selectors import matches
from planner.observe.watching import FORBIDDEN, NOT_FOUND, Watched

Watch = Callable[[tuple[str, str, str]], Watched]


class WatchedCluster:
    """Implement the Reader protocol; one for all deployments of a process.

    A kind of a namespace is watched from the first time that it is asked for. What a subresource says
    changes with its object and is read again only then.
    """

    def __init__(self, cluster: Cluster, watch: Watch | None = None) -> None:
        """Bind the cluster that is watched; `watch` makes the watch of a kind."""
        self._cluster = cluster
        self._watch = watch or (lambda kind: Watched(cluster, kind))
        self._watches: dict[tuple[str, str, str], Watched] = {}
        self._parts: dict[tuple[str, ...], tuple[str, Manifest | None]] = {}
        self._lock = threading.Lock()

    def get(
        self, api_version: str, kind: str, name: str, namespace: str, subresource: str = ""
    ) -> Manifest | None:
        """Return an object, or its `scale` or `status`; `None` where there is none, or no such kind."""
        try:
            every = self._of(api_version, kind, namespace).objects()
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            if error.status == FORBIDDEN:
                # A Role that names objects grants `get` alone: then each look asks for the object.
                return self._cluster.get(api_version, kind, name, namespace, subresource)
            raise
        found = next((each for each in every if each["metadata"]["name"] == name), None)
        if found is None or not subresource:
            return found
        key, version = (api_version, kind, name, namespace, subresource), found["metadata"]["resourceVersion"]
        known = self._parts.get(key)
        if known is None or known[0] != version:
            known = version, self._cluster.get(api_version, kind, name, namespace, subresource)
            self._parts[key] = known
        return known[1]

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Manifest]:
        """Return the objects of a kind that carry the labels."""
        every = self._of(api_version, kind, namespace).objects()
        return [each for each in every if matches(each["metadata"].get("labels") or {}, labels)]

    def remarks(self) -> tuple[str, ...]:
        """Say what is older than it should be."""
        with self._lock:
            watches = list(self._watches.values())
        return tuple(filter(None, (each.remark() for each in watches)))

    def stop(self) -> None:
        """End all watches."""
        with self._lock:
            for each in self._watches.values():
                each.stop()

    def _of(self, api_version: str, kind: str, namespace: str) -> Watched:
        key = api_version, kind, namespace
        with self._lock:
            if key not in self._watches:
                self._watches[key] = self._watch(key)
            return self._watches[key]
