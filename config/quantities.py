"""Read what a person writes as durations, counts, shares and paths, and write it back exactly."""

import math
import os
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from models import units

_UNITS_S = (("d", 86_400), ("h", 3600), ("m", 60))
# More than a year of anything is a slip of the pen, and arrays by the minute would not hold it.
_LONGEST_S = 400 * 86_400.0


@dataclass(frozen=True, slots=True)
class Location:
    """Hold a path as it was written and where it leads: relative paths start at the configuration file."""

    written: str
    path: Path


def read_duration(value: object) -> float:
    """Read "300ms" as 0.3; raises ValueError for anything without a unit, and for zero and less."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError('wants a duration such as "300ms", "90s" or "1h30m"')
    if isinstance(value, int | float):
        raise ValueError(
            "a duration needs its unit, since a bare number can be seconds as well as milliseconds; "
            f'write "{value}ms" or "{value}s"'
        )
    text = value.strip()
    if re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f'a duration needs its unit; write "{text}ms" or "{text}s"')
    if text.startswith("-"):
        raise ValueError("a duration is above zero")
    # Whole nanoseconds, so that "0.7s" and "700ms" are one number and one digest.
    seconds = round(units.duration_s(text), 9)
    if seconds <= 0:
        raise ValueError("a duration is above zero")
    if seconds > _LONGEST_S:
        raise ValueError(f"is longer than {write_duration(_LONGEST_S)}, the longest duration there is here")
    return seconds


def at_most(longest_s: float) -> AfterValidator:
    """Refuse durations above `longest_s`, which nothing could plan for."""

    def check(seconds: float) -> float:
        if seconds > longest_s:
            raise ValueError(
                f"is longer than {write_duration(longest_s)}, the longest that can be planned for"
            )
        return seconds

    return AfterValidator(check)


def write_duration(seconds: float) -> str:
    """Write seconds so that `read_duration` gives the same number: 300ms, 90s, 2m, 7d."""
    exact = Decimal(repr(seconds))
    for unit, length_s in _UNITS_S:
        if exact % length_s == 0:
            return f"{exact // length_s:f}{unit}"
    if exact >= 1:
        return f"{exact.normalize():f}s"
    return f"{(exact * 1000).normalize():f}ms"


def read_count(value: object) -> int:
    """Read 40, "40" or "8k" as a whole number; raises ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError('wants a whole number such as 40 or "8k"')
    if isinstance(value, str):
        text = value.strip()
        negative = text.startswith("-")
        number = units.count(text.removeprefix("-")) * (-1 if negative else 1)
    else:
        number = value
    if not math.isfinite(number) or number != int(number):
        raise ValueError("wants a whole number")
    return int(number)


def read_share(value: object) -> float:
    """Read 0.99 or "99%" as 0.99; raises ValueError otherwise. The range is the field's own."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError('wants a share such as 0.99 or "99%"')
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(%?)", value.strip())
        if match is None:
            raise ValueError('wants a share such as 0.99 or "99%"')
        value = round(float(match[1]) / 100, 12) if match[2] else float(match[1])
    if not 0 <= value <= 1:
        hint = f'; {value:g} percent is written "{value:g}%"' if 1 < value <= 100 else ""
        raise ValueError(f"wants a share between 0 and 1{hint}")
    return float(value)


def read_location(value: object, info: ValidationInfo) -> Location:
    """Read a path; `base` of the validation context is the folder of the configuration file."""
    if isinstance(value, Location):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError("wants a path")
    if value.startswith("~"):
        raise ValueError("wants the path written out; '~' is a shell's shorthand and stays as it is here")
    base: Path = (info.context or {}).get("base", Path())
    # Without "..", as messages name it; what a symbolic link leads up to is not asked.
    return Location(value, Path(os.path.normpath(base / value)))


def write_location(place: Location | str) -> str:
    """Write a path as it was stated; a default that nobody has resolved yet is text."""
    return place if isinstance(place, str) else place.written


def _text(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


def _number_or_text(kind: str, pattern: str, **bounds: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": [kind, "string"], "pattern": pattern, **bounds})


_DURATION_PATTERN = r"^\s*([0-9]+(\.[0-9]+)?\s*([mM][sS]|[sSmMhHdDwW])\s*)+$"
_COUNT_PATTERN = r"^\s*[0-9][0-9_]*(\.[0-9]+)?\s*[kKmMgG]?\s*$"
_SHARE_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*%?\s*$"

Duration = Annotated[
    float,
    BeforeValidator(read_duration),
    PlainSerializer(write_duration, return_type=str),
    _text(_DURATION_PATTERN, "300ms", "90s", "1h30m"),
]
Count = Annotated[int, BeforeValidator(read_count), _number_or_text("integer", _COUNT_PATTERN, minimum=0)]
Whole = Annotated[int, BeforeValidator(read_count), _number_or_text("integer", r"^\s*-?[0-9]+\s*$")]
Share = Annotated[
    float, BeforeValidator(read_share), _number_or_text("number", _SHARE_PATTERN, minimum=0, maximum=1)
]
Place = Annotated[
    Location,
    PlainValidator(read_location),
    PlainSerializer(write_location, return_type=str),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
