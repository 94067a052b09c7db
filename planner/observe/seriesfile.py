"""Read measured series from a CSV, gzip or plain: one timestamp column, one value per row and series."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import TraceError
from models.series import Floats, Series
from models.units import show_duration
from planner.observe import trace_columns
from planner.observe.trace_formats import CANONICAL, Table, parse_csv, split
from planner.observe.trace_text import read_lines

# The planner's own grid: what is measured more often is averaged.
MINUTE_S = 60.0
TIME_NAMES = (
    "timestamp", "time", "datetime", "date", "ts", "t", "ds", "timestamp_utc", "time_utc", "time_s", "t_s",
    "unix", "unix_s", "timestamp_ms", "time_ms",
)  # fmt: skip
VALUE_NAMES = ("value", "y")
MISSING = frozenset({"", "-", "nan", "null", "none", "na", "n/a", "nil"})
# From here on numbers are milliseconds: as seconds they lie in the year 5138, as milliseconds in 1973.
MILLISECONDS_FROM = 1e11
# Sampling times jitter; a step this close to whole minutes or seconds is whole.
JITTER_RATIO = 0.02


@dataclass(frozen=True, slots=True)
class Reading:
    """Hold one measured series under a name, and what was wrong with it that could be mended."""

    name: str
    series: Series
    notes: tuple[str, ...]


def read_series(path: Path, columns: Sequence[str] = (), step_s: float | None = None) -> list[Reading]:
    """Return the series of the named columns (none: the only one there is).

    Timestamps are RFC 3339, UTC unless they name a zone, or Unix seconds or milliseconds; a row's value is
    that of the step which begins there. The step is `step_s`, or the distance of the rows but at least a
    minute. Rows may be out of order; of equal timestamps the later row counts; a missing value is a gap.

    Raises TraceError with the line and the column for what is no time, no number, or below zero.
    """
    lines = read_lines(path)
    first = next(i for i, line in enumerate(lines) if line.strip())
    header = [name.strip() for name in split(lines[first])]
    time_column = _time_column(path, header, lines[first + 1 :])
    chosen = _value_columns(path, header, time_column, columns, lines[first + 1 :])
    wanted = {name: name for name in (time_column, *chosen)}
    table = parse_csv(lines[first + 1 :], first + 1, header, CANONICAL, wanted)
    if table.broken:
        line, why = table.broken[0]
        raise TraceError(f"{path}: line {line} {why}")
    times = _times(path, table, time_column)
    return [
        gridded(
            path.name if len(header) == 2 else f"{path.name} {name}",
            times,
            _values(path, table, name),
            step_s,
            str(path),
        )
        for name in chosen
    ]


def gridded(
    name: str, times_s: Floats, values: Floats, step_s: float | None = None, where: str = ""
) -> Reading:
    """Lay points on their grid, and say what was mended; NaN is a missing value.

    Raises TraceError for too few points, for a step finer than measured, or a time that must be wrong.
    """
    where = where or name
    distinct = np.unique(times_s)
    if len(distinct) < 2:
        raise TraceError(f"{where}: needs rows at two times at least, and has {len(distinct)}")
    measured_s = _whole(float(np.median(np.diff(distinct))))
    if step_s is not None and step_s < measured_s * (1 - JITTER_RATIO):
        raise TraceError(
            f"{where}: one value is measured every {show_duration(measured_s)}; a step of "
            f"{show_duration(step_s)} would be finer than that"
        )
    step_s = step_s or max(measured_s, MINUTE_S)
    try:
        series = Series.from_points(times_s, values, step_s)
    except ValueError as error:
        raise TraceError(f"{where}: {error}") from None
    return Reading(name, series, tuple(_notes(times_s, values, distinct, measured_s, series)))


def _notes(times_s: Floats, values: Floats, distinct: Floats, measured_s: float, series: Series) -> list[str]:
    found = []
    if unordered := int((np.diff(times_s) < 0).sum()):
        found.append(f"{unordered} rows were out of order, and were sorted")
    if repeated := len(times_s) - len(distinct):
        found.append(f"{repeated} rows repeat a timestamp; the last of each counts")
    if missing := int((~np.isfinite(values)).sum()):
        found.append(f"{missing} values are missing or not finite")
    if series.step_s > measured_s * (1 + JITTER_RATIO):
        found.append(
            f"values every {show_duration(measured_s)} were averaged over {show_duration(series.step_s)}"
        )
    if gaps := [until_s - from_s for from_s, until_s in series.gaps()]:
        counted = "1 gap" if len(gaps) == 1 else f"{len(gaps)} gaps"
        found.append(f"{counted}, {show_duration(sum(gaps))} in all, the longest {show_duration(max(gaps))}")
    return found


def _whole(step_s: float) -> float:
    for unit_s in (MINUTE_S, 1.0):
        nearest = max(round(step_s / unit_s), 1) * unit_s
        if abs(nearest - step_s) <= JITTER_RATIO * step_s:
            return nearest
    return step_s


def _time_column(path: Path, header: Sequence[str], rows: Sequence[str]) -> str:
    """Return the column that is named like a time, else the first whose first value is a date."""
    lowered = [name.lower() for name in header]
    for known in TIME_NAMES:
        if known in lowered:
            return header[lowered.index(known)]
    dated = [name for name, text in zip(header, _first_row(rows), strict=False) if "-" in text[4:5]]
    for name, text in zip(header, _first_row(rows), strict=False):
        if name in dated and np.isfinite(trace_columns.times_s([text.strip()])[0]):
            return name
    raise TraceError(
        f"{path}: line 1 names no column of times: {', '.join(header)[:200]}; call one of them timestamp "
        "(RFC 3339, or Unix seconds or milliseconds)"
    )


def _value_columns(
    path: Path, header: Sequence[str], time_column: str, asked: Sequence[str], rows: Sequence[str]
) -> list[str]:
    """Return the columns asked for, else the only one that holds numbers, else one named value."""
    others = [name for name in header if name != time_column]
    if unknown := [name for name in asked if name not in others]:
        raise TraceError(f"{path}: has no column {unknown[0]!r}; there are {', '.join(others) or 'none'}")
    if asked:
        return list(dict.fromkeys(asked))
    first = dict(zip(header, _first_row(rows), strict=False))
    numeric = [name for name in others if _is_number(first.get(name, ""))]
    named = [name for name in others if name.lower() in VALUE_NAMES]
    if len(numeric) == 1 or named:
        return numeric if len(numeric) == 1 else named[:1]
    if not numeric:
        raise TraceError(f"{path}: has no column of numbers beside {time_column}")
    raise TraceError(f"{path}: has columns {', '.join(numeric)}; choose with --column")


def _first_row(rows: Sequence[str]) -> list[str]:
    return next((split(row) for row in rows if row.strip()), [])


def _is_number(text: str) -> bool:
    return bool(np.isfinite(trace_columns.numbers([text])[0])) or text.strip().lower() in MISSING - {""}


def _times(path: Path, table: Table, column: str) -> Floats:
    texts = [text.strip() for text in table.columns[column]]
    found = trace_columns.times_s(texts)
    plain = trace_columns.numbers(texts)
    if found.size and np.isfinite(plain).any() and float(np.nanmedian(plain)) >= MILLISECONDS_FROM:
        found = plain * 1e-3
    wrong = ~(np.isfinite(found) & (found >= 0) & (found <= trace_columns.LATEST_S))
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise TraceError(
            f"{path}: line {table.lines[i]}, column {column}: {texts[i][:40]!r} is no time between 1970 and "
            "2100; write RFC 3339, or Unix seconds or milliseconds"
        )
    return found


def _values(path: Path, table: Table, column: str) -> Floats:
    texts = table.columns[column]
    found = trace_columns.numbers(texts)
    for i in map(int, np.flatnonzero(np.isnan(found) | (found < 0))):
        text = texts[i].strip()
        if text.lower() in MISSING:
            continue
        why = "is not a number" if np.isnan(found[i]) else "is below zero, which no demand is"
        raise TraceError(f"{path}: line {table.lines[i]}, column {column}: {text[:40]!r} {why}")
    return found
