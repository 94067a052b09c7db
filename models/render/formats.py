"""Write single figures for a reader: with a unit, never kinder than the value, "-" for what is not known."""

import math
from datetime import UTC, datetime

UNKNOWN = "-"


def seconds(value: float | None) -> str:
    """Write a latency or duration: 4.2 ms, 212 ms, 1.94 s, 3 min, 1 h 30 min."""
    if value is None:
        return UNKNOWN
    if abs(value) < 0.9995:
        return f"{_digits(value * 1e3)} ms"
    if abs(value) < 119.5:
        return f"{_digits(value)} s"
    minutes = round(value / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def share(value: float | None) -> str:
    """Write a ratio as per cent, cut and not rounded, so that a miss of a promise is never rounded away."""
    if value is None:
        return UNKNOWN
    # The small addend undoes binary noise: 0.29 * 100 is 28.999999999999996.
    return f"{math.floor(value * 1e4 + 1e-6) / 1e2:.2f} %"


def percent(value: float) -> str:
    """Write a ratio as whole per cent, for differences of cost."""
    size = abs(value) * 100
    return f"{size:.1f} %" if size < 10 else f"{size:.0f} %"


def points(value: float) -> str:
    """Write a difference of two ratios in percentage points."""
    return f"{abs(value) * 100:.2g} points" if abs(value) < 0.1 else f"{abs(value) * 100:.0f} points"


def number(value: float | None) -> str:
    """Write a count or rate with thousands separators: 0.42, 62.4, 1,234."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return _digits(value)


def brief(value: float | None) -> str:
    """Write a large count briefly: 950, 8k, 1.44M."""
    if value is None:
        return UNKNOWN
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit * 0.9995:
            return f"{_digits(value / limit)}{suffix}"
    return _digits(value)


def ratio(value: float | None) -> str:
    """Write how many times one figure is another: 0.62x."""
    return UNKNOWN if value is None else f"{value:.2f}x"


def moment(at_s: float) -> str:
    """Write Unix seconds as a date and a time of day, UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def time_of_day(at_s: float) -> str:
    """Write Unix seconds as weekday and time of day, UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%a %H:%M")


def words(items: list[str]) -> str:
    """Join names as prose does: a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def plural(count: float, noun: str) -> str:
    """Write a count with its noun: 1 replica, 3 replicas."""
    return f"{number(count)} {noun}" + ("" if count == 1 else "s")


def sentence(text: str) -> str:
    """Write a text as a sentence: a capital first, a full stop last."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""


def _digits(value: float) -> str:
    """Keep three significant digits, without an exponent and without trailing zeros."""
    if value == 0:
        return "0"
    decimals = max(2 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{min(decimals, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
