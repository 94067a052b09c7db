"""Load the configuration: defaults, then the file, then the environment, then flags; all errors at once."""

import copy
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.diagnosis import Finding, findings
from config.document import Document, KeyPath, read_file
from config.overlay import dotted, from_environment, from_flags, lay_over
from config.quantities import Location
from config.schema import DeploymentSettings, Settings
from config.section import Section
from config.structure import key_of
from models import codec
from models.errors import ConfigError
from models.policy import TickPolicy


@dataclass(frozen=True, slots=True)
class Loaded:
    """Hold checked settings, their digest, the file that they came from and the origin of every stated value.

    The digest is one for settings that mean the same: whatever the order of keys, whether a default was
    written out, and wherever the files lie. Paths and header values are no part of it: neither changes a
    decision, and a profile has a digest of its own.
    """

    settings: Settings
    digest: str
    path: Path
    origins: Mapping[KeyPath, str] = field(default_factory=dict)

    def deployment(self, name: str | None = None) -> DeploymentSettings:
        """Return a deployment by name, or the only one; raises ConfigError that lists those there are."""
        deployments = self.settings.deployments
        known = ", ".join(each.name for each in deployments)
        if name is None:
            if len(deployments) == 1:
                return deployments[0]
            raise ConfigError(f"{self.path}: has several deployments; name one of them: {known}")
        for each in deployments:
            if each.name == name:
                return each
        raise ConfigError(f"{self.path}: has no deployment {name!r}; it has {known}")

    def tick_policy(self, name: str | None = None) -> TickPolicy:
        """Return what one tick of a deployment needs to know, stamped with the digest."""
        return self.deployment(name).to_tick_policy(self.settings.interval_s, self.digest)

    def origin(self, path: KeyPath) -> str:
        """Say where a value came from: `default`, `file:line`, a variable or a flag."""
        return self.origins.get(path, "default")


def load(
    path: Path | str,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Loaded:
    """Load a configuration file and what is laid over it.

    `environ` (default: the process's own) holds variables such as `HEADGATE_PROMETHEUS__URL` or
    `HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS`: two underscores lead into a section, an item of a list goes by
    its name or its number, a relative path starts at the file. `overrides` are flags by dotted key, such as
    `deployments.shop.budget.gpus`. Raises ConfigError with every error found, one a line.
    """
    path = Path(path)
    document = read_file(path)
    stated = [
        *from_environment(os.environ if environ is None else environ),
        *from_flags(overrides or {}),
    ]
    laid_over, misplaced = lay_over(document.values, stated)
    where = _Where(path, document, laid_over)
    checked, found = _check(document.values, path.parent)
    errors = [where.error(each.path, each.sentence, each.line) for each in document.faults]
    errors += [where.error(key, sentence) for key, sentence in found]
    lines = [line for _, line in sorted(errors, key=lambda error: error[0])]
    lines += [f"{each.origin}: {each.sentence}" for each in misplaced]
    if lines or checked is None:
        count = f"{len(lines)} errors:\n" if len(lines) > 1 else ""
        raise ConfigError(count + "\n".join(lines))
    return Loaded(checked, digest(checked), path, where.origins())


def digest(settings: Settings) -> str:
    """Return the digest of what the settings mean; paths and header values are left out."""
    return codec.digest(_meaning(settings, settings.model_dump(mode="json", by_alias=True)))


def _meaning(value: Any, plain: Any) -> Any:
    """Take the paths out of plain data; header values are masked there already."""
    if isinstance(value, tuple):
        return [_meaning(*pair) for pair in zip(value, plain, strict=True)]
    if not isinstance(value, Section):
        return plain
    fields = {name: key_of(name, known) for name, known in type(value).model_fields.items()}
    return {
        key: _meaning(inner, plain[key])
        for name, key in fields.items()
        if key in plain and not isinstance(inner := getattr(value, name), Location)
    }


def _check(values: dict[str, Any], base: Path) -> tuple[Settings | None, list[Finding]]:
    try:
        return Settings.model_validate(values, context={"base": base}), []
    except ValidationError as error:
        found = list(dict.fromkeys(findings(error, values)))
    # Rules between sections are checked once each section is right. So that all errors are told at once, look
    # again without what was wrong; a rule about a section that had an error would only repeat it.
    at_fault = [path for path, _ in found]
    try:
        Settings.model_validate(_without(values, at_fault), context={"base": base})
    except ValidationError as error:
        for path, sentence in findings(error, values):
            if not any(known[: len(path)] == path for known in at_fault):
                found.append((path, sentence))
    found += [each for each in _names_twice(values) if each not in found]
    return None, found


def _names_twice(values: dict[str, Any]) -> Iterator[Finding]:
    """Yield names that come twice in a list, whatever else is wrong with its items."""
    deployments = values.get("deployments")
    lists: list[tuple[KeyPath, Any]] = [
        (("deployments",), deployments),
        (("gpu_pools",), values.get("gpu_pools")),
    ]
    for i, each in enumerate(deployments if isinstance(deployments, list) else ()):
        if isinstance(each, dict):
            lists.append((("deployments", i, "classes"), each.get("classes")))
    for path, items in lists:
        named = [
            item.get("name") if isinstance(item, dict) else None
            for item in (items if isinstance(items, list) else ())
        ]
        for i, name in enumerate(named):
            if isinstance(name, str) and name in named[:i]:
                yield (*path, i, "name"), f"is the name of item {named.index(name)} too, got {name!r}"


def _without(values: dict[str, Any], paths: list[KeyPath]) -> dict[str, Any]:
    pruned = copy.deepcopy(values)
    for path in paths:
        # To take an item out of a list would renumber the others: the whole list goes.
        keys = list(path)
        while keys and isinstance(keys[-1], int):
            keys.pop()
        here: Any = pruned
        try:
            for key in keys[:-1]:
                here = here[key]
            del here[keys[-1]]
        except (KeyError, IndexError, TypeError):
            continue
    return pruned


@dataclass(frozen=True, slots=True)
class _Where:
    """Tell where a value stands: in the file, in a variable or on the command line."""

    path: Path
    document: Document
    laid_over: Mapping[KeyPath, str]

    def error(self, key: KeyPath, sentence: str, line: int | None = None) -> tuple[int, str]:
        """Return an error's line, for sorting, and its text."""
        outside = self._outside(key)
        if outside is not None and line is None:
            return sys.maxsize, f"{outside}: {dotted(key)}: {sentence}"
        line = self.document.line(key) if line is None else line
        subject = f"{dotted(key)}: " if key else ""
        return line, f"{self.path}:{line}: {subject}{sentence}"

    def origins(self) -> dict[KeyPath, str]:
        """Return the origin of every value that was stated."""
        return {
            key: self._outside(key) or f"{self.path}:{self.document.line(key)}"
            for key in _leaves(self.document.values, ())
        }

    def _outside(self, key: KeyPath) -> str | None:
        for end in range(len(key), 0, -1):
            if key[:end] in self.laid_over:
                return self.laid_over[key[:end]]
        return None


def _leaves(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    empty = True
    for key, each in inner:
        empty = False
        yield from _leaves(each, (*path, key))
    if empty:
        yield path
