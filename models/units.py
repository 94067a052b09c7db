"""Read and write quantities with units: "300ms", "8k", "1.5h"; inside, only seconds and plain counts."""

import re

_DURATIONS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
# Beyond these a quantity is a slip of the pen, and sums with it overflow.
_LONGEST_S = 100 * 365 * 86_400.0
_LARGEST = 1e15
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)")


def duration_s(text: str) -> float:
    """Read a duration such as "300ms", "90s", "1h30m" as seconds; raises ValueError otherwise.

    A number without a unit is refused: nobody can tell seconds from milliseconds.
    """
    total, rest = 0.0, text.strip().lower()
    if not rest:
        raise ValueError('empty duration; write for example "300ms" or "2m"')
    while rest:
        match = _QUANTITY.match(rest)
        if match is None or match[2] not in _DURATIONS_S:
            raise ValueError(f'{text!r} is not a duration; write for example "300ms", "90s" or "1h30m"')
        total += float(match[1]) * _DURATIONS_S[match[2]]
        rest = rest[match.end() :].lstrip()
    if total > _LONGEST_S:
        raise ValueError(f"{text[:40]!r} is longer than a century")
    return total


def count(text: str) -> float:
    """Read a count such as "8k", "1.5M" or "8000" (k = 1,000); raises ValueError otherwise."""
    match = _QUANTITY.fullmatch(text.strip().lower().replace("_", ""))
    if match is None or match[2] not in _COUNTS:
        raise ValueError(f'{text!r} is not a count; write for example "8000" or "8k"')
    number = float(match[1]) * _COUNTS[match[2]]
    if number > _LARGEST:
        raise ValueError(f"{text[:40]!r} is more than anything that is counted here")
    return number


def show_duration(seconds: float) -> str:
    """Write seconds with the unit that a reader expects: 4.2ms, 300ms, 1.5s, 2m, 1h30m, unbounded."""
    if seconds == float("inf"):
        return "unbounded"
    if seconds < 1:
        return f"{seconds * 1e3:.3g}ms"
    if seconds < 60:
        return f"{seconds:.3g}s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest_s}s" if rest_s else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if minutes else f"{hours}h"


def show_count(value: float) -> str:
    """Write a count briefly: 50, 8k, 1.44M."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def show_money(amount_per_h: float, currency: str = "") -> str:
    """Write an amount per hour: 3.20 EUR/h; 3.20/h where no currency is stated."""
    tiny = 0 < amount_per_h < 0.005
    return f"{'under 0.01' if tiny else f'{amount_per_h:,.2f}'}{f' {currency}' if currency else ''}/h"
