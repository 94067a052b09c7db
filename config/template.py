"""Read the template of a candidate: Kubernetes objects with placeholders for what differs between layouts."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.document import Document, Kind, Quoted, read_documents, read_file_text
from models.errors import ConfigError

ENDPOINT = "headgate.io/endpoint"
"""The annotation, on one object of the template, that says where the candidate answers."""

NUMBERS = ("gpus", "node_gpus", "tp", "pp", "dp", "ep", "nodes")
WORDS = ("name", "namespace", "role", "layout", "model")
PLACEHOLDERS = (*WORDS, *NUMBERS)

_TEMPLATE = Kind(
    "template",
    "a template is one Kubernetes object per document, separated by `---`",
    "it takes a DynamoGraphDeployment, or a Deployment with its Service",
)
# `$${` is how a template writes `${`, for a shell that is to see it.
_PLACEHOLDER = re.compile(r"\$?\$\{([^{}]*)\}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Template:
    """Hold the objects of a candidate before their placeholders are filled in."""

    text: str
    objects: tuple[dict[str, Any], ...]
    endpoint: str

    @property
    def used(self) -> frozenset[str]:
        """The placeholders that occur anywhere, the endpoint included."""
        found = {*_placeholders(self.endpoint), *(n for each in self.objects for n in _placeholders(each))}
        return frozenset(found)

    def render(self, values: Mapping[str, str | int]) -> tuple[tuple[dict[str, Any], ...], str]:
        """Return the objects and the endpoint; what is not in quotes and all digits is a number."""
        objects = tuple(_filled(each, values) for each in self.objects)
        return objects, str(_filled(Quoted(self.endpoint), values))


def read_template(path: Path, endpoint: str | None = None) -> Template:
    """Read a template file; `endpoint` replaces its annotation. Raises ConfigError that names the line."""
    return parse_template(read_file_text(path, _TEMPLATE), str(path), endpoint)


def parse_template(text: str, source: str, endpoint: str | None = None) -> Template:
    """Read the text of a template; `source` names it in messages."""
    documents = read_documents(text, source, _TEMPLATE)
    for document in documents:
        _check(document, source)
    objects = tuple(document.values for document in documents)
    return Template(text, objects, endpoint or _endpoint(objects, source))


def _check(document: Document, source: str) -> None:
    """Refuse unknown placeholders, and names that two candidates would share."""
    for fault in document.faults:
        raise ConfigError(f"{source}:{fault.line}: {'.'.join(map(str, fault.path))} {fault.sentence}")
    values = document.values
    first = document.line(("apiVersion",)) or document.line(("kind",)) or 1
    for key in ("apiVersion", "kind"):
        if not isinstance(values.get(key), str):
            raise ConfigError(f"{source}:{first}: an object has no {key}; {_TEMPLATE.shape}")
    if values["kind"] == "List":
        raise ConfigError(f"{source}:{first}: is a List; write its objects as documents separated by `---`")
    metadata = values.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or "${name}" not in name:
        line = document.line(("metadata", "name"))
        raise ConfigError(
            f"{source}:{line or first}: {values['kind']} is named {name!r}: write metadata.name with "
            "${name} in it, so that no two candidates share an object"
        )
    for path, word in _unknown(values):
        line = document.line(path)
        if word is None:
            raise ConfigError(f"{source}:{line}: a key cannot hold a placeholder; only values can")
        near = difflib.get_close_matches(word, PLACEHOLDERS, 1)
        hint = (
            f"did you mean ${{{near[0]}}}?"
            if near
            else f"there is {', '.join(f'${{{p}}}' for p in PLACEHOLDERS)}"
        )
        raise ConfigError(
            f"{source}:{line}: ${{{word}}} is no placeholder; {hint} (a shell's own is written $${{...}})"
        )


def _unknown(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], str | None]]:
    """Return where an unknown placeholder stands, `None` for one in a key."""
    if isinstance(value, dict):
        keys: list[tuple[tuple[str | int, ...], str | None]] = [
            ((*path, key), None) for key in value if _placeholders(key)
        ]
        return keys + [each for key, child in value.items() for each in _unknown(child, (*path, key))]
    if isinstance(value, list):
        return [each for i, child in enumerate(value) for each in _unknown(child, (*path, i))]
    return [(path, word) for word in _placeholders(value) if word not in PLACEHOLDERS]


def _placeholders(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [word for child in value.values() for word in _placeholders(child)]
    if isinstance(value, list):
        return [word for child in value for word in _placeholders(child)]
    if not isinstance(value, str):
        return []
    return [match[1] for match in _PLACEHOLDER.finditer(value) if not match[0].startswith("$$")]


def _endpoint(objects: tuple[dict[str, Any], ...], source: str) -> str:
    found = {
        annotations[ENDPOINT]
        for each in objects
        if isinstance(annotations := each["metadata"].get("annotations"), dict) and ENDPOINT in annotations
    }
    if len(found) != 1:
        state = "says nowhere" if not found else "says in two ways"
        raise ConfigError(
            f"{source}: {state} where the candidate answers; annotate one object with "
            f"`{ENDPOINT}: http://${{name}}-frontend.${{namespace}}.svc:8000`, or name it with --endpoint"
        )
    return str(found.pop())


def _filled(value: Any, values: Mapping[str, str | int]) -> Any:
    if isinstance(value, dict):
        return {str(key): _filled(child, values) for key, child in value.items()}
    if isinstance(value, list):
        return [_filled(child, values) for child in value]
    if not isinstance(value, str):
        return value
    filled = _PLACEHOLDER.sub(
        lambda match: match[0][1:] if match[0].startswith("$$") else str(values[match[1]]), value
    )
    # Without quotes YAML would have read a number, had it been written out.
    written_out = filled != value and not isinstance(value, Quoted)
    return int(filled) if written_out and _NUMBER.fullmatch(filled) else filled
