"""Match labels against a selector as the API server would, for objects that are at hand already."""

import re
from collections.abc import Mapping

_SET = re.compile(r"(?P<key>\S+)\s+(?P<how>in|notin)\s*\((?P<values>[^)]*)\)")


def matches(labels: Mapping[str, str], selector: str) -> bool:
    """Say whether labels meet every requirement of a selector; an empty one is met by all.

    Knows `a=b`, `a==b`, `a!=b`, `a`, `!a`, `a in (b, c)` and `a notin (b, c)`.
    """
    # A comma inside parentheses parts values, not requirements.
    parts = [part.strip() for part in re.split(r",(?![^(]*\))", selector)]
    return all(_meets(labels, part) for part in parts if part)


def _meets(labels: Mapping[str, str], part: str) -> bool:
    if found := _SET.fullmatch(part):
        values = {value.strip() for value in found["values"].split(",")}
        # As with `!=`, a label that is absent has none of the values.
        return (labels.get(found["key"]) in values) == (found["how"] == "in")
    if "!=" in part:
        key, _, value = part.partition("!=")
        return labels.get(key.strip()) != value.strip()
    if "=" in part:
        key, _, value = part.partition("=")
        return labels.get(key.strip()) == value.lstrip("=").strip()
    if part.startswith("!"):
        return part[1:].strip() not in labels
    return part in labels
