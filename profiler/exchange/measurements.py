"""Turn profiles into a CSV of measurements, and such a CSV into points.

One row is one point of one layout in one role: `batch` sequences of `tokens` each took `seconds`. Units stand
in the column names; see `models.artifact.MeasuredPoint`. Rows of one point are its repeats.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from models.artifact import LayoutProfile, MeasuredPoint, Phase, ProfileArtifact
from models.errors import ConfigError, InputError
from models.values import Parallelism, Role
from profiler.layouts import parse

REQUIRED = ("role", "layout", "phase", "tokens", "batch", "seconds")
COLUMNS = (
    "role",
    "layout",
    "hardware",
    "phase",
    "tokens",
    "batch",
    "cached_tokens",
    "seconds",
    "error_s",
    "repeats",
    "residual_ratio",
    "tokens_per_s",
    "overhead_s",
)
Named = TypeVar("Named", Role, Phase)

# A point measured twice with the same settings; the files write numbers of their own rounding.
DIGITS = 9


@dataclass(frozen=True, slots=True)
class Key:
    """Name what a point belongs to; `hardware` is empty where the rows name none.

    `overhead_s` is what each TTFT of the layout carries outside the engine, beside the points' seconds;
    `None` where the rows do not say.
    """

    role: Role
    layout: Parallelism
    hardware: str = ""
    overhead_s: float | None = None

    @property
    def name(self) -> str:
        """Name the layout in its role, such as `decode=TEP4`."""
        return f"{self.role}={self.layout}"


def to_csv(artifact: ProfileArtifact) -> str:
    """Write each layout's measured points; its surface's values, `repeats` 0, where nothing was measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for layout in artifact.layouts:
        for point in points_of(layout):
            writer.writerow(_row(layout, artifact.machine(layout).name, point))
    return text.getvalue()


def points_of(layout: LayoutProfile) -> Iterable[MeasuredPoint]:
    """Return the points behind a layout's surfaces."""
    for phase, surface in ((Phase.PREFILL, layout.prefill), (Phase.DECODE, layout.decode)):
        measured = [p for p in layout.measured if p.phase is phase]
        if measured or surface is None:
            yield from measured
            continue
        for i, tokens in enumerate(surface.x):
            for j, batch in enumerate(surface.y):
                band = surface.band_ratio[i][j] if surface.band_ratio else 0.0
                seconds = surface.values_s[i][j]
                yield MeasuredPoint(phase, tokens, batch, seconds, band * seconds, repeats=0)


