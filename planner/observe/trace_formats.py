"""Recognise the formats in which traces come, and read each into the same columns of text."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import TraceError


@dataclass(frozen=True, slots=True)
class Format:
    """Map a format's columns to ours; `time_unit_s` is what one unit of a numeric timestamp lasts."""

    name: str
    columns: Mapping[str, str]
    time_unit_s: float = 1.0


CANONICAL = Format(
    "canonical", {"timestamp": "timestamp", "input_tokens": "input_tokens", "output_tokens": "output_tokens"}
)
AZURE = Format(
    "azure", {"timestamp": "timestamp", "input_tokens": "contexttokens", "output_tokens": "generatedtokens"}
)
BURSTGPT = Format(
    "burstgpt",
    {"timestamp": "timestamp", "input_tokens": "request tokens", "output_tokens": "response tokens"},
)
MOONCAKE = Format(
    "mooncake",
    {"timestamp": "timestamp", "input_tokens": "input_length", "output_tokens": "output_length"},
    time_unit_s=1e-3,
)
# Mooncake hashes its prompts in blocks of this many tokens (Mooncake, FAST 2025, trace description).
MOONCAKE_BLOCK_TOKENS = 512

CHUNK = 200_000
_CSV_FORMATS = (CANONICAL, AZURE, BURSTGPT)
_OPTIONAL = ("cached_tokens", "class")


@dataclass(frozen=True, slots=True)
class Table:
    """Hold a file's rows as columns of text under our names, all of one length.

    `lines[i]` is where row i stands in the file, counted from 1. `broken` are rows that could not even be
    cut into columns, with their line and why. `blocks` are prefix-block hashes, where the format has them.
    """

    format: Format
    lines: Sequence[int]
    columns: Mapping[str, Sequence[str]]
    broken: Sequence[tuple[int, str]] = ()
    blocks: Sequence[Sequence[int]] | None = field(default=None, repr=False)

    @property
    def rows(self) -> int:
        """Count the rows read, broken ones included."""
        return len(self.lines) + len(self.broken)


def parse(lines: Sequence[str], path: Path) -> Iterator[Table]:
    """Cut a file into tables of `CHUNK` lines; raises TraceError when its format is not known.

    In pieces, because a row as text takes ten times the memory of its numbers.
    """
    first = next(i for i, line in enumerate(lines) if line.strip())
    if lines[first].lstrip().startswith("{"):
        return (_parse_json(lines[i : i + CHUNK], i) for i in range(first, len(lines), CHUNK))
    header = [name.strip().lower() for name in split(lines[first])]
    for candidate in _CSV_FORMATS:
        if set(candidate.columns.values()) <= set(header):
            wanted = {**candidate.columns, **{name: name for name in _OPTIONAL if name in header}}
            return (
                parse_csv(lines[i : i + CHUNK], i, header, candidate, wanted)
                for i in range(first + 1, max(len(lines), first + 2), CHUNK)
            )
    raise TraceError(
        f"{path}: line {first + 1} is no header that is known: {lines[first][:80]!r}; expected "
        "timestamp,input_tokens,output_tokens[,cached_tokens][,class], the columns of Azure LLM or BurstGPT "
        "traces, or Mooncake's JSON lines"
    )


def parse_csv(
    lines: Sequence[str], before: int, header: Sequence[str], kind: Format, wanted: Mapping[str, str]
) -> Table:
    """Cut lines of data into the wanted columns; `before` lines of the file precede them."""
    width = len(header)
    rows, numbers, broken = [], [], []
    for number, line in enumerate(lines, before + 1):
        if not line or line.isspace():
            continue
        fields = line.split(",") if '"' not in line else split(line)
        if len(fields) == width:
            rows.append(fields)
            numbers.append(number)
        else:
            broken.append((number, f"has {len(fields)} fields where the header has {width}"))
    columns = list(zip(*rows, strict=True)) if rows else [()] * width
    return Table(
        kind, numbers, {ours: columns[header.index(theirs)] for ours, theirs in wanted.items()}, broken
    )


def split(line: str) -> list[str]:
    """Cut one CSV line into fields; a quote that never closes ends with its line."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        # A field of more than 128 KiB: the line is no row of any trace, and has too few fields as a whole.
        return [line]


def _parse_json(lines: Sequence[str], before: int) -> Table:
    names = MOONCAKE.columns
    columns: dict[str, list[str]] = {name: [] for name in (*names, *_OPTIONAL)}
    numbers, broken, blocks = [], [], []
    for number, line in enumerate(lines, before + 1):
        if not line or line.isspace():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            broken.append((number, "is not JSON"))
            continue
        missing = [key for key in names.values() if not isinstance(row, dict) or key not in row]
        if missing:
            broken.append((number, f"lacks {', '.join(missing)}"))
            continue
        for ours, theirs in names.items():
            columns[ours].append(str(row[theirs]))
        columns["cached_tokens"].append(str(row.get("cached_tokens", 0)))
        columns["class"].append(str(row.get("class") or ""))
        numbers.append(number)
        blocks.append(_hashes(row.get("hash_ids")))
    return Table(MOONCAKE, numbers, columns, broken, blocks if any(blocks) else None)


def _hashes(value: object) -> Sequence[int]:
    if isinstance(value, list) and all(type(item) is int and abs(item) < 2**63 for item in value):
        return value
    return ()
