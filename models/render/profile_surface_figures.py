"""Draw a profile's surfaces: heat maps of each layout, and lines with bands and measured points."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.artifact import LayoutProfile, MeasuredPoint, Phase, ProfileArtifact
from models.render import palette
from models.render.charts import curves, heat_map
from models.render.figure import Bundles, Cells, Choice, Figure, Toggles
from models.render.formats import brief, plural
from models.render.panels import Curves, Mark, Scale, logarithmic_ticks
from models.render.profile_grid import MARK, shown_name
from models.surface import Surface

# More would not hold their figures on a phone.
MOST_CELLS = 8
MOST_LINES = 5
# What a line of a fine grid needs to look smooth, and holds of points.
MOST_STEPS = 14
FIELDS = ("x", "y", "low", "high")

Columns4 = list[list[float]]


@dataclass(frozen=True, slots=True)
class View:
    """Say how one phase is shown; `overhead` adds what every TTFT carries outside the engine."""

    phase: Phase
    title: str
    short: str
    tokens: str
    batch: str
    across: str
    line: str
    overhead: bool


PREFILL = View(
    Phase.PREFILL,
    "TTFT of prompts that are read together, ms",
    "TTFT",
    "prompt tokens",
    "prompts in the iteration",
    "tokens",
    "of {} together",
    True,
)
DECODE = View(
    Phase.DECODE,
    "ITL of a batch, ms",
    "ITL",
    "context tokens",
    "sequences in the batch",
    "batch",
    "with {} tokens",
    False,
)
VIEWS = (PREFILL, DECODE)


def heat_figure(
    artifact: ProfileArtifact, view: View, layouts: Sequence[LayoutProfile], name: str
) -> Figure | None:
    """Draw one phase's surfaces as shaded tables, one layout at a time; `None` where no layout has one."""
    held = {shown_name(x, artifact): (x, s) for x in layouts if (s := _surface(x, view)) is not None}
    if not held:
        return None
    first = next(iter(held))
    notes = []
    if any(max(len(s.x), len(s.y)) > MOST_CELLS for _, s in held.values()):
        notes.append("Large grids are thinned here; the profile holds every point.")
    beyond = {title: _beyond(s) for title, (_, s) in held.items()}
    if any(beyond.values()):
        notes.append("Faint cells lie outside what was measured.")
    if any(x.extrapolated for x, _ in held.values()):
        notes.append(f"{MARK} rests on no data of that layout.")
    choice = Choice("Layout", tuple(held), first, "layout")
    said = f"{view.title}, over {view.tokens} and {view.batch}, a figure a cell"
    return Figure(
        name=name,
        title=view.title,
        summary=f"{said}: {'; '.join(_ends(title, x, s, view) for title, (x, s) in list(held.items())[:4])}.",
        spec=heat_map(f"{name}-cells", view.tokens, view.batch, f"{view.short}, ms", "layout", first),
        data={
            f"{name}-cells": Cells({t: _thinned(s, _added(x, view)) for t, (x, s) in held.items()}, beyond)
        },
        controls=(choice,),
        notes=tuple(notes),
    )


def measured_figure(
    artifact: ProfileArtifact, view: View, layouts: Sequence[LayoutProfile], name: str
) -> Figure | None:
    """Draw measured surfaces as lines with bands, and their points with error bars; `None` without any."""
    held = [x for x in layouts if _surface(x, view) is not None and _points(x, view)]
    if not held:
        return None
    titles = {shown_name(x, artifact): x for x in held}
    cuts = _cuts(held, view)
    swatches = palette.series(view.line.format(brief(cut)) for cut in cuts)
    first = next(iter(titles))
    limit = artifact.question and (
        artifact.question.ttft_s if view.phase is Phase.PREFILL else artifact.question.itl_s
    )
    lines = {t: _line_columns(x, view, cuts) for t, x in titles.items()}
    dots = {t: _dot_columns(x, view, cuts) for t, x in titles.items()}
    x_title = view.tokens if view.across == "tokens" else view.batch
    plot = Curves(
        f"{name}-lines",
        swatches,
        Scale(x_title, "~s", logarithmic=True, ticks=logarithmic_ticks(_numbers(lines, 0))),
        Scale(
            f"{view.short}, ms, logarithmic",
            ",.3~r",
            logarithmic=True,
            ticks=logarithmic_ticks(_numbers(lines, 1)),
        ),
        measured=f"{name}-points",
        chosen="layout",
        initial=first,
        marks=(Mark(limit * 1e3, f"promise {limit * 1e3:g} ms"),) if limit else (),
        fields=(("y", view.short), ("low", "at least"), ("high", "at most")),
    )
    counts = "; ".join(f"{t} {plural(len(_points(x, view)), 'point')}" for t, x in titles.items())
    return Figure(
        name=name,
        title=f"{view.short} as measured and as fitted",
        summary=f"{view.short} over {x_title}, fitted lines with 95 % bands and measured points: {counts}.",
        spec=curves(plot),
        data={f"{name}-lines": Bundles(FIELDS, lines), f"{name}-points": Bundles(FIELDS, dots)},
        caption="Bars and bands hold 95 % of what a repetition or a held-out point would give.",
        controls=(
            Choice("Layout", tuple(titles), first, "layout"),
            Toggles("Lines", swatches, "shown"),
        ),
    )


