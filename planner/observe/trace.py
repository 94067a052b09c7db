"""Read recorded traffic as it lies: canonical CSV, Azure LLM, BurstGPT or Mooncake, gzip or plain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.errors import TraceError
from models.policy import ClassMatch
from models.simulation.workload import Floats, Index, Ints, PrefixBlocks, Workload
from planner.observe.trace_classes import Classes, assign
from planner.observe.trace_columns import LATEST_S, numbers, times_s
from planner.observe.trace_formats import BURSTGPT, MOONCAKE_BLOCK_TOKENS, Table, parse
from planner.observe.trace_text import read_lines

# No engine takes prompts near this; more is a broken counter.
MAX_TOKENS = 10_000_000
# A longer trace is one with a stray timestamp, and would be replayed minute by minute.
MAX_SPAN_S = 400 * 86_400.0
_REASONS = 5

Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """Say which line of the file was skipped and why."""

    line: int
    reason: str

    def __str__(self) -> str:
        """Say it in one sentence."""
        return f"line {self.line} {self.reason}"


@dataclass(frozen=True, slots=True)
class Trace:
    """Hold what was read: `rows` = requests of the workload + `skipped_rows`.

    `reasons` are the first skipped rows, `reordered` counts rows that arrived earlier than one before them.
    """

    name: str
    format: str
    workload: Workload
    rows: int
    skipped_rows: int = 0
    reasons: tuple[SkippedRow, ...] = ()
    reordered: int = 0

    def summary(self) -> str:
        """Say how much was read, and what was wrong with the rest."""
        text = f"{self.name}: {len(self.workload)} of {self.rows} rows ({self.format})"
        if self.reordered:
            text += f", {self.reordered} out of order"
        if self.skipped_rows:
            shown = "; ".join(map(str, self.reasons))
            more = ", ..." if self.skipped_rows > len(self.reasons) else ""
            text += f", {self.skipped_rows} skipped: {shown}{more}"
        return text


def read_trace(path: Path, matches: Sequence[ClassMatch] = (ClassMatch("default"),)) -> Trace:
    """Read a trace and tell its classes apart.

    The format is told by content. Rows that no engine could have served as written (a missing or impossible
    number, no prompt, no output, more than `MAX_TOKENS`) are skipped and counted; rows out of order are
    sorted in; rows that look alike are all kept. In a BurstGPT trace a row without response tokens is a
    failed request, and skipped as such.

    Raises TraceError when the file cannot be read, is of no known format, has no usable row or spans more
    than `MAX_SPAN_S`, or when a request belongs to no class.
    """
    parts = [_read(table, matches, path) for table in parse(read_lines(path), path)]
    rows, skipped = sum(part.rows for part in parts), sum(part.skipped for part in parts)
    reasons = tuple(reason for part in parts for reason in part.reasons)[:_REASONS]
    times = np.concatenate([part.times_s for part in parts])
    if times.size == 0:
        shown = "; ".join(map(str, reasons)) or "there is nothing after the header"
        raise TraceError(f"{path}: no usable row among {rows}: {shown}")
    _refuse_stray_times(times, np.concatenate([part.lines for part in parts]), path)
    order = np.argsort(times, kind="stable")
    workload = Workload(
        times[order],
        np.concatenate([part.isl_tokens for part in parts])[order],
        np.concatenate([part.osl_tokens for part in parts])[order],
        np.concatenate([part.cached_tokens for part in parts])[order],
        np.concatenate([part.classes for part in parts])[order],
        tuple(match.request_class for match in matches),
        _blocks([row for part in parts for row in part.blocks], order),
    )
    reordered = int((np.diff(times) < 0).sum())
    return Trace(path.name, parts[0].format, workload, rows, skipped, reasons, reordered)


@dataclass(frozen=True, slots=True)
class _Part:
    """Hold the usable requests of one piece of a file, in the order of the file."""

    format: str
    rows: int
    skipped: int
    reasons: tuple[SkippedRow, ...]
    lines: Index
    times_s: Floats
    isl_tokens: Ints
    osl_tokens: Ints
    cached_tokens: Ints
    classes: Classes
    blocks: Sequence[Sequence[int]]


def _read(table: Table, matches: Sequence[ClassMatch], path: Path) -> _Part:
    """Turn text into numbers and leave out what is not usable."""
    times = times_s(_texts(table, "timestamp")) * table.format.time_unit_s
    isl = numbers(_texts(table, "input_tokens"))
    osl = numbers(_texts(table, "output_tokens"))
    cached = numbers(_texts(table, "cached_tokens", "0"))
    wrong = _wrong(table, times, isl, osl, cached)
    good = np.flatnonzero(~wrong.any(axis=0))
    kept = good.tolist()
    lines = np.array(table.lines, dtype=np.intp)[good]
    names = [table.columns["class"][i] for i in kept] if "class" in table.columns else None
    return _Part(
        format=table.format.name,
        rows=table.rows,
        skipped=table.rows - len(kept),
        reasons=_reasons(table, wrong),
        lines=lines,
        times_s=times[good],
        isl_tokens=isl[good].astype(np.int32),
        osl_tokens=osl[good].astype(np.int32),
        cached_tokens=cached[good].astype(np.int32),
        classes=assign(isl[good], names, lines, matches, path),
        blocks=() if table.blocks is None else [table.blocks[i] for i in kept],
    )


def _texts(table: Table, name: str, default: str = "") -> Sequence[str]:
    return table.columns[name] if name in table.columns else [default] * len(table.lines)


def _wrong(table: Table, times: Floats, isl: Floats, osl: Floats, cached: Floats) -> Flags:
    """Return one row of flags per check of `_SAYS`, shape (checks, rows). NaN fails its check."""
    with np.errstate(invalid="ignore"):
        return np.array(
            [
                ~((times >= 0) & (times < LATEST_S)),
                ~_is_count(isl, 1),
                (osl == 0) & (table.format is BURSTGPT),
                ~_is_count(osl, 1),
                ~_is_count(cached, 0),
                cached > isl,
            ]
        ).reshape(6, len(table.lines))


_SAYS = (
    ("timestamp", "has no usable timestamp: {!r}, expected Unix seconds or a date and time"),
    ("input_tokens", f"has no usable count of input tokens: {{!r}}, expected 1 to {MAX_TOKENS}"),
    ("output_tokens", "is a failed request: it has no response tokens"),
    ("output_tokens", f"has no usable count of output tokens: {{!r}}, expected 1 to {MAX_TOKENS}"),
    ("cached_tokens", f"has no usable count of cached tokens: {{!r}}, expected 0 to {MAX_TOKENS}"),
    ("cached_tokens", "has more cached tokens than input tokens: {!r}"),
)


def _is_count(values: Floats, least: int) -> Flags:
    flags: Flags = (values >= least) & (values <= MAX_TOKENS) & (values == np.floor(values))
    return flags


def _reasons(table: Table, wrong: Flags) -> tuple[SkippedRow, ...]:
    """Explain the first rows that were skipped, in the order of the file."""
    found = [SkippedRow(line, reason) for line, reason in table.broken[:_REASONS]]
    for i in np.flatnonzero(wrong.any(axis=0))[:_REASONS].tolist():
        column, sentence = _SAYS[int(np.argmax(wrong[:, i]))]
        found.append(SkippedRow(table.lines[i], sentence.format(_texts(table, column)[i][:40])))
    return tuple(sorted(found, key=lambda row: row.line)[:_REASONS])


def _refuse_stray_times(times: Floats, lines: Index, path: Path) -> None:
    first, last = int(np.argmin(times)), int(np.argmax(times))
    span_s = float(times[last] - times[first])
    if span_s > MAX_SPAN_S:
        begin, end = (datetime.fromtimestamp(float(times[i]), UTC).date() for i in (first, last))
        raise TraceError(
            f"{path}: spans {span_s / 86_400:.0f} days, from {begin} (line {lines[first]}) to {end} "
            f"(line {lines[last]}); one of the two times is wrong, or not in seconds"
        )


def _blocks(blocks: Sequence[Sequence[int]], order: Index) -> PrefixBlocks | None:
    if not any(blocks):
        return None
    rows = [blocks[i] for i in order.tolist()]
    hashes = np.array([value for row in rows for value in row], dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
    return PrefixBlocks(offsets.astype(np.int64), hashes, MOONCAKE_BLOCK_TOKENS)
