"""Describe the configuration file as JSON Schema, for editors and for checks before a roll-out."""

from typing import Any

from config.schema import Settings
from config.section import Section
from config.structure import Place, key_of, sections_in

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_KEYWORDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file: every key with its description and default."""
    schema = Settings.model_json_schema(by_alias=True, mode="validation")
    schema["title"] = "Headgate configuration"
    sections = {"Settings": schema, **schema.get("$defs", {})}
    for section in sections_in(Settings):
        _as_written(section, sections.get(section.__name__, {}))
    return {"$schema": DIALECT, **schema}


def _as_written(section: type[Section], schema: dict[str, Any]) -> None:
    """Put defaults as a person writes them ("2m", not 120.0), and leave out titles that repeat the key."""
    # Required values are absent here, which is nothing to warn of: only the defaults are looked at.
    defaults = section.model_construct().model_dump(mode="json", by_alias=True, warnings=False)
    bounds = {key_of(name, field): _bounds(field.metadata) for name, field in section.model_fields.items()}
    for key, described in schema.get("properties", {}).items():
        described.pop("title", None)
        described["description"] = Place(section=section).keys[key]
        if "default" in described:
            described["default"] = defaults.get(key)
        value = described["anyOf"][0] if "anyOf" in described else described
        for loose in _KEYWORDS:
            value.pop(loose, None)
        value.update(bounds[key])


def _bounds(metadata: list[Any]) -> dict[str, Any]:
    """Translate the bounds of a field, which do not reach the schema of a type that describes itself."""
    return {
        keyword: getattr(each, bound)
        for each in metadata
        for bound, keyword in _KEYWORDS.items()
        if hasattr(each, bound)
    }
