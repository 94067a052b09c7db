"""Write tables for other programs: CSV (RFC 4180) and Markdown tables."""

import csv
import io
from collections.abc import Mapping, Sequence

from models.render.formats import UNKNOWN
from models.render.grid import Grid, plain

# A cell that begins with one of these is taken for a formula by spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Write rows of the same fields with a header; what is not known is empty, a truth is true or false.

    A text that a spreadsheet would run as a formula begins with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow([_cell(value) for value in row.values()])
    return out.getvalue()


def to_markdown(grid: Grid, wide: bool = True) -> str:
    """Write a table as Markdown does, its caption in bold above it; ends with a newline."""
    shown = grid.shown(wide)
    heads = [escaped(grid.columns[i].title) for i in shown]
    rules = ["---:" if grid.columns[i].numeric else "---" for i in shown]
    body = [[escaped(row[i]) or UNKNOWN for i in shown] for row in grid.rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, rules, *body)]
    notes = [f"\n{escaped(note)}" for note in grid.notes]
    return "\n".join([f"**{escaped(grid.caption)}**\n", *lines, *notes]) + "\n"


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def escaped(text: str) -> str:
    """Take away what would end a cell or begin markup."""
    for mark in "\\`*_{}[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return plain(text)
