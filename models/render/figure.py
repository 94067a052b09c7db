"""Hold a chart as a value: what it shows, its data, its drawing, and how a reader steers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Number = float | int | None
Plain = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Columns:
    """Hold series over one shared axis, compactly; one set per group where a reader chooses between groups.

    `axis` names the shared column, `values[g][s]` is the series `s` of group `g`, each as long as `at[g]`.
    A page spreads it into rows {axis, series, value, group}.
    """

    axis: str
    at: Mapping[str, Sequence[float]]
    values: Mapping[str, Mapping[str, Sequence[Number]]]

    def plain(self) -> dict[str, object]:
        """Return it as JSON data."""
        values = {g: {s: list(v) for s, v in series.items()} for g, series in self.values.items()}
        return {"axis": self.axis, "at": {g: list(v) for g, v in self.at.items()}, "values": values}


@dataclass(frozen=True, slots=True)
class Rows:
    """Hold records of named fields."""

    rows: tuple[Plain, ...]

    def plain(self) -> list[Plain]:
        """Return it as JSON data."""
        return list(self.rows)


@dataclass(frozen=True, slots=True)
class Cells:
    """Hold one grid of values a group, compactly: `values[i][j]` stands at `x[i]`, `y[j]`.

    `beyond` holds the (i, j) of a group's cells that rest on no data. A page spreads it into rows
    {x, y, value, group, beyond}.
    """

    grids: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[Sequence[float]]]]
    beyond: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)

    def plain(self) -> dict[str, object]:
        """Return it as JSON data."""
        named = {
            group: {
                "x": list(x),
                "y": list(y),
                "values": [list(row) for row in values],
                "beyond": [list(place) for place in self.beyond.get(group, ())],
            }
            for group, (x, y, values) in self.grids.items()
        }
        return {"cells": named}


@dataclass(frozen=True, slots=True)
class Bundles:
    """Hold points of several fields by group and series, compactly: `values[g][s]` has one column per field.

    A page spreads it into rows of the fields, series and group.
    """

    fields: tuple[str, ...]
    values: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]

    def plain(self) -> dict[str, object]:
        """Return it as JSON data."""
        values = {
            g: {s: [list(c) for c in cs] for s, cs in series.items()} for g, series in self.values.items()
        }
        return {"fields": list(self.fields), "bundles": values}


Data = Columns | Rows | Cells | Bundles


@dataclass(frozen=True, slots=True)
class Swatch:
    """One entry of a legend: a series, the CSS colour and the dash that it is drawn with."""

    name: str
    colour: str
    dash: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Toggles:
    """Let a reader show and hide series; `parameter` is the chart's list of what is shown.

    Without a parameter it is a legend only; `filled` says that it explains areas and not lines.
    """

    label: str
    swatches: tuple[Swatch, ...]
    parameter: str = ""
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Let a reader choose one of several groups; `parameter` is the chart's name of the chosen one."""

    label: str
    options: tuple[str, ...]
    initial: str
    parameter: str


@dataclass(frozen=True, slots=True)
class Figure:
    """Hold one chart: `spec` is Vega-Lite, `summary` says in words what it shows to who cannot see it.

    `zoom` names the chart's time selection, where it has one, for buttons and keys to steer.
    """

    name: str
    title: str
    summary: str
    spec: Plain
    data: Mapping[str, Data]
    caption: str = ""
    controls: tuple[Toggles | Choice, ...] = ()
    zoom: str = ""
    notes: tuple[str, ...] = field(default=())
