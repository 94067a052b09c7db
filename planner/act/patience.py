"""Bound the time that one tick gives the cluster, and obey a server that asks to be left alone."""

from collections.abc import Callable, Iterator

from models.errors import ClusterError, OutOfTimeError
from planner.cluster.api import Cluster, Manifest
from planner.cluster.around import Answer, ClusterAround
from planner.ports import Clock

# Not processed, so that the same may be sent again.
_TOO_MANY, _UNAVAILABLE = 429, 503
_PAUSE_S = 1.0


class PatientCluster(ClusterAround):
    """Implement the Cluster protocol with another one, for `patience_s` seconds from now.

    A request that is under way is not cut off here, its own time-out does that; none begins when the time is
    up (OutOfTimeError). A refusal that names a time to wait (429, 503) is waited for as long as that fits in.
    """

    def __init__(
        self, cluster: Cluster, clock: Clock, sleep: Callable[[float], None], patience_s: float
    ) -> None:
        """Begin to count."""
        super().__init__(cluster)
        self._clock, self._sleep = clock, sleep
        self._until_s = clock.now_s() + patience_s
        self._patience_s = patience_s

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        labels: str,
        stopped: Callable[[], bool],
        current: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[str, Manifest]]:
        """Watch objects for as long as there is time."""
        return self.cluster.watch(
            api_version, kind, namespace, labels, lambda: stopped() or self._left() <= 0, current
        )

    def around(self, verb: str, ask: Callable[[], Answer], dry_run: bool = False) -> Answer:
        """Send a request while there is time, again where the server asks for patience."""
        while True:
            if self._left() <= 0:
                raise OutOfTimeError(
                    f"the cluster's {self._patience_s:g} s of this tick are up; the next tick goes on"
                )
            try:
                return ask()
            except ClusterError as error:
                if error.status not in (_TOO_MANY, _UNAVAILABLE):
                    raise
                if error.status == _UNAVAILABLE and error.retry_after_s is None:
                    raise
                wait_s = max(error.retry_after_s or 0.0, _PAUSE_S)
                if wait_s >= self._left():
                    raise
                self._sleep(wait_s)

    def _left(self) -> float:
        return self._until_s - self._clock.now_s()
