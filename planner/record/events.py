"""Write what a person should hear of as Events on the objects that are scaled, beside the ticks."""

import hashlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from models.decision import Record
from models.errors import ClusterError
from models.notice import Event, Notice
from models.target import ObjectRef
from models.values import Role
from planner.cluster.api import Cluster, Manifest, Reader

_LOG = logging.getLogger(__name__)

# An Event's message may hold 1,024 bytes; letters beyond ASCII take more than one each.
MOST_BYTES = 1000
# Per object: so many at once, and then one in so many seconds; more than these tell nobody anything.
BURST, REFILL_S = 25.0, 60.0
# What waits to be written; a server that is away for long must not fill the memory.
MOST_WAITING = 256
HOUR_S = 3600.0
# One line tells of failures in this time.
QUIET_S = 600.0

_CONFLICT, _NOT_FOUND = 409, 404

Targets = Callable[[str], Mapping[Role, ObjectRef]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    deployment: str
    notice: Notice
    at_s: float


@dataclass(slots=True)
class _Bucket:
    left: float
    at_s: float


class ClusterEvents:
    """Write Events in a thread: one object per thing and hour, counted up, and never too many of them.

    What cannot be written is counted and logged now and then; no tick waits for it or hears of it.
    """

    def __init__(
        self,
        cluster: Cluster,
        reader: Reader,
        targets: Targets,
        instance: str,
        count: Callable[[str], None] = lambda _: None,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing to write.

        `targets` are the objects of a deployment's roles, `reader` shows them, `instance` names this process;
        `count` hears `written`, `failed` or `dropped` for each Event.
        """
        self._cluster, self._reader, self._targets = cluster, reader, targets
        self._instance, self._count, self._elapsed_s = instance, count, elapsed_s
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(MOST_WAITING)
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}
        self._buckets: dict[ObjectRef, _Bucket] = {}
        self._complained_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def __call__(self, record: Record, notice: Notice) -> None:
        """Take a notice of a record; a listener of what changes."""
        self._put(_Waiting(record.deployment, notice, record.observation.at_s))

    def config_refused(self, deployment: str, sentence: str, at_s: float) -> None:
        """Tell that a changed configuration is not in force."""
        self._put(_Waiting(deployment, Notice(Event.CONFIG_REFUSED, "", None, sentence), at_s))

    def stop(self, patience_s: float) -> None:
        """Write what waits, for at most so long."""
        try:
            self._waiting.put(None, timeout=patience_s)
        except queue.Full:
            return
        self._thread.join(patience_s)

    def _put(self, one: _Waiting) -> None:
        try:
            self._waiting.put_nowait(one)
        except queue.Full:
            self._count("dropped")

    def _run(self) -> None:
        while (one := self._waiting.get()) is not None:
            try:
                self._tell(one)
            except ClusterError as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 (whatever it is, the next Event must be written)
                self._fail(error)

    def _tell(self, one: _Waiting) -> None:
        targets = self._targets(one.deployment)
        about = targets.get(one.notice.role) if one.notice.role is not None else None
        about = about or next(iter(targets.values()), None)
        if about is None:
            return
        if not self._may(about):
            self._count("dropped")
            return
        self._write(about, one)
        self._count("written")

    def _may(self, about: ObjectRef) -> bool:
        now_s = self._elapsed_s()
        bucket = self._buckets.setdefault(about, _Bucket(BURST, now_s))
        bucket.left = min(bucket.left + (now_s - bucket.at_s) / REFILL_S, BURST)
        bucket.at_s = now_s
        if bucket.left < 1.0:
            return False
        bucket.left -= 1.0
        return True

    def _write(self, about: ObjectRef, one: _Waiting) -> None:
        """Count up the Event of this hour, or make it."""
        hour = int(one.at_s // HOUR_S)
        if any(known[0] != hour for known in self._counts.values()):
            self._counts = {key: known for key, known in self._counts.items() if known[0] == hour}
        thing = (one.deployment, one.notice.event.value, one.notice.subject, about.kind, str(hour))
        name = f"{about.name[:200]}.{hashlib.sha256('|'.join(thing).encode()).hexdigest()[:16]}"
        key = (about.namespace, name)
        known = self._counts.get(key)
        if known is None or not self._again(key, known[1] + 1, one):
            self._first(key, hour, about, one)
        else:
            self._counts[key] = hour, known[1] + 1

    def _first(self, key: tuple[str, str], hour: int, about: ObjectRef, one: _Waiting) -> None:
        try:
            self._cluster.create(self._manifest(key, about, one))
            count = 1
        except ClusterError as error:
            if error.status != _CONFLICT:
                raise
            # Another process told of it in this hour, before it handed over.
            found = self._cluster.get("v1", "Event", key[1], key[0]) or {}
            count = int(found.get("count") or 1) + 1
            self._again(key, count, one)
        self._counts[key] = hour, count

    def _again(self, key: tuple[str, str], count: int, one: _Waiting) -> bool:
        """Write a new count, message and time; false where the Event is gone."""
        try:
            self._cluster.patch(
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {"name": key[1], "namespace": key[0]},
                    "count": count,
                    "lastTimestamp": _moment(one.at_s),
                    "message": _message(one),
                }
            )
        except ClusterError as error:
            if error.status != _NOT_FOUND:
                raise
            return False
        return True

    def _manifest(self, key: tuple[str, str], about: ObjectRef, one: _Waiting) -> Manifest:
        involved: dict[str, Any] = {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": about.name,
            "namespace": about.namespace,
        }
        found = self._reader.get(*about.identity)
        if found is not None:
            # Without it `kubectl describe` shows none of them.
            involved["uid"] = found["metadata"]["uid"]
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": key[1], "namespace": key[0]},
            "involvedObject": involved,
            "reason": one.notice.event.value,
            "message": _message(one),
            "type": "Warning" if one.notice.event.warning else "Normal",
            "source": {"component": "headgate"},
            "reportingComponent": "headgate.io/headgate",
            "reportingInstance": self._instance[:128],
            "firstTimestamp": _moment(one.at_s),
            "lastTimestamp": _moment(one.at_s),
            "count": 1,
        }

    def _fail(self, error: Exception) -> None:
        self._count("failed")
        now_s = self._elapsed_s()
        if self._complained_s is None or now_s - self._complained_s > QUIET_S:
            self._complained_s = now_s
            _LOG.warning("an Event could not be written, ticks go on: %s", error)


def _message(one: _Waiting) -> str:
    said = f"{one.deployment}: {one.notice}".encode()
    return said.decode() if len(said) <= MOST_BYTES else said[: MOST_BYTES - 3].decode(errors="ignore") + "…"


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
