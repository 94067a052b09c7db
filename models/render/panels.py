"""Say what a chart shows, before a library draws it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.render.figure import Swatch


def logarithmic_ticks(values: Iterable[float]) -> tuple[float, ...]:
    """Return ticks of a logarithmic axis over these values: finer where they span less than two decades."""
    seen = [v for v in values if v > 0]
    digits = (1, 2, 5) if seen and max(seen) < 100 * min(seen) else (1, 3)
    return tuple(digit * 10.0**power for power in range(-4, 9) for digit in digits)


@dataclass(frozen=True, slots=True)
class Mark:
    """A horizontal line with a name, on it or `below` it: a budget, a promise, a target."""

    value: float
    label: str
    below: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Describe one panel over the shared time axis, drawn from rows {at, series, value, group}.

    `shown` names the parameter that lists the visible series, `chosen` the one that picks a group. `form` is
    line, step or stack. Values are written with `format` (d3); `top` and `bottom` bound their axis.
    """

    name: str
    title: str
    data: str
    swatches: tuple[Swatch, ...]
    form: str = "line"
    format: str = ",.3~f"
    shown: str = ""
    chosen: str = ""
    marks: tuple[Mark, ...] = ()
    logarithmic: bool = False
    top: float | None = None
    bottom: float | None = 0.0
    height: int = 120


@dataclass(frozen=True, slots=True)
class Scale:
    """Describe one axis of a chart that is not over time; without `ticks` Vega chooses them."""

    title: str
    format: str = ",.3~f"
    logarithmic: bool = False
    zero: bool = True
    reverse: bool = False
    ticks: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Curves:
    """Describe lines with their bands, drawn from rows {x, y, low, high, series, group}.

    `measured` names rows of the same form that are drawn as points with error bars. `shown` names the
    parameter that lists the visible series, `chosen` the one that picks a group, at first `initial`. `fields`
    are the rows' fields that a tooltip shows, with their titles. Bands are drawn where it is `banded`.
    """

    data: str
    swatches: tuple[Swatch, ...]
    x: Scale
    y: Scale
    measured: str = ""
    shown: str = "shown"
    chosen: str = ""
    initial: str = ""
    marks: tuple[Mark, ...] = ()
    banded: bool = True
    fields: tuple[tuple[str, str], ...] = (("y", "value"), ("low", "at least"), ("high", "at most"))
    height: int = 260


@dataclass(frozen=True, slots=True)
class Label:
    """Say where the name of a point stands: left of it or right, and how many lines higher."""

    series: str
    left: bool = False
    lines_up: int = 0


@dataclass(frozen=True, slots=True)
class Fan:
    """Describe one forecast: rows {at, series, value, group}, series named by `levels`, lowest first."""

    name: str
    title: str
    data: str
    levels: tuple[str, ...]
    median: str
    now: Sequence[Mapping[str, object]] = ()
    height: int = 130