def from_csv(text: str, source: str) -> dict[Key, tuple[MeasuredPoint, ...]]:
    """Read points by role, layout and hardware; `source` names the file in messages.

    Raises InputError with the line, the column and what to do.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    head = [name.strip().lower() for name in next(reader, [])]
    _check_head(head, source)
    found: dict[Key, list[MeasuredPoint]] = {}
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            key, point = _read(_Line(source, reader.line_num, head, cells))
            found.setdefault(key, []).append(point)
    except csv.Error as error:
        raise InputError(f"{source}:{reader.line_num}: not CSV: {error}") from None
    if not found:
        raise InputError(f"{source}: no rows below the head; write one per measured point")
    return {key: merged(points) for key, points in found.items()}


def merged(points: Sequence[MeasuredPoint]) -> tuple[MeasuredPoint, ...]:
    """Return one point for all that were measured at the same place: their mean, and its 95 % half-width.

    The spread of the repeats gives the half-width (Student's t); where each row is itself a mean with an
    error, the errors of the rows are added in quadrature.
    """
    places: dict[tuple[object, ...], list[MeasuredPoint]] = {}
    for p in points:
        place = (p.phase, *(float(f"{v:.{DIGITS}g}") for v in (p.tokens, p.batch, p.cached_tokens)))
        places.setdefault(place, []).append(p)
    return tuple(same[0] if len(same) == 1 else _mean(same) for same in places.values())


def _mean(same: Sequence[MeasuredPoint]) -> MeasuredPoint:
    repeats = sum(p.repeats for p in same)
    weights = [p.repeats / repeats if repeats else 1.0 / len(same) for p in same]
    seconds = sum(w * p.seconds for w, p in zip(weights, same, strict=True))
    if any(p.error_s for p in same):
        error = math.sqrt(sum((w * p.error_s) ** 2 for w, p in zip(weights, same, strict=True)))
    else:
        from scipy.stats import t

        spread = sum((p.seconds - seconds) ** 2 for p in same) / (len(same) - 1)
        error = float(t.ppf(0.975, len(same) - 1)) * math.sqrt(spread / len(same))
    rates = [p.tokens_per_s for p in same if p.tokens_per_s is not None]
    first = same[0]
    return MeasuredPoint(
        first.phase,
        first.tokens,
        first.batch,
        seconds,
        error,
        repeats,
        first.cached_tokens,
        tokens_per_s=sum(rates) / len(rates) if rates else None,
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """One row with its place in the file."""

    source: str
    number: int
    head: Sequence[str]
    cells: Sequence[str]

    def text(self, column: str, default: str = "") -> str:
        if column not in self.head:
            return default
        return self.cells[self.head.index(column)].strip() or default

    def fault(self, column: str, what: str) -> InputError:
        return InputError(f"{self.source}:{self.number}: column {column}: {what}")

    def number_of(self, column: str, least: float, default: str = "") -> float:
        """Read a number; raises InputError below `least` (0 itself is refused where `least` is above it)."""
        text = self.text(column, default)
        try:
            value = float(text)
        except ValueError:
            said = "is empty" if not text else f"{text[:40]!r} is not a number"
            raise self.fault(
                column, f"{said}; write plain seconds or counts, such as 0.0123 or 8000"
            ) from None
        if not least <= value < math.inf:
            bound = "above zero" if least > 0 else "at least 0"
            raise self.fault(column, f"{text[:40]} is not {bound}; leave the row out if it was not measured")
        return value


# Above zero, and far below what anybody measures.
_TINY = 1e-12


def _read(line: _Line) -> tuple[Key, MeasuredPoint]:
    if len(line.cells) != len(line.head):
        raise InputError(
            f"{line.source}:{line.number}: {len(line.cells)} cells under {len(line.head)} columns; "
            "write one cell per column"
        )
    role = _one_of(line, "role", Role)
    phase = _one_of(line, "phase", Phase)
    if role is not Role.AGGREGATED and role.value != phase.value:
        raise line.fault("phase", f"a {role} replica does no {phase}; the role may be aggregated")
    try:
        layout = parse(line.text("layout").upper())
    except ConfigError as error:
        raise line.fault("layout", str(error)) from None
    residual = line.text("residual_ratio")
    point = MeasuredPoint(
        phase,
        line.number_of("tokens", _TINY),
        line.number_of("batch", _TINY),
        line.number_of("seconds", _TINY),
        line.number_of("error_s", 0.0, "0"),
        _whole(line, "repeats"),
        line.number_of("cached_tokens", 0.0, "0"),
        line.number_of("residual_ratio", -1.0) if residual else None,
        line.number_of("tokens_per_s", _TINY) if line.text("tokens_per_s") else None,
    )
    if phase is Phase.DECODE and point.cached_tokens:
        raise line.fault("cached_tokens", "a decode point's context is in `tokens`; leave it empty")
    overhead = line.number_of("overhead_s", 0.0) if line.text("overhead_s") else None
    return Key(role, layout, line.text("hardware"), overhead), point


def _one_of(line: _Line, column: str, kind: type[Named]) -> Named:
    text = line.text(column).lower()
    known = [member.value for member in kind]
    if text not in known:
        raise line.fault(column, f"{text[:40]!r} is none of {', '.join(known)}")
    return kind(text)


def _whole(line: _Line, column: str) -> int:
    value = line.number_of(column, 0.0, "1")
    if value != int(value):
        raise line.fault(column, f"{value:g} is not a whole number")
    return int(value)


def _check_head(head: Sequence[str], source: str) -> None:
    absent = [name for name in REQUIRED if name not in head]
    if absent:
        raise InputError(
            f"{source}:1: no column {', '.join(absent)}; the head is {','.join(COLUMNS)}, "
            f"of which {', '.join(REQUIRED)} are needed"
        )
    unknown = [name for name in head if name not in COLUMNS]
    if unknown or len(set(head)) != len(head):
        said = f"unknown column {unknown[0]!r}" if unknown else "a column stands twice"
        raise InputError(f"{source}:1: {said}; the columns are {', '.join(COLUMNS)}")


def _row(layout: LayoutProfile, hardware: str, point: MeasuredPoint) -> list[str]:
    values: Mapping[str, object] = {
        "role": layout.role.value,
        "layout": layout.parallelism.name,
        "hardware": hardware,
        "phase": point.phase.value,
        "tokens": point.tokens,
        "batch": point.batch,
        "cached_tokens": point.cached_tokens,
        "seconds": point.seconds,
        "error_s": point.error_s,
        "repeats": point.repeats,
        "residual_ratio": point.residual_ratio,
        "tokens_per_s": point.tokens_per_s,
        "overhead_s": layout.overhead_s if layout.role is not Role.DECODE else None,
    }
    return ["" if (v := values[column]) is None else _plain(v) for column in COLUMNS]


def _plain(value: object) -> str:
    """Write a number in the shortest way that reads back as the same."""
    return str(value).removesuffix(".0")
