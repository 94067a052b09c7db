"""Read what a person writes as amounts of memory and bandwidths, and write them back exactly."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SHOWN = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3), ("B", 1))
# A petabyte behind one GPU, or through it in a second, is a slip of the pen.
_LARGEST = 10**15
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)")


def read_bytes(value: object) -> float:
    """Read "400GB" or "64KiB" as bytes; raises ValueError for anything without a unit, and for zero."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError('wants an amount of memory such as "400GB" or "64KiB"')
    match = _SIZE.fullmatch(str(value).strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError('wants an amount of memory with its unit, such as "400GB" or "64KiB"')
    size = float(Decimal(match[1]) * _UNITS[match[2]])
    if size <= 0:
        raise ValueError("is no memory at all; leave it out")
    if size > _LARGEST:
        raise ValueError("is more than a petabyte")
    return size


def write_bytes(size: float) -> str:
    """Write bytes so that `read_bytes` gives the same number: 400GB, 40.96kB."""
    exact = Decimal(repr(size))
    unit, factor = next((u, f) for u, f in _SHOWN if exact >= f or f == 1)
    return f"{(exact / factor).normalize():f}{unit}"


def read_bandwidth(value: object) -> float:
    """Read "50GB/s" as bytes per second; raises ValueError otherwise."""
    text = str(value).strip() if isinstance(value, str) else ""
    amount, slash, per = text.rpartition("/")
    if not slash or per.strip() != "s":
        raise ValueError('wants a bandwidth such as "50GB/s": bytes, not bits')
    # A small b means bytes where memory is counted, and bits where a network is.
    bits = re.fullmatch(r"([0-9.]+\s*[kKmMgGtT]?i?)b(?:it)?", amount.strip())
    if bits is not None:
        size = write_bandwidth(read_bytes(f"{bits[1]}B") / 8)
        raise ValueError(f"is in bits per second; write bytes: {size}")
    try:
        return read_bytes(amount)
    except ValueError:
        raise ValueError('wants a bandwidth such as "50GB/s": bytes, not bits') from None


def write_bandwidth(bytes_per_s: float) -> str:
    """Write a bandwidth so that `read_bandwidth` gives the same number."""
    return f"{write_bytes(bytes_per_s)}/s"


_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtT]i?)?[bB]"

Bytes = Annotated[
    float,
    BeforeValidator(read_bytes),
    PlainSerializer(write_bytes, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _PATTERN + r"\s*$", "examples": ["400GB", "64KiB"]}),
]
Bandwidth = Annotated[
    float,
    BeforeValidator(read_bandwidth),
    PlainSerializer(write_bandwidth, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _PATTERN + r"\s*/\s*s\s*$", "examples": ["50GB/s"]}),
]
