"""Tell which keys the configuration knows at any place in it, read off the schema."""

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from config.document import Key, KeyPath
from config.schema import Settings
from config.section import Section


@dataclass(frozen=True, slots=True)
class Place:
    """Describe one place of the file: a section, a list, a mapping of free names, or else a value."""

    section: type[Section] | None = None
    items: Any = None
    entries: Any = None

    @property
    def keys(self) -> dict[str, str]:
        """Return the keys of a section with their descriptions."""
        if self.section is None:
            return {}
        return {key_of(name, f): f.description or "" for name, f in self.section.model_fields.items()}


def key_of(name: str, field: Any) -> str:
    """Return what a field is called in the file."""
    return field.alias or name


def place(path: KeyPath) -> Place | None:
    """Return what stands at a path, `None` where the schema has nothing."""
    here: Any = Settings
    for key in path:
        here = _inside(here, key)
        if here is None:
            return None
    return _describe(here)


def below(section: type[Section], key: str) -> Iterator[str]:
    """Yield where, in the sections inside this one, a key of that name stands, as a dotted path."""
    for name, field in section.model_fields.items():
        inner = _describe(field.annotation).section
        if inner is not None:
            outer = key_of(name, field)
            if key in _describe(inner).keys:
                yield f"{outer}.{key}"
            yield from (f"{outer}.{deeper}" for deeper in below(inner, key))


def sections_in(section: type[Section]) -> Iterator[type[Section]]:
    """Yield a section and, at any depth, those inside it, in lists included; one may come up repeatedly."""
    yield section
    for field in section.model_fields.values():
        here = _describe(field.annotation)
        inner = here.section or _describe(here.items or here.entries).section
        if inner is not None:
            yield from sections_in(inner)


def _inside(annotation: Any, key: Key) -> Any:
    here = _describe(annotation)
    if here.section is not None:
        for name, field in here.section.model_fields.items():
            if key_of(name, field) == key:
                return field.annotation
        return None
    if isinstance(key, int):
        return here.items
    return here.entries


def _describe(annotation: Any) -> Place:
    annotation = _bare(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Place(section=annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return Place(items=arguments[0])
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return Place(entries=arguments[1])
    if origin in (types.UnionType, typing.Union):
        # One value, or a mapping of free names to values.
        return next((found for a in arguments if (found := _describe(a)).entries), Place())
    return Place()


def _bare(annotation: Any) -> Any:
    """Strip `Annotated` and `| None`."""
    while True:
        arguments = [a for a in typing.get_args(annotation) if a is not type(None)]
        if typing.get_origin(annotation) is Annotated or (
            type(None) in typing.get_args(annotation) and len(arguments) == 1
        ):
            annotation = arguments[0]
        else:
            return annotation
