"""Follow a sweep's Jobs, pods and ConfigMaps, and take over what is measured as it is measured."""

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.errors import ClusterError, HeadgateError, MeasureError
from profiler.cluster import Cluster, Manifest, passing
from profiler.jobs.naming import NOTE, PAGE, PROGRESS, RESULT, SHARD
from profiler.jobs.pages import entries_of, replicas_of, swept_of
from profiler.measure.deployed.backend import Memory
from profiler.measure.deployed.candidate import CANDIDATE, SWEEP
from profiler.measure.deployed.readiness import Stage, ending, pod_state
from profiler.store import Store
from profiler.sweep import Progress, Swept

WATCHED = (("batch/v1", "Job"), ("v1", "Pod"), ("v1", "ConfigMap"))
Event = tuple[str, str, Manifest]
LONGEST_ATTEMPT_S = 120.0


@dataclass(frozen=True, slots=True)
class Patience:
    """Bound waiting, in seconds: for a silent API server, for a pod of the sweep that cannot start."""

    server_s: float = 600.0
    pod_s: float = 600.0


class Follower:
    """Fold events into what is known of the sweep; `store` and `memory` take over what shards measured."""

    def __init__(
        self,
        shards: int,
        store: Store,
        memory: Memory,
        say: Callable[[str], None],
        progress: Progress | None,
        patience: Patience,
        clock: Callable[[], float],
    ) -> None:
        """Begin with nothing known."""
        self._shards, self._store, self._memory = shards, store, memory
        self._say, self._progress, self._patience, self._clock = say, progress, patience, clock
        self._known = dict(store.read())
        self._shown: dict[int, tuple[int, int, str]] = {}
        self._notes: dict[int, str] = {}
        self._reasons: dict[str, tuple[str, float]] = {}
        self._ends: dict[str, str] = {}
        self._jobs: set[str] = set()
        self._read: dict[str, set[str]] = {}
        self.swept: dict[int, Swept] = {}

    @property
    def done(self) -> bool:
        """Whether every shard has left its result."""
        return len(self.swept) == self._shards

    def take(self, change: str, kind: str, found: Manifest) -> None:
        """Take one event in; raises MeasureError when the sweep cannot go on."""
        if kind == "ConfigMap":
            self._take_map(change, found)
        elif kind == "Pod":
            self._take_pod(change, found)
        else:
            self._take_job(change, found)

    def check(self) -> None:
        """Raise MeasureError when a pod of the sweep has been unable to start for too long."""
        for reason, since_s in self._reasons.values():
            if self._clock() - since_s > self._patience.pod_s:
                raise MeasureError(f"the sweep's own pod does not start: {reason}")

    def _take_map(self, change: str, found: Manifest) -> None:
        metadata = found["metadata"]
        tags = metadata.get("labels") or {}
        if change == "DELETED" or SHARD not in tags:
            return
        shard = int(tags[SHARD])
        if RESULT in tags:
            swept = swept_of(found)
            if swept is not None:
                self.swept[shard] = swept
            return
        if PAGE not in tags:
            return
        seen = self._read.setdefault(metadata["name"], set())
        for entry in entries_of(found, seen):
            if self._known.get(entry.point) != entry:
                self._known[entry.point] = entry
                self._store.add(entry)
        for where, replica in replicas_of(found).items():
            if self._memory.recall(*where) != replica:
                self._memory.keep(*where, replica)
        seen.update(found.get("data") or ())
        notes = metadata.get("annotations") or {}
        note = notes.get(NOTE)
        if note is not None and self._notes.get(shard) != note:
            self._notes[shard] = note
            self._say(note)
        self._show(shard, notes.get(PROGRESS))

    def _show(self, shard: int, note: str | None) -> None:
        if note is None or self._progress is None:
            return
        told = json.loads(note)
        self._shown[shard] = int(told["done"]), int(told["total"]), str(told["what"])
        shown = self._shown.values()
        now = ", ".join(dict.fromkeys(what for _, _, what in shown if what != "done"))
        self._progress(sum(done for done, _, _ in shown), sum(total for _, total, _ in shown), now or "done")

    def _take_pod(self, change: str, pod: Manifest) -> None:
        metadata = pod["metadata"]
        if CANDIDATE in (metadata.get("labels") or {}):
            return  # its shard waits for it, and says why
        name = metadata["name"]
        if change == "DELETED":
            self._reasons.pop(name, None)
            return
        containers = (pod.get("status") or {}).get("containerStatuses") or ()
        for container in containers:
            if (container.get("state") or {}).get("terminated", {}).get("exitCode", 0):
                said = f"pod {name} {ending(container)}"
                if self._ends.get(name) != said:
                    self._ends[name] = said
                    self._say(said)
        state = pod_state(pod)
        if state.stage in (Stage.UNSCHEDULED, Stage.NOT_PULLED):
            if name not in self._reasons:
                self._say(state.reason)
                self._reasons[name] = state.reason, self._clock()
        else:
            self._reasons.pop(name, None)

    def _take_job(self, change: str, job: Manifest) -> None:
        name = job["metadata"]["name"]
        if change == "DELETED":
            if name in self._jobs and not self.done:
                raise MeasureError(f"Job {name} was deleted by somebody else; run the same command to go on")
            return
        self._jobs.add(name)
        for condition in (job.get("status") or {}).get("conditions") or ():
            if condition["type"] == "Failed" and condition["status"] == "True":
                last = next(reversed(self._ends.values()), "")
                why = condition.get("message") or condition.get("reason") or "no reason given"
                raise MeasureError(
                    f"Job {name} failed: {why}{'; ' + last if last else ''}; what was measured is kept: "
                    "run the same command to go on"
                )


