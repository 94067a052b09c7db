"""Count what is asked of a cluster, by verb and the status of the answer."""

from collections.abc import Callable, Iterator

from models.errors import ClusterError
from planner.cluster.api import Cluster, Manifest
from planner.cluster.around import Answer, ClusterAround

# Called after each request with its verb and the status of the answer; 0 where there was none.
Count = Callable[[str, int], None]

_OK, _CREATED = 200, 201


class CountedCluster(ClusterAround):
    """Implement the Cluster protocol with another, and count its requests.

    A watch counts when it begins and when it breaks: what it brings is no request.
    """

    def __init__(self, cluster: Cluster, count: Count) -> None:
        """Bind the cluster and who counts."""
        super().__init__(cluster)
        self._count = count

    def around(self, verb: str, ask: Callable[[], Answer], dry_run: bool = False) -> Answer:
        """Send a request and count it."""
        try:
            answer = ask()
        except ClusterError as error:
            self._count(verb, error.status)
            raise
        self._count(verb, _CREATED if verb == "create" else _OK)
        return answer

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
            yield from self.cluster.watch(api_version, kind, namespace, labels, stopped, current)
        except ClusterError as error:
            self._count("watch", error.status)
            raise
