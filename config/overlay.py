"""Lay environment variables and flags over what the file says, and remember where each value came from."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from config.document import Key, KeyPath, read_value
from config.structure import place

PREFIX = "HEADGATE_"

NOT_SETTINGS = frozenset(
    {
        "HEADGATE_CONFIG",
        "HEADGATE_TRACES",
        "HEADGATE_FACTS",
        "HEADGATE_REQUIRE_COMPONENTS",
        "HEADGATE_ENDPOINT_API_KEY",
        "HEADGATE_SERVICE_ACCOUNT",
    }
)
"""Variables of ours that say where things lie or unlock them, and configure nothing."""

# Kubernetes gives every pod the addresses of the Services around it; a Service `headgate` makes these.
_SERVICE_LINK = re.compile(
    r"_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$"
)


@dataclass(frozen=True, slots=True)
class Setting:
    """Hold one value from outside the file: its origin as a reader knows it, where it goes, what it says."""

    origin: str
    keys: tuple[str, ...]
    value: Any


@dataclass(frozen=True, slots=True)
class Misplaced:
    """Say why a value from outside the file has no place in it."""

    origin: str
    sentence: str


def from_environment(environ: Mapping[str, str]) -> list[Setting]:
    """Return the settings in the environment; an empty variable counts as not set."""
    return [
        Setting(name, tuple(name.removeprefix(PREFIX).split("__")), text)
        for name, text in sorted(environ.items())
        if name.startswith(PREFIX) and text and name not in NOT_SETTINGS and not _SERVICE_LINK.search(name)
    ]


def from_flags(overrides: Mapping[str, Any]) -> list[Setting]:
    """Return the settings of flags, by dotted key; a `Path` starts at the working directory."""
    return [
        Setting(
            f"flag {key}",
            tuple(re.sub(r"\[(\d+)\]", r".\1", key).split(".")),
            str(Path.cwd() / value) if isinstance(value, Path) else value,
        )
        for key, value in overrides.items()
    ]


def lay_over(
    values: dict[str, Any], settings: Iterable[Setting]
) -> tuple[dict[KeyPath, str], list[Misplaced]]:
    """Write settings into the file's values; return the origin of each, and what had no place."""
    origins: dict[KeyPath, str] = {}
    misplaced: list[Misplaced] = []
    for setting in settings:
        try:
            # Bytes that are no text reach us as lone surrogates, which nothing could write down again.
            str(setting.value).encode()
            path = _find(values, setting.keys)
            value = _value(setting.value, path)
            _put(values, path, value)
        except UnicodeEncodeError:
            misplaced.append(Misplaced(setting.origin, "holds bytes that are not UTF-8 text"))
            continue
        except ValueError as error:
            misplaced.append(Misplaced(setting.origin, str(error)))
            continue
        for known in [known for known in origins if known[: len(path)] == path]:
            del origins[known]
        origins[path] = setting.origin
    return origins, misplaced


def _find(values: Any, keys: tuple[str, ...]) -> KeyPath:
    """Return the path that the keys name; items of a list go by number or by name."""
    path: KeyPath = ()
    here: Any = values
    for position, key in enumerate(keys):
        around = place(path)
        if around is None or (around.section is None and around.items is None and around.entries is None):
            raise ValueError(f"{dotted(path)} is a value and holds no {key.lower()!r}")
        step: Key
        if around.items is not None:
            step = _item(here, key, path)
        elif around.section is not None:
            step = key.lower()
            if step not in around.keys:
                raise ValueError(f"unknown key {dotted((*path, step))!r}; {_hint(step, around.keys)}")
        else:
            # Header and label names are free; a variable's name can hold neither case nor hyphens.
            rest = "__".join(keys[position:])
            if not rest:
                raise ValueError(f"names no entry of {dotted(path)}")
            step = _entry(here, rest, hyphens=bool(path) and path[-1] == "headers")
            return (*path, step)
        path = (*path, step)
        here = _step(here, step)
    return path


def _step(here: Any, key: Key) -> Any:
    if isinstance(here, dict):
        return here.get(str(key))
    if isinstance(here, list) and isinstance(key, int):
        return here[key]
    return None


def _item(here: Any, key: str, path: KeyPath) -> int:
    listed = here if isinstance(here, list) else []
    if key.isascii() and key.isdigit():
        if int(key) < len(listed):
            return int(key)
        raise ValueError(f"{dotted(path)} has {len(listed)} items, so there is no item {int(key)}")
    names = [str(item.get("name")) if isinstance(item, dict) else "" for item in listed]
    name = key.lower().replace("_", "-")
    if name in names:
        return names.index(name)
    raise ValueError(f"{dotted(path)} has no item named {name!r}; {_hint(name, names)}")


def _hint(key: str, known: Collection[str]) -> str:
    section = next((name for name in known if key.startswith(f"{name}_")), None)
    if section is not None:
        inner = key.removeprefix(f"{section}_")
        return f"two underscores lead into a section: {section.upper()}__{inner.upper()}"
    nearest = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"known here: {', '.join(known) or 'none'}"


def _entry(here: Any, key: str, hyphens: bool) -> str:
    wanted = key.lower().replace("_", "-") if hyphens else key.lower()
    known = [str(name) for name in here] if isinstance(here, dict) else []
    return next((name for name in known if name.lower() == wanted), wanted)


def _value(value: Any, path: KeyPath) -> Any:
    """Read what a variable says: null, a list or mapping in YAML's one-line form, or the text as it is."""
    if not isinstance(value, str):
        return value
    if value.strip() in ("null", "~"):
        return None
    target = place(path)
    if target is not None and (target.section or target.items or target.entries):
        return read_value(value)
    return value


def _put(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    here: Any = values
    for key, following in pairwise(path):
        inner = _step(here, key)
        if inner is None and not isinstance(following, int):
            inner = here[key] = {}
        if not isinstance(inner, dict | list):
            raise ValueError(f"the file has a single value where {dotted(path)} would need a section")
        here = inner
    here[path[-1]] = value


def dotted(path: KeyPath) -> str:
    """Write a path as a reader does: deployments[0].slo.ttft."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text