def follow(
    cluster: Cluster,
    sweep: str,
    namespace: str,
    follower: Follower,
    patience: Patience,
    clock: Callable[[], float] = time.monotonic,
) -> Mapping[int, Swept]:
    """Follow until every shard has left its result; return them by shard.

    Raises MeasureError when the sweep fails, ClusterError when the API server stays away for too long.
    """
    events: queue.Queue[Event | HeadgateError] = queue.Queue()
    stopped = threading.Event()
    label = f"{SWEEP}={sweep}"
    watches = [
        threading.Thread(
            target=_watch,
            args=(cluster, api_version, kind, namespace, label, stopped, events, patience, clock),
            name=f"watch-{kind}",
            daemon=True,
        )
        for api_version, kind in WATCHED
    ]
    for watch in watches:
        watch.start()
    try:
        while not follower.done:
            follower.check()
            try:
                event = events.get(timeout=1.0)
            except queue.Empty:
                if not all(watch.is_alive() for watch in watches):
                    raise MeasureError(
                        "the cluster is watched no more; run the same command to go on"
                    ) from None
                continue
            if isinstance(event, HeadgateError):
                raise event
            follower.take(*event)
    finally:
        stopped.set()
    return follower.swept


def _watch(
    cluster: Cluster,
    api_version: str,
    kind: str,
    namespace: str,
    label: str,
    stopped: threading.Event,
    events: "queue.Queue[Event | HeadgateError]",
    patience: Patience,
    clock: Callable[[], float],
) -> None:
    """Pass on what happens to one kind; an API server that is away is asked again until patience ends."""
    failing_since_s = began_s = clock()
    while not stopped.is_set():
        try:
            for change, found in cluster.watch(api_version, kind, namespace, label, stopped.is_set):
                failing_since_s = clock()
                events.put((change, kind, found))
        except ClusterError as error:
            # No attempt hangs for as long: it was connected, and this is a new failure.
            if clock() - began_s > LONGEST_ATTEMPT_S:
                failing_since_s = clock()
            if not passing(error.status) or clock() - failing_since_s > patience.server_s:
                events.put(error)
                return
            stopped.wait(2.0)
        began_s = clock()
