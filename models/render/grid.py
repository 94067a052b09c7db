"""Hold a table as a value, and write it as plain text."""

from dataclasses import dataclass

from models.render.formats import UNKNOWN


@dataclass(frozen=True, slots=True)
class Column:
    """Name one column; `hint` explains it, `numeric` aligns it right, `wide` keeps it for wide output."""

    title: str
    hint: str = ""
    numeric: bool = False
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """Hold a table: a caption, columns, rows of text, and notes that explain what is absent.

    `strong` are the indices of rows to point out (the policy under test, the selected layout).
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    strong: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a row that does not fit the columns."""
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"{self.caption}: {len(row)} cells in a table of {len(self.columns)} columns: {row}"
                )

    def shown(self, wide: bool) -> list[int]:
        """Return the indices of the columns that this width shows."""
        return [i for i, column in enumerate(self.columns) if wide or not column.wide]


def to_text(grid: Grid, wide: bool = False) -> str:
    """Write a table as kubectl does: upper-case heads, columns three spaces apart, no rules, no colour.

    Control characters are replaced, so that a name from outside can neither break a line nor drive the
    terminal. Ends with a newline; a table without rows says "none".
    """
    shown = grid.shown(wide)
    heads = [grid.columns[i].title.upper() for i in shown]
    body = [[plain(row[i]) or UNKNOWN for i in shown] for row in grid.rows]
    widths = [max(len(line[k]) for line in [heads, *body]) for k in range(len(shown))]
    lines = [_line(cells, widths, [grid.columns[i].numeric for i in shown]) for cells in [heads, *body]]
    if not body:
        lines.append("none")
    return "\n".join([*lines, *(plain(note) for note in grid.notes)]) + "\n"


def plain(text: str) -> str:
    """Replace what is not printable by a question mark."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _line(cells: list[str], widths: list[int], numeric: list[bool]) -> str:
    padded = (c.rjust(w) if n else c.ljust(w) for c, w, n in zip(cells, widths, numeric, strict=True))
    return "   ".join(padded).rstrip()
