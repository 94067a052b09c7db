"""Speak to a Kubernetes API server in plain dictionaries, whatever the kind of object."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from config.access import Access
from models.errors import ClusterError

if TYPE_CHECKING:
    from kubernetes.dynamic.resource import Resource
    from kubernetes.watch import Watch

Manifest = dict[str, Any]

CONNECT_S, READ_S = 10.0, 60.0
# Under this name the server keeps who set a field, and tells others of a conflict.
FIELD_MANAGER = "headgate"
# A watch is asked for anew after this time, which also bounds how late `stopped` is noticed.
WATCH_S = 30
SLACK_S = 10.0
GONE, NOT_FOUND = 410, 404


class KubernetesCluster:
    """Create, read, change, delete and watch objects; failures are ClusterErrors with their status."""

    def __init__(self, access: Access, connect_s: float = CONNECT_S, read_s: float = READ_S) -> None:
        """Connect; raises ClusterError when the server does not answer or does not know who asks.

        A request may take `connect_s` to reach the server and `read_s` between two pieces of its answer; a
        reading one is tried once more.
        """
        from kubernetes.dynamic import DynamicClient

        self._patience = (connect_s, read_s)

        self._found = access.found
        self._host: str = access.client.configuration.host
        # A cache of what the server offers would outlive the server: it is read anew, and kept nowhere.
        try:
            with self._explained("reading what it offers"):
                self._client = DynamicClient(access.client, cache_file="/dev/null/none")
        except (KeyError, TypeError, AttributeError, ValueError):
            raise ClusterError(
                f"{self._host} ({self._found}) answers, but not as a Kubernetes API server does"
            ) from None
        self.namespace = access.namespace

    @property
    def version(self) -> str:
        """The API server's version, such as `v1.34.1`."""
        return str(self._client.version["kubernetes"]["gitVersion"])

    def resource(self, api_version: str, kind: str) -> tuple[str, str, bool]:
        """Return a kind's API group, its plural name and whether it lives in a namespace."""
        found = self._resource(api_version, kind)
        return found.group or "", found.name, bool(found.namespaced)

    def create(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        """Create an object and return it as the server keeps it; a dry run is checked and not kept."""
        api_version, kind, name, namespace = identity(manifest)
        with self._explained(f"creating {kind} {namespace}/{name}"):
            answer = self._client.create(
                self._resource(api_version, kind),
                body=dict(manifest),
                namespace=namespace,
                serialize=False,
                _request_timeout=self._patience,
                field_manager=FIELD_MANAGER,
                **({"dry_run": "All"} if dry_run else {}),
            )
        return _object(answer.data)

    def get(
        self, api_version: str, kind: str, name: str, namespace: str, subresource: str = ""
    ) -> Manifest | None:
        """Return an object, or its `scale` or `status`; `None` where there is none."""
        try:
            with self._explained(f"reading {_named(kind, name, namespace, subresource)}"):
                answer = self._client.get(
                    self._resource(api_version, kind, subresource),
                    name=name,
                    namespace=namespace,
                    serialize=False,
                    _request_timeout=self._patience,
                )
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return _object(answer.data)

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Manifest]:
        """Return the objects of a kind that carry the labels (`key=value,key=value`)."""
        items, _ = self._list(self._resource(api_version, kind), namespace, labels)
        return items

    def patch(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        """Merge into the object that the manifest names.

        A resourceVersion in it must be the current one (status 409 otherwise). A dry run is checked by the
        server, admission included, and not kept.
        """
        return self._patch(identity(manifest), dict(manifest), "application/merge-patch+json", dry_run, "")

    def patch_json(
        self,
        of: tuple[str, str, str, str],
        operations: Sequence[Mapping[str, Any]],
        dry_run: bool = False,
        subresource: str = "",
    ) -> Manifest:
        """Apply the operations of RFC 6902 to the object that goes by this identity, all or none.

        A `test` that does not hold is an error of status 422.
        """
        body = [dict(each) for each in operations]
        return self._patch(of, body, "application/json-patch+json", dry_run, subresource)

    def _patch(
        self, of: tuple[str, str, str, str], body: Any, form: str, dry_run: bool, subresource: str
    ) -> Manifest:
        api_version, kind, name, namespace = of
        with self._explained(f"changing {_named(kind, name, namespace, subresource)}"):
            answer = self._client.patch(
                self._resource(api_version, kind, subresource),
                body=body,
                name=name,
                namespace=namespace,
                content_type=form,
                serialize=False,
                _request_timeout=self._patience,
                field_manager=FIELD_MANAGER,
                **({"dry_run": "All"} if dry_run else {}),
            )
        return _object(answer.data)

    def delete(self, api_version: str, kind: str, name: str, namespace: str) -> bool:
        """Delete an object, and what it owns after it; false where there was none."""
        try:
            with self._explained(f"deleting {kind} {namespace}/{name}"):
                self._client.delete(
                    self._resource(api_version, kind),
                    name=name,
                    namespace=namespace,
                    body={"propagationPolicy": "Background"},
                    serialize=False,
                    _request_timeout=self._patience,
                )
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return False
            raise
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
        """Yield (ADDED | MODIFIED | DELETED, object): what is there, then each change, until `stopped`.

        A stream that ends is taken up where it ended; where it was cut off, or the server has forgotten that
        place (410), all is read again, and what vanished meanwhile is yielded as DELETED. `current` is called
        when all that was there has been yielded, and every WATCH_S while nothing happens.
        """
        from kubernetes.client.exceptions import ApiException
        from kubernetes.watch import Watch
        from urllib3.exceptions import HTTPError

        resource = self._resource(api_version, kind)
        known: dict[str, Manifest] = {}
        version = None
        while not stopped():
            if version is None:
                items, version = self._list(resource, namespace, labels)
                yield from _differences(known, items)
                current()
            watcher = Watch()
            try:
                for change, found in self._stream(watcher, resource, namespace, labels, version):
                    version = found["metadata"]["resourceVersion"]
                    if change == "DELETED":
                        known.pop(found["metadata"]["name"], None)
                    elif change in ("ADDED", "MODIFIED"):
                        known[found["metadata"]["name"]] = _named_only(found)
                    else:
                        continue  # a bookmark: only the place
                    yield change, found
                    if stopped():
                        return
                current()
            except ApiException as error:
                if error.status != GONE:
                    raise self._error(error, f"watching {kind} in {namespace}") from None
                version = None
            except (HTTPError, OSError):
                version = None  # cut off: read again, and a server that is gone then says so

    def _stream(
        self, watcher: "Watch", resource: "Resource", namespace: str, labels: str, version: str
    ) -> Iterator[tuple[str, Manifest]]:
        for event in watcher.stream(
            resource.get,
            namespace=namespace,
            label_selector=labels or None,
            resource_version=version,
            serialize=False,
            timeout_seconds=WATCH_S,
            # A stream that is silent for longer than the server may leave it open is dead.
            _request_timeout=(self._patience[0], WATCH_S + SLACK_S),
        ):
            yield event["type"], event["raw_object"]

    def _list(self, resource: "Resource", namespace: str, labels: str) -> tuple[list[Manifest], str]:
        with self._explained(f"listing {resource.name} in {namespace}"):
            answer = self._client.get(
                resource,
                namespace=namespace,
                label_selector=labels or None,
                serialize=False,
                _request_timeout=self._patience,
            )
        data = _object(answer.data)
        # Items of a list do not say what they are.
        kinds = {"apiVersion": resource.group_version, "kind": resource.kind}
        return [{**kinds, **item} for item in data["items"]], data["metadata"]["resourceVersion"]

    def _resource(self, api_version: str, kind: str, subresource: str = "") -> "Resource":
        from kubernetes.dynamic.exceptions import ResourceNotFoundError, ResourceNotUniqueError

        with self._explained(f"looking up {kind} of {api_version}"):
            try:
                found: Resource = self._client.resources.get(api_version=api_version, kind=kind)
            except (ResourceNotFoundError, ResourceNotUniqueError):
                raise ClusterError(
                    f"{self._host} knows no {kind} of {api_version}: is its operator (CRD) installed?",
                    NOT_FOUND,
                ) from None
        if not subresource:
            return found
        part: Resource | None = found.subresources.get(subresource)
        if part is None:
            raise ClusterError(
                f"{self._host}: a {kind} of {api_version} has no `{subresource}` subresource", NOT_FOUND
            )
        return part

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            raise self._error(error, doing) from None
        except (HTTPError, OSError) as error:
            why = getattr(error, "reason", None) or error
            raise ClusterError(f"{self._host} ({self._found}) does not answer: {doing}: {why}") from None

    def _error(self, error: Any, doing: str) -> ClusterError:
        try:
            said = json.loads(error.body).get("message") or error.reason
        except (TypeError, ValueError, AttributeError):
            said = error.reason or "no reason given"
        message = f"{self._host}: {doing}: {said} (HTTP {error.status})"
        return ClusterError(message, int(error.status or 0), _wait_s(error.headers))


def identity(manifest: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return the API version, kind, name and namespace of an object."""
    metadata = manifest["metadata"]
    return manifest["apiVersion"], manifest["kind"], metadata["name"], metadata.get("namespace", "")


def _named(kind: str, name: str, namespace: str, subresource: str) -> str:
    return f"{subresource} of {kind} {namespace}/{name}" if subresource else f"{kind} {namespace}/{name}"


def _wait_s(headers: Mapping[str, str] | None) -> float | None:
    """Return how long a server asks to be left alone; it says so in whole seconds."""
    stated = (headers or {}).get("Retry-After", "")
    return float(stated) if stated.isdecimal() else None


def _object(data: bytes) -> Manifest:
    found: Manifest = json.loads(data)
    return found


def _differences(known: dict[str, Manifest], items: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Bring `known` up to a list that was read, yielding what that changes."""
    found = {item["metadata"]["name"]: item for item in items}
    for name in [name for name in known if name not in found]:
        yield "DELETED", known.pop(name)
    for name, item in found.items():
        change = "MODIFIED" if name in known else "ADDED"
        known[name] = _named_only(item)
        yield change, item


def _named_only(found: Manifest) -> Manifest:
    """Return what is needed to tell that an object is gone; a namespace of pods fills much memory."""
    kept = ("name", "namespace", "uid", "labels", "resourceVersion")
    metadata = {key: found["metadata"][key] for key in kept if key in found["metadata"]}
    return {"apiVersion": found.get("apiVersion"), "kind": found.get("kind"), "metadata": metadata}
