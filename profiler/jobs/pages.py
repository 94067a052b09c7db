"""Keep a shard's measurements in ConfigMaps, so that a pod that is evicted loses one point at most."""

import base64
import gzip
import json
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from models import codec
from models.errors import ClusterError, InputError, MeasureError
from models.values import Parallelism, Role
from profiler.cluster import Cluster, Manifest, passing
from profiler.jobs.naming import IDENTITY, NOTE, PAGE, PROGRESS, RESULT, RESULT_KEY, SHARD, WRITER
from profiler.measure.backend import Replica, SweepPoint
from profiler.measure.deployed.handover import HandedOverError
from profiler.store import Entry, read_entry, write_entry
from profiler.sweep import Swept

MOST_BYTES = 900_000
"""A ConfigMap holds 1 MiB; what is left is for its metadata."""

ENTRY_BYTES = 600
"""More than any measurement takes: how many pages a shard needs is known before it starts."""

CONFLICT = 409
MOST_NOTE_CHARACTERS = 1000
PROGRESS_EVERY_S = 5.0


def pages_needed(points: int) -> int:
    """Return the ConfigMaps that a shard's measurements take at most."""
    return 1 + points * ENTRY_BYTES // MOST_BYTES


def page_data(
    entries: list[Entry], replicas: Mapping[tuple[Role, Parallelism], Replica]
) -> list[dict[str, str]]:
    """Return the data of the pages that hold these entries and replicas, in order."""
    pages: list[dict[str, str]] = [
        {_replica_key(*where): _replica(*where, r) for where, r in replicas.items()}
    ]
    size = _size(pages[0])
    for number, entry in enumerate(entries):
        line = write_entry(entry)
        if size + len(line) > MOST_BYTES:
            pages.append({})
            size = 0
        pages[-1][_entry_key(number)] = line
        size += len(line) + 16
    return pages


def entries_of(page: Manifest, beyond: Collection[str] = ()) -> list[Entry]:
    """Return the measurements on a page, but for the keys that are known; InputError for what is none."""
    data, where = page.get("data") or {}, f"ConfigMap {page['metadata']['name']}"
    keys = sorted(key for key in data if key.startswith("point-") and key not in beyond)
    return [read_entry(data[key], f"{where}, {key}") for key in keys]


def replicas_of(page: Manifest) -> dict[tuple[Role, Parallelism], Replica]:
    """Return what is known of replicas on a page."""
    data, found = page.get("data") or {}, {}
    for key in sorted(data):
        if key.startswith("replica-"):
            try:
                plain = json.loads(data[key])
                where = Role(plain["role"]), codec.from_plain(Parallelism, plain["layout"])
                found[where] = codec.from_plain(Replica, plain["replica"])
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"ConfigMap {page['metadata']['name']}, {key}: is no replica ({error})"
                ) from None
    return found


def swept_of(result: Manifest) -> Swept | None:
    """Return what a shard found, `None` while it has not finished; raises InputError for what is damaged."""
    held = (result.get("binaryData") or {}).get(RESULT_KEY)
    if held is None:
        return None
    try:
        return codec.from_json(Swept, gzip.decompress(base64.b64decode(held)))
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"ConfigMap {result['metadata']['name']}: is no result ({error})") from None


