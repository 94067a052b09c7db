"""Read each object once in a look, so that two roles of one graph see the same graph."""

from planner.cluster.api import Manifest, Reader


class OneLook:
    """Implement the Reader protocol with another, asked once for each object in one look."""

    def __init__(self, reader: Reader) -> None:
        """Begin a look."""
        self._reader = reader
        self._seen: dict[tuple[str, ...], Manifest | None] = {}

    def get(
        self, api_version: str, kind: str, name: str, namespace: str, subresource: str = ""
    ) -> Manifest | None:
        """Return an object as it was at first sight."""
        key = (api_version, kind, name, namespace, subresource)
        if key not in self._seen:
            self._seen[key] = self._reader.get(api_version, kind, name, namespace, subresource)
        return self._seen[key]

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Manifest]:
        """Return the objects of a kind as they are now."""
        return self._reader.find(api_version, kind, namespace, labels)
