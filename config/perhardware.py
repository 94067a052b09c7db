"""Read what is stated once for all GPUs, or per kind of hardware: `40`, or `{H100: 32, GB200: 36}`."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from config.quantities import read_count
from config.section import RefusalError
from models.policy import MOST_GPUS

# A dearer GPU-hour, or a dearer request, is a slip of the pen in any currency.
MOST_MONEY = 1e9


def read_money(value: object) -> float:
    """Read 3.2 or "3.2" as an amount of money; raises ValueError for anything not above zero."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("wants an amount such as 3.20, in the currency of `price`")
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        raise ValueError("wants an amount such as 3.20; the currency stands in `price.currency`") from None
    if not math.isfinite(amount) or amount > MOST_MONEY:
        raise ValueError(f"wants an amount of at most {MOST_MONEY:g}")
    if amount <= 0:
        raise ValueError("wants an amount above 0; leave it out where nothing is paid")
    return amount


def _read_gpus(value: object) -> int:
    count = read_count(value)
    if count < 1:
        raise ValueError("wants a number of at least 1")
    if count > MOST_GPUS:
        raise ValueError(f"wants a number of at most {MOST_GPUS:g}")
    return count


def _either(read: Callable[[object], Any]) -> Callable[[object], Any]:
    """Return a reader of one value, or of a mapping of hardware names to values."""

    def either(value: object) -> Any:
        if not isinstance(value, Mapping):
            return read(value)
        if not value:
            raise ValueError("names no hardware; write a number, or one for each: {H100: 32, GB200: 36}")
        found: dict[str, Any] = {}
        problems = []
        for name, each in value.items():
            key = str(name).strip()
            if not key or key.casefold() in (other.casefold() for other in found):
                problems.append(((str(name),), "names a kind of hardware that is there already, or none"))
                continue
            try:
                found[key] = read(each)
            except ValueError as error:
                found[key] = None
                problems.append(((str(name),), str(error)))
        if problems:
            raise RefusalError([((*path,), sentence) for path, sentence in problems])
        return found

    return either


def _schema(one: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema(
        {"anyOf": [one, {"type": "object", "additionalProperties": one, "minProperties": 1}]}
    )


GpuBudget = Annotated[
    int | Mapping[str, int],
    PlainValidator(_either(_read_gpus)),
    _schema(
        {
            "type": ["integer", "string"],
            "pattern": r"^\s*[0-9][0-9_]*(\.[0-9]+)?\s*[kKmMgG]?\s*$",
            "minimum": 1,
            "maximum": MOST_GPUS,
        }
    ),
]
GpuPrice = Annotated[
    float | Mapping[str, float],
    PlainValidator(_either(read_money)),
    _schema({"type": ["number", "string"], "exclusiveMinimum": 0, "maximum": MOST_MONEY}),
]
Money = Annotated[
    float,
    PlainValidator(read_money),
    WithJsonSchema({"type": ["number", "string"], "exclusiveMinimum": 0, "maximum": MOST_MONEY}),
]
