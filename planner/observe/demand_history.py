"""Read what a deployment's demand was before a trace begins: one row per minute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import TraceError
from models.series import Floats, Series
from models.values import Signal
from planner.observe.trace_columns import LATEST_S, numbers, times_s
from planner.observe.trace_formats import Format, Table, parse_csv, split
from planner.observe.trace_text import read_lines

_MINUTE_S = 60.0
_LINES_SHOWN = 5
_COLUMNS = {
    "timestamp": "timestamp",
    "requests": "requests",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
}
_SIGNALS = {
    Signal.ARRIVALS: "requests",
    Signal.PREFILL_TOKENS: "input_tokens",
    Signal.DECODE_TOKENS: "output_tokens",
}


# More requests or tokens in one row than any fleet serves in a year.
_MOST = 1e15


@dataclass(frozen=True, slots=True)
class DemandHistory:
    """Hold per class and signal what was measured, per second, and what was wrong with the rest."""

    series: Mapping[str, Mapping[Signal, Series]]
    notes: tuple[str, ...] = ()


def read_history(path: Path, classes: Sequence[str]) -> DemandHistory:
    """Return what was measured before a trace begins.

    Rows are totals over the time from one row to the next: `timestamp,requests,input_tokens,output_tokens`,
    with a `class` column where there is more than one class. A row that is not usable is a gap.

    Raises TraceError for a file without these columns, without two usable rows per class, with an unknown
    class, or with token columns that hold means instead of totals.
    """
    lines = read_lines(path)
    first = next(i for i, line in enumerate(lines) if line.strip())
    header = [name.strip().lower() for name in split(lines[first])]
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise TraceError(f"{path}: a history needs the columns {', '.join(_COLUMNS)}; missing: {missing[0]}")
    if "class" not in header and len(classes) > 1:
        raise TraceError(
            f"{path}: has no `class` column, and there are several classes: {', '.join(classes)}"
        )
    wanted = {**_COLUMNS, **({"class": "class"} if "class" in header else {})}
    table = parse_csv(lines[first + 1 :], first + 1, header, Format("history", _COLUMNS), wanted)
    times = times_s(table.columns["timestamp"])
    values = {signal: numbers(table.columns[column]) for signal, column in _SIGNALS.items()}
    usable = (times >= 0) & (times < LATEST_S)
    for column in values.values():
        usable &= (column >= 0) & (column <= _MOST)
    names = [n.strip() for n in table.columns.get("class", [classes[0]] * len(table.lines))]
    found = {}
    for name in dict.fromkeys(names):
        if name not in classes:
            line = table.lines[names.index(name)]
            raise TraceError(
                f"{path}: line {line}: class {name!r} is not configured; known: {', '.join(classes)}"
            )
        mine = np.flatnonzero(usable & np.array([n == name for n in names]))
        found[name] = _series(times[mine], {s: v[mine] for s, v in values.items()}, path, name)
    if not found:
        raise TraceError(f"{path}: there is nothing after the header")
    return DemandHistory(found, _notes(path, table, usable))


def _notes(path: Path, table: Table, usable: NDArray[np.bool_]) -> tuple[str, ...]:
    lines = sorted([*(line for line, _ in table.broken), *np.array(table.lines)[~usable].tolist()])
    if not lines:
        return ()
    shown = ", ".join(map(str, lines[:_LINES_SHOWN])) + (", ..." if len(lines) > _LINES_SHOWN else "")
    return (f"{path.name}: {len(lines)} of {table.rows} rows are not usable and count as gaps: line {shown}",)


def _series(times: Floats, totals: Mapping[Signal, Floats], path: Path, name: str) -> Mapping[Signal, Series]:
    steps = np.diff(np.unique(times))
    if steps.size == 0:
        raise TraceError(
            f"{path}: class {name!r} has fewer than two usable rows; a history needs a time step"
        )
    requests = totals[Signal.ARRIVALS].sum()
    if requests > 0 and totals[Signal.PREFILL_TOKENS].sum() < requests:
        raise TraceError(
            f"{path}: class {name!r} has fewer input tokens than requests; token columns are totals per row"
        )
    if float(np.median(steps)) < _MINUTE_S - 1.0:
        raise TraceError(f"{path}: class {name!r} has rows closer than a minute; add them up per minute")
    # Coarser totals are welcome too. A missing row widens a step, so that the closest two rows tell.
    step_s = max(float(round(steps.min())), _MINUTE_S)
    try:
        return {s: Series.from_points(times, v / step_s, step_s) for s, v in totals.items()}
    except ValueError as error:
        raise TraceError(f"{path}: class {name!r}: {error}") from None
