"""Keep Kubernetes objects in memory behind the Cluster port, with a clock that tests turn."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from models.errors import ClusterError
from profiler.cluster import Manifest, names

Key = tuple[str, str, str, str]


class FakeClock:
    """Count seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.then: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Pass time, and do what was to happen in it."""
        self.now_s += seconds
        for due in [each for each in self.then if each[0] <= self.now_s]:
            self.then.remove(due)
            due[1]()

    def at(self, time_s: float, happens: Callable[[], object]) -> None:
        """Have something happen at a time."""
        self.then.append((time_s, happens))


class FakeCluster:
    """Answer as an API server does, conflicts and resource versions included."""

    version = "v1.34.1"

    def __init__(self, knows_indexed_jobs: bool = True) -> None:
        self.objects: dict[Key, Manifest] = {}
        self.calls: list[tuple[str, Key]] = []
        self.failures: list[ClusterError] = []
        """Raised one by one by the next calls."""
        self.refused: Callable[[str, Mapping[str, Any]], ClusterError | None] = lambda verb, manifest: None
        self._knows_indexed_jobs = knows_indexed_jobs
        self._versions = itertools.count(1)
        self._lock = threading.RLock()

    def resource(self, api_version: str, kind: str) -> tuple[str, str, bool]:
        self._pass()
        group = api_version.rpartition("/")[0]
        return group, kind.lower() + "s", kind not in {"ClusterRole", "Namespace"}

    def create(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        key = names(manifest)
        self.calls.append(("dry run" if dry_run else "create", key))
        self._pass()
        if (refusal := self.refused("create", manifest)) is not None:
            raise refusal
        if key in self.objects:
            raise ClusterError(f"{key[2]} already exists", 409)
        made = deepcopy(dict(manifest))
        made["metadata"] |= {
            "uid": f"uid-{next(self._versions)}",
            "resourceVersion": str(next(self._versions)),
        }
        made["metadata"]["generation"] = 1
        if made["kind"] == "Job" and not self._knows_indexed_jobs:
            made["spec"].pop("completionMode", None)
        if not dry_run:
            self.objects[key] = made
        return deepcopy(made)

    def get(self, api_version: str, kind: str, name: str, namespace: str) -> Manifest | None:
        self._pass()
        return deepcopy(self.objects.get((api_version, kind, name, namespace)))

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Manifest]:
        self._pass()
        wanted = dict(part.split("=") for part in labels.split(",") if part)
        with self._lock:
            objects = list(self.objects.items())
        return [
            deepcopy(found)
            for key, found in objects
            if key[:2] == (api_version, kind)
            and key[3] == namespace
            and wanted.items() <= (found["metadata"].get("labels") or {}).items()
        ]

    def patch(self, manifest: Mapping[str, Any]) -> Manifest:
        key = names(manifest)
        self.calls.append(("patch", key))
        self._pass()
        found = self.objects.get(key)
        if found is None:
            raise ClusterError(f"{key[2]} not found", 404)
        expected = manifest["metadata"].get("resourceVersion")
        if expected not in (None, found["metadata"]["resourceVersion"]):
            raise ClusterError(f"{key[2]} was modified", 409)
        _merge(found, manifest)
        found["metadata"]["resourceVersion"] = str(next(self._versions))
        return deepcopy(found)

    def delete(self, api_version: str, kind: str, name: str, namespace: str) -> bool:
        self.calls.append(("delete", (api_version, kind, name, namespace)))
        self._pass()
        return self.objects.pop((api_version, kind, name, namespace), None) is not None

    def watch(
        self, api_version: str, kind: str, namespace: str, labels: str, stopped: Callable[[], bool]
    ) -> Iterator[tuple[str, Manifest]]:
        known: dict[str, Manifest] = {}
        while not stopped():
            found = {names(each)[2]: each for each in self.find(api_version, kind, namespace, labels)}
            for name in known.keys() - found.keys():
                yield "DELETED", known[name]
            for name, each in found.items():
                if known.get(name) != each:
                    yield ("MODIFIED" if name in known else "ADDED"), each
            known = found
            time.sleep(0.01)

    def status(self, kind: str, name: str, status: Mapping[str, Any]) -> None:
        """Set an object's status, as its controller would."""
        for key, found in self.objects.items():
            if key[1:3] == (kind, name):
                found["status"] = dict(status)

    def _pass(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


def _merge(into: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif value is None:
            into.pop(key, None)
        else:
            into[key] = deepcopy(value)