def band_at(surface: Surface, x: float, y: float) -> float:
    """Return the relative half-width of the band at the nearest node below, 0 where there is none."""
    if not surface.band_ratio:
        return 0.0
    i = max(bisect_right(surface.x, x) - 1, 0)
    j = max(bisect_right(surface.y, y) - 1, 0)
    return surface.band_ratio[i][j]


def banded(value_s: float, ratio: float, added_s: float = 0.0) -> dict[str, float]:
    """Return milliseconds with their band as a row's y, low and high; a band never reaches zero."""
    return {
        "y": short((value_s + added_s) * 1e3),
        "low": short((value_s * max(1.0 - ratio, 0.01) + added_s) * 1e3),
        "high": short((value_s * (1.0 + ratio) + added_s) * 1e3),
    }


def short(value: float) -> float:
    """Keep four significant digits: what a chart can show."""
    return float(f"{value:.4g}")


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` evenly spread indices, ends included."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def _numbers(bundles: Mapping[str, Mapping[str, Columns4]], column: int) -> list[float]:
    return [value for bundle in bundles.values() for columns in bundle.values() for value in columns[column]]


def _cuts(layouts: Sequence[LayoutProfile], view: View) -> list[float]:
    """Return the lines to draw, the same for all layouts: where most points lie, the outermost included."""
    held = Counter(
        p.batch if view.across == "tokens" else p.tokens for x in layouts for p in _points(x, view)
    )
    best = sorted(held, key=lambda cut: (-held[cut], cut))[: MOST_LINES * 2]
    ordered = sorted(best)
    return [ordered[i] for i in spread(len(ordered), MOST_LINES)]


def _line_columns(layout: LayoutProfile, view: View, cuts: Sequence[float]) -> dict[str, Columns4]:
    """Return each line's columns, where the surface rests on data."""
    surface = _surface(layout, view)
    assert surface is not None
    steps = surface.x if view.across == "tokens" else surface.y
    found = {}
    for cut in cuts:
        rows = []
        for i in spread(len(steps), MOST_STEPS):
            tokens, batch = (steps[i], cut) if view.across == "tokens" else (cut, steps[i])
            if surface.covers(tokens, batch):
                band = band_at(surface, tokens, batch)
                rows.append((steps[i], surface.at(tokens, batch), band))
        found[view.line.format(brief(cut))] = _columns(rows, _added(layout, view))
    return found


def _dot_columns(layout: LayoutProfile, view: View, cuts: Sequence[float]) -> dict[str, Columns4]:
    """Return the columns of the points that lie on a drawn line."""
    found = {}
    for cut in cuts:
        rows = []
        for p in _points(layout, view):
            own, step = (p.batch, p.tokens) if view.across == "tokens" else (p.tokens, p.batch)
            if own == cut:
                rows.append((step, p.seconds, p.error_s / p.seconds))
        drawn = [rows[i] for i in spread(len(rows), MOST_STEPS)]
        found[view.line.format(brief(cut))] = _columns(drawn, _added(layout, view))
    return found


def _columns(rows: Sequence[tuple[float, float, float]], added_s: float) -> Columns4:
    """Return x, and y with its band in milliseconds, of rows (x, seconds, relative half-width)."""
    banded_rows = [{"x": short(x), **banded(value_s, ratio, added_s)} for x, value_s, ratio in rows]
    return [[row[field] for row in banded_rows] for field in FIELDS]


def _thinned(surface: Surface, added_s: float) -> tuple[list[float], list[float], list[list[float]]]:
    """Return at most `MOST_CELLS` evenly spread lines of a grid each way, in milliseconds."""
    rows, columns = spread(len(surface.x), MOST_CELLS), spread(len(surface.y), MOST_CELLS)
    values = [[short((surface.values_s[i][j] + added_s) * 1e3) for j in columns] for i in rows]
    return [surface.x[i] for i in rows], [surface.y[j] for j in columns], values


def _beyond(surface: Surface) -> list[tuple[int, int]]:
    """Return the cells of the thinned grid that rest on no data."""
    rows, columns = spread(len(surface.x), MOST_CELLS), spread(len(surface.y), MOST_CELLS)
    return [
        (a, b)
        for a, i in enumerate(rows)
        for b, j in enumerate(columns)
        if not surface.covers(surface.x[i], surface.y[j])
    ]


def _ends(title: str, layout: LayoutProfile, surface: Surface, view: View) -> str:
    low, high = surface.values_s[0][0], surface.values_s[-1][-1]
    added = _added(layout, view)
    return f"{title} from {short((low + added) * 1e3):g} to {short((high + added) * 1e3):g} ms"


def _added(layout: LayoutProfile, view: View) -> float:
    return layout.overhead_s if view.overhead else 0.0


def _surface(layout: LayoutProfile, view: View) -> Surface | None:
    return layout.prefill if view.phase is Phase.PREFILL else layout.decode


def _points(layout: LayoutProfile, view: View) -> list[MeasuredPoint]:
    return [p for p in layout.measured if p.phase is view.phase]