class Pages:
    """Read and write one shard's ConfigMaps; at any time one pod does, the latest that opened them.

    Every write is locked by the page's resourceVersion: a pod that the cluster believes dead, and that still
    runs, is refused at its next point instead of writing between its successor's lines.
    """

    def __init__(
        self,
        cluster: Cluster,
        pages: list[Manifest],
        result: Manifest,
        writer: str,
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the pages over as `writer`; raises MeasureError when the cluster does not let us."""
        self._cluster, self._writer, self._result = cluster, writer, result
        self._patience_s, self._clock, self._sleep = patience_s, clock, sleep
        self._progress = self._note = ""
        self._shown_s = float("-inf")
        self._entries: dict[SweepPoint, Entry] = {}
        self._replicas: dict[tuple[Role, Parallelism], Replica] = {}
        self._pages = [self._claimed(page) for page in pages]
        self._sizes = [_size(page.get("data") or {}) for page in self._pages]
        self._count = sum(len(page.get("data") or {}) for page in self._pages)
        for page in self._pages:
            self._entries |= {entry.point: entry for entry in entries_of(page)}
            self._replicas |= replicas_of(page)

    def read(self) -> Mapping[SweepPoint, Entry]:
        """Return the entries of this pod and its predecessors."""
        return self._entries

    def add(self, entry: Entry) -> None:
        """Keep an entry; it is on the API server when this returns."""
        self._write(_entry_key(self._count), write_entry(entry))
        self._entries[entry.point] = entry

    def recall(self, role: Role, layout: Parallelism) -> Replica | None:
        """Return what a predecessor learned of a layout's replica."""
        return self._replicas.get((role, layout))

    def keep(self, role: Role, layout: Parallelism, replica: Replica) -> None:
        """Keep what was learned of a layout's replica."""
        self._write(_replica_key(role, layout), _replica(role, layout, replica))
        self._replicas[role, layout] = replica

    def progress(self, done: int, total: int, what: str) -> None:
        """Say how far the shard is; written with the next point, and on its own every few seconds."""
        self._progress = json.dumps({"done": done, "total": total, "what": what})
        if self._clock() - self._shown_s >= PROGRESS_EVERY_S:
            self._patch(0, {})

    def note(self, sentence: str) -> None:
        """Tell whoever follows the sweep what happens to a candidate."""
        self._note = sentence[:MOST_NOTE_CHARACTERS]
        self._patch(0, {})

    def finish(self, swept: Swept) -> None:
        """Leave what the shard found for whoever follows the sweep."""
        packed = base64.b64encode(gzip.compress(codec.to_json(swept).encode(), mtime=0)).decode()
        metadata = {key: self._result["metadata"][key] for key in ("name", "namespace")}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "binaryData": {RESULT_KEY: packed},
        }
        self._steady(body)

    def _write(self, key: str, line: str) -> None:
        page = next((i for i, size in enumerate(self._sizes) if size + len(line) <= MOST_BYTES), None)
        if page is None:
            raise MeasureError(
                f"the {len(self._sizes)} ConfigMaps of this shard are full; sweep fewer layouts at a time, "
                "or more shards with --parallel"
            )
        self._patch(page, {key: line})
        self._sizes[page] += len(line) + len(key)
        self._count += 1

    def _claimed(self, page: Manifest) -> Manifest:
        """Write our name on a page as it is now."""
        while True:
            try:
                return self._steady(self._body(page, {}))
            except ClusterError as error:
                if error.status != CONFLICT:
                    raise MeasureError(str(error)) from None
            metadata = page["metadata"]
            found = self._cluster.get("v1", "ConfigMap", metadata["name"], metadata["namespace"])
            if found is None:
                raise MeasureError(f"ConfigMap {metadata['name']} was deleted: the sweep was ended")
            page = found

    def _patch(self, number: int, data: Mapping[str, str]) -> None:
        body = self._body(self._pages[number], data)
        try:
            self._pages[number] = self._steady(body)
        except ClusterError as error:
            if error.status != CONFLICT:
                raise MeasureError(f"{error}: the sweep was ended, or its Role changed") from None
            self._pages[number] = self._recovered(number, data)
        self._shown_s = self._clock()

    def _recovered(self, number: int, data: Mapping[str, str]) -> Manifest:
        """Tell our own write, whose answer was lost, from another pod's."""
        metadata = self._pages[number]["metadata"]
        found = self._cluster.get("v1", "ConfigMap", metadata["name"], metadata["namespace"])
        if found is None:
            raise MeasureError(f"ConfigMap {metadata['name']} was deleted: the sweep was ended")
        writer = (found["metadata"].get("annotations") or {}).get(WRITER)
        if writer != self._writer:
            raise HandedOverError(
                f"pod {writer} has taken this shard over from {self._writer}; this one stops"
            )
        return self._steady(self._body(found, data))

    def _body(self, page: Manifest, data: Mapping[str, str]) -> Manifest:
        metadata = page["metadata"]
        said = {PROGRESS: self._progress, NOTE: self._note}
        notes = {WRITER: self._writer, **{key: text for key, text in said.items() if text}}
        named = {key: metadata[key] for key in ("name", "namespace", "resourceVersion")}
        body: Manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {**named, "annotations": notes},
        }
        return {**body, "data": dict(data)} if data else body

    def _steady(self, body: Manifest) -> Manifest:
        """Patch, again where the API server was busy or away."""
        deadline_s = self._clock() + self._patience_s
        while True:
            try:
                return self._cluster.patch(body)
            except ClusterError as error:
                if not passing(error.status) or self._clock() > deadline_s:
                    raise
            self._sleep(1.0)


def page_manifest(name: str, namespace: str, shard: int, identity: str, data: Mapping[str, str]) -> Manifest:
    """Return a page as it is made before its shard starts."""
    notes = {IDENTITY: identity}
    metadata = {"name": name, "namespace": namespace, "labels": {SHARD: str(shard), PAGE: "true"}}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {**metadata, "annotations": notes},
        "data": dict(data),
    }


def result_manifest(name: str, namespace: str, shard: int) -> Manifest:
    """Return the place of a shard's result, empty."""
    metadata = {"name": name, "namespace": namespace, "labels": {SHARD: str(shard), RESULT: "true"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def _entry_key(number: int) -> str:
    return f"point-{number:06d}"


def _replica_key(role: Role, layout: Parallelism) -> str:
    return f"replica-{role}-{layout.name}"


def _replica(role: Role, layout: Parallelism, replica: Replica) -> str:
    plain: dict[str, Any] = {
        "role": role.value,
        "layout": codec.to_plain(layout),
        "replica": codec.to_plain(replica),
    }
    return json.dumps(plain)


def _size(data: Mapping[str, str]) -> int:
    return sum(len(key) + len(value) for key, value in data.items())
