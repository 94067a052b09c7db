"""Write loaded settings back as text that loads again: defaults filled in, secrets masked, origins told."""

import json
import re
from collections.abc import Iterator
from typing import Any

from config.document import KeyPath
from config.loading import Loaded
from config.overlay import dotted

SCHEMA = "headgate/config/v1"

_PLAIN = re.compile(
    r"[A-Za-z/.][A-Za-z0-9_./-]*|[0-9]+(\.[0-9]+)?(ms|[smhd])|https?://[A-Za-z0-9_.:/-]*[A-Za-z0-9/]"
)
# Words that one YAML or another takes for something else.
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_WIDEST = 60

Line = tuple[str, KeyPath | None]
"""A line of YAML, and the key whose value stands on it."""


def plain(loaded: Loaded) -> dict[str, Any]:
    """Return the settings as written in a file, every default filled in, paths as stated, secrets masked."""
    settings: dict[str, Any] = loaded.settings.model_dump(mode="json", by_alias=True)
    return settings


def as_yaml(loaded: Loaded, origin: bool = False) -> str:
    """Write settings as a configuration file; with `origin` a comment says where each value came from."""
    lines = list(_section(plain(loaded), (), ""))
    head = [f"# digest {loaded.digest}"]
    if not origin:
        return "\n".join([*head, *(text for text, _ in lines)]) + "\n"
    width = min(max(len(text) for text, _ in lines), _WIDEST)
    return (
        "\n".join(
            [
                *head,
                *(
                    text if key is None else f"{text:<{width}}  # {_origin(loaded, key)}"
                    for text, key in lines
                ),
            ]
        )
        + "\n"
    )


def as_json(loaded: Loaded, origin: bool = False) -> str:
    """Write settings as JSON with their digest; with `origin` the dotted keys and where each came from."""
    settings = plain(loaded)
    body = {"schema": SCHEMA, "digest": loaded.digest, "settings": settings}
    if origin:
        keys = (key for _, key in _section(settings, (), "") if key is not None)
        body["origin"] = {dotted(key): _origin(loaded, key) for key in keys}
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _origin(loaded: Loaded, key: KeyPath) -> str:
    # A list of values is one line; its items share an origin.
    return loaded.origins.get(key) or loaded.origin((*key, 0))


def _section(values: dict[str, Any], path: KeyPath, indent: str) -> Iterator[Line]:
    for key, value in values.items():
        here = (*path, key)
        name = f"{indent}{_scalar(key)}:"
        if isinstance(value, dict) and value:
            yield name, None
            yield from _section(value, here, f"{indent}  ")
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield name, None
            for i, item in enumerate(value):
                first, *rest = _section(item, (*here, i), f"{indent}    ")
                yield f"{indent}  - {first[0].lstrip()}", first[1]
                yield from rest
        elif isinstance(value, list):
            yield f"{name} [{', '.join(map(_scalar, value))}]", here
        else:
            yield f"{name} {_scalar(value)}", here


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return "{}" if value == {} else json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
