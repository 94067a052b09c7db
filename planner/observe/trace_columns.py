"""Turn columns of text into numbers, a whole column at a time, and remember which rows do not convert."""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from models.simulation.workload import Floats

# 1 January 2100. A later time is in milliseconds, or wrong.
LATEST_S = 4_102_444_800.0


def numbers(texts: Sequence[str]) -> Floats:
    """Read numbers, shape (n,); NaN where a text is none."""
    try:
        return np.array(list(map(float, texts)), dtype=np.float64)
    except ValueError:
        return np.array([_number(text) for text in texts], dtype=np.float64)


def times_s(texts: Sequence[str]) -> Floats:
    """Read times as Unix seconds, shape (n,); NaN where a text is none.

    A time is a number of seconds, or a date and time such as 2023-11-16 18:15:46.680590 or
    2024-05-12T00:00:00Z, UTC unless it names another zone.
    """
    if not texts or not _looks_like_date(texts[0]):
        found = numbers(texts)
        if not np.isnan(found).all():
            return found
    try:
        with warnings.catch_warnings():
            # numpy warns that it shifts a stated zone to UTC, which is what is wanted.
            warnings.simplefilter("ignore")
            # Not nanoseconds: years beyond 2262 would wrap around to plausible ones.
            stamps = np.array([_stamp(text) for text in texts], dtype="datetime64[us]")
    except ValueError:
        return np.array([_time_s(text) for text in texts], dtype=np.float64)
    seconds = stamps.astype(np.int64) / 1e6
    seconds[np.isnat(stamps)] = np.nan
    return seconds


def _looks_like_date(text: str) -> bool:
    return len(text) > 7 and text[4:5] == "-"


def _stamp(text: str) -> str:
    """Return a text for numpy, which would take "now" and "today" for times; raises ValueError."""
    if not text[:1].isdecimal():
        raise ValueError(f"{text!r} is no date")
    return text.removesuffix("Z")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _time_s(text: str) -> float:
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError:
        return _number(text)
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
