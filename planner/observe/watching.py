"""Keep the objects of one kind in one namespace, as a watch tells them."""

import threading
import time
from collections.abc import Callable
from typing import Any

from models.errors import ClusterError
from planner.cluster.api import Cluster, Manifest
from planner.cluster.obstacles import WORTH_KEEPING

# The first list of a large namespace takes seconds; a tick does not wait for longer.
SYNC_S = 20.0
# Nothing is heard of a quiet watch for 30 s, and a dead one is noticed after 40.
SILENT_S = 90.0
# A server that is restarted is away for seconds. Counts of so long ago are told with their age.
FAILING_S = 30.0
BACKOFF_S = (1.0, 2.0, 5.0, 10.0)
# A kind that the server does not know may be installed later, a verb granted.
REFUSED_S = 60.0

FORBIDDEN, NOT_FOUND = 403, 404
_REFUSED = frozenset({401, FORBIDDEN, NOT_FOUND})


class Watched:
    """Hold one kind of one namespace, kept by a thread; begins at once."""

    def __init__(
        self,
        cluster: Cluster,
        kind: tuple[str, str, str],
        clock: Callable[[], float] = time.monotonic,
        sync_s: float = SYNC_S,
    ) -> None:
        """Watch API version, kind and namespace; `clock` tells seconds that only grow."""
        self._cluster, self._kind, self._clock, self._sync_s = cluster, kind, clock, sync_s
        self._objects: dict[str, Manifest] = {}
        # Names that a watch which has just begun has told; what it does not tell is gone.
        self._told: set[str] | None = None
        self._changed = threading.Condition()
        self._heard_s: float | None = None
        self._error: ClusterError | None = None
        self._failing_s: float | None = None
        self._stopped = threading.Event()
        self._thread = self._begin()

    def _begin(self) -> threading.Thread:
        # A daemon: its socket may block for as long as a quiet watch lasts, and nobody should wait for it.
        thread = threading.Thread(target=self._run, name=f"watch of {self._name}", daemon=True)
        thread.start()
        return thread

    @property
    def _name(self) -> str:
        return f"{self._kind[1]}s of {self._kind[2]}"

    def stop(self) -> None:
        """Let the thread end with its stream."""
        self._stopped.set()

    def objects(self) -> list[Manifest]:
        """Return what is there; raises ClusterError where that is not known, or was too long ago."""
        with self._changed:
            if not self._thread.is_alive() and not self._stopped.is_set():
                self._thread = self._begin()
            self._changed.wait_for(lambda: self._heard_s is not None or self._error, self._sync_s)
            self._check()
            return list(self._objects.values())

    def remark(self) -> str:
        """Say how old this is, where it is older than it should be; else empty."""
        with self._changed:
            if self._error is None or self._heard_s is None or self._error.status in _REFUSED:
                return ""
            age_s = self._clock() - self._heard_s
            return f"what is known of {self._name} is {age_s:.0f} s old: {self._error}"

    def _check(self) -> None:
        if self._heard_s is None:
            if self._error is not None:
                raise self._error
            raise ClusterError(f"the {self._name} could not be read within {self._sync_s:g} s")
        now_s = self._clock()
        age_s = now_s - self._heard_s
        if self._error is not None and self._failing_s is not None:
            if self._error.status in _REFUSED:
                raise self._error
            if now_s - self._failing_s > FAILING_S:
                raise ClusterError(
                    f"what is known of the {self._name} is {age_s:.0f} s old, and nobody answers now: "
                    f"{self._error}",
                    self._error.status,
                )
        if age_s > SILENT_S:
            raise ClusterError(
                f"what is known of the {self._name} is {age_s:.0f} s old: their watch has fallen silent"
            )

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            self._told = set()
            try:
                for change, found in self._cluster.watch(
                    *self._kind, "", self._stopped.is_set, self._current
                ):
                    self._take(change, found)
                    failures = 0
            except ClusterError as error:
                self._fail(error)
                pause_s = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
                failures += 1
                self._stopped.wait(REFUSED_S if error.status in _REFUSED else pause_s)

    def _take(self, change: str, found: Manifest) -> None:
        name = found["metadata"]["name"]
        kept = None if change == "DELETED" else trimmed(self._kind[1], found)
        with self._changed:
            if self._told is not None:
                self._told.add(name)
            if kept is None:
                self._objects.pop(name, None)
            else:
                self._objects[name] = kept
            if self._heard_s is not None and self._error is None:
                self._heard_s = self._clock()

    def _current(self) -> None:
        with self._changed:
            if self._told is not None:
                self._objects = {name: each for name, each in self._objects.items() if name in self._told}
                self._told = None
            self._heard_s, self._error, self._failing_s = self._clock(), None, None
            self._changed.notify_all()

    def _fail(self, error: ClusterError) -> None:
        with self._changed:
            self._error = error
            self._failing_s = self._clock() if self._failing_s is None else self._failing_s
            self._changed.notify_all()


def trimmed(kind: str, found: Manifest) -> Manifest | None:
    """Return what is looked at of an object; `None` where nothing is.

    Pods and Events are many: of a pod its template is left out, of Events those that are read nowhere.
    """
    if kind == "Event":
        if found.get("reason") not in WORTH_KEEPING:
            return None
        keys = ("reason", "message", "lastTimestamp", "firstTimestamp", "eventTime", "series")
        subject = {
            k: v for k, v in (found.get("involvedObject") or {}).items() if k in ("kind", "name", "uid")
        }
        return {**_part(found, "metadata", "name", "creationTimestamp"), "involvedObject": subject} | {
            key: found[key] for key in keys if key in found
        }
    if kind == "Pod":
        metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
        return {"metadata": metadata, "status": found.get("status") or {}}
    return found


def _part(found: Manifest, key: str, *names: str) -> dict[str, Any]:
    return {key: {name: found[key][name] for name in names if name in found[key]}}
