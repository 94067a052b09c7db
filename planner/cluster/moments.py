"""Read the times that the API server writes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def moment_s(text: object) -> float | None:
    """Return an RFC 3339 time as Unix seconds; `None` for what is none."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo is not None else None


def created_s(manifest: Mapping[str, Any]) -> float | None:
    """Return when an object was created, Unix seconds by the server's clock."""
    return moment_s((manifest.get("metadata") or {}).get("creationTimestamp"))


def event_s(event: Mapping[str, Any]) -> float:
    """Return when an Event happened last; 0 where it does not say."""
    series = event.get("series") or {}
    said = (event.get("lastTimestamp"), series.get("lastObservedTime"), event.get("eventTime"))
    times = [found for each in said if (found := moment_s(each)) is not None]
    return max(times) if times else created_s(event) or 0.0


def began_s(event: Mapping[str, Any]) -> float:
    """Return when an Event happened first; 0 where it does not say."""
    found = moment_s(event.get("firstTimestamp"))
    return event_s(event) if found is None else found
