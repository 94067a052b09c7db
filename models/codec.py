"""Turn our frozen values into JSON and back, checked against their types.

The one place in `models` that uses pydantic: text enters and leaves here.
"""

import hashlib
import json
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    """Return the adapter of a type; building one costs milliseconds, so each is kept."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def to_json(value: object) -> str:
    """Write a value of ours as one line of JSON; non-finite numbers become null."""
    return _adapter(type(value)).dump_json(value).decode()


def to_plain(value: object) -> Any:
    """Turn a value of ours into dicts, lists, strings and numbers."""
    return _adapter(type(value)).dump_python(value, mode="json")


def from_plain(kind: type[T], data: object) -> T:
    """Build a value from plain data; raises ValueError that names the first wrong field."""
    try:
        result: T = _adapter(kind).validate_python(data)
    except ValidationError as error:
        raise ValueError(_first(error)) from None
    return result


def from_json(kind: type[T], text: str | bytes) -> T:
    """Build a value from JSON; raises ValueError that names the first wrong field."""
    try:
        result: T = _adapter(kind).validate_json(text)
    except ValidationError as error:
        raise ValueError(_first(error)) from None
    return result


def digest(data: object) -> str:
    """Return the SHA-256 of plain data's canonical JSON, as `sha256:...`."""
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"]) or "value"
    # Our own checks speak for themselves; names in their sentences keep their case.
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message[:1].lower()}{message[1:]}"
