"""Turn what validation found into sentences: where, which key, what is wrong, what to write instead."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from config.document import KeyPath
from config.overlay import dotted
from config.section import RefusalError
from config.sources import MASK, is_header_name
from config.structure import below, place

Finding = tuple[KeyPath, str]
"""A key and the sentence about it."""

_SECRET = ("prometheus", "headers")
_LONGEST_SHOWN = 80


def findings(error: ValidationError, values: Any) -> Iterator[Finding]:
    """Yield each finding of a failed validation of `values`, in the order of the schema."""
    for problem in error.errors(include_url=False):
        path = problem["loc"]
        context = problem.get("ctx", {})
        if isinstance(refusal := context.get("error"), RefusalError):
            for inner, sentence in refusal.problems:
                whole = (*path, *inner)
                found = _written(values, whole)
                yield (
                    whole,
                    sentence if isinstance(found, dict | list | None) else f"{sentence}{_got(found, whole)}",
                )
        elif problem["type"] == "too_short" and len(_written(values, path) or ()) >= context["min_length"]:
            continue  # items that are wrong were not counted; each has a finding of its own
        elif path[: len(_SECRET)] == _SECRET and _spills(path):
            # Whoever mistakes the form of a header has its secret in the name.
            yield _SECRET, "holds a name that is not a header's; write `Name: value`"
        elif path and path[-1] == "[key]":
            yield path[:-1], str(context["error"])
        else:
            yield path, _sentence(problem["type"], path, context, problem["msg"], problem["input"])


def _spills(path: KeyPath) -> bool:
    """Whether a path below the headers goes through what is no header's name."""
    return any(not is_header_name(str(name)) for name in path[len(_SECRET) : len(_SECRET) + 1])


def _sentence(kind: str, path: KeyPath, context: Mapping[str, Any], message: str, value: Any) -> str:
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return f"is missing: {_described(path)}"
    write = _SENTENCES.get(kind)
    text = write(context) if write else message.removeprefix("Value error, ").lower()
    if kind == "value_error":
        text = str(context["error"])
    if kind == "enum":
        return f"{text}{_got(value, path)}{_nearest_choice(value, context)}"
    if kind == "string_type" and isinstance(value, int | float):
        return f"wants text; put it in quotes{_got(value, path)}"
    return f"{text}{_got(value, path)}"


_SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "model_type": lambda _: "wants a section: indented `key: value` lines",
    "model_attributes_type": lambda _: "wants a section: indented `key: value` lines",
    "mapping_type": lambda _: "wants `name: value` pairs",
    "dict_type": lambda _: "wants `name: value` pairs",
    "tuple_type": lambda _: "wants a list: lines that begin with `- `",
    "list_type": lambda _: "wants a list: lines that begin with `- `",
    "string_type": lambda _: "wants text",
    "bool_type": lambda _: "wants true or false",
    "bool_parsing": lambda _: "wants true or false",
    "enum": lambda c: f"wants {c['expected']}",
    "too_short": lambda c: f"wants {c['min_length']} or more items",
    "too_long": lambda c: f"wants no more than {c['max_length']} items",
    "string_too_short": lambda _: "wants text that is not empty",
    "greater_than": lambda c: f"wants a number above {c['gt']:g}",
    "greater_than_equal": lambda c: f"wants a number of at least {c['ge']:g}",
    "less_than": lambda c: f"wants a number below {c['lt']:g}",
    "less_than_equal": lambda c: f"wants a number of at most {c['le']:g}",
}


def _unknown_key(path: KeyPath) -> str:
    around = place(path[:-1])
    key = str(path[-1])
    if around is None or around.section is None:
        return "unknown key"
    inside = next(below(around.section, key), None)
    if inside is not None:
        return f"unknown key here; did you mean {inside!r}?"
    nearest = difflib.get_close_matches(key.lower(), around.keys, n=1)
    if nearest:
        return f"unknown key; did you mean {nearest[0]!r}?"
    outside = next((outer for outer in _outer(path[:-1]) if key in (place(outer) or around).keys), None)
    if outside is not None:
        return f"unknown key here; {key!r} belongs into {dotted(outside) or 'the top level'}"
    return f"unknown key; known here: {', '.join(around.keys)}"


def _outer(path: KeyPath) -> Iterator[KeyPath]:
    while path:
        path = path[:-1]
        yield path


def _described(path: KeyPath) -> str:
    around = place(path[:-1])
    text = around.keys.get(str(path[-1]), "") if around else ""
    first = re.split(r"(?<=\w)\. ", text)[0].rstrip(".")
    return f"{first[:1].lower()}{first[1:]}"


def _nearest_choice(value: Any, context: Mapping[str, Any]) -> str:
    choices = re.findall(r"'([^']*)'", context["expected"])
    nearest = difflib.get_close_matches(str(value).lower(), choices, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def _written(values: Any, path: KeyPath) -> Any:
    for key in path:
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            return None
    return values


def _got(value: Any, path: KeyPath) -> str:
    """Say what was found: values as they stand, secrets masked, sections and lists by their kind."""
    if path[: len(_SECRET)] == _SECRET:
        return f", got {MASK}"
    if value is None:
        return ", got nothing"
    if isinstance(value, bool):
        return f", got {str(value).lower()}"
    if isinstance(value, Mapping):
        return ", got a section"
    if isinstance(value, list | tuple):
        return ", got a list"
    if isinstance(value, int | float):
        return f", got {value:g}" if isinstance(value, float) else f", got {value}"
    # A URL may carry a password before its host.
    text = re.sub(r"//[^/@\s]*@", f"//{MASK}@", str(value))
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    return f", got {shown!r}"
