"""Draw a profile: the trade between a user's speed and a GPU's output, and the surfaces of each layout."""

from collections.abc import Callable

from models.artifact import LayoutProfile, ProfileArtifact
from models.render import palette
from models.render.charts import LOGARITHMIC_TICKS, heat_map, points
from models.render.figure import Cells, Choice, Figure, Rows, Swatch, Toggles
from models.render.formats import brief, plural, seconds
from models.render.panels import Mark, Scale
from models.render.profile_grid import selected_first, typical_context_tokens
from models.surface import Surface
from models.values import Role

# More would not hold their figures on a phone.
MOST_CELLS = 8
MOST_LINES = 8


def pareto_figure(artifact: ProfileArtifact) -> Figure | None:
    """Draw the undominated trades, a line a layout; `None` without any."""
    if not artifact.pareto:
        return None
    names = list(dict.fromkeys(p.layout for p in artifact.pareto))
    swatches = palette.series(names)
    rows = tuple(
        {
            "x": _short(p.tokens_per_s_per_user),
            "y": _short(p.tokens_per_s_per_gpu),
            "series": p.layout,
        }
        for p in sorted(artifact.pareto, key=lambda p: p.tokens_per_s_per_user)
    )
    fastest = max(artifact.pareto, key=lambda p: p.tokens_per_s_per_user)
    richest = max(artifact.pareto, key=lambda p: p.tokens_per_s_per_gpu)
    return Figure(
        name="pareto",
        title="Speed for a user against output of a GPU",
        summary=f"Undominated trades. Fastest for a user: {fastest.layout}, "
        f"{brief(fastest.tokens_per_s_per_user)} tokens/s. Most from a GPU: {richest.layout}, "
        f"{brief(richest.tokens_per_s_per_gpu)} tokens/s.",
        spec=points(
            "pareto",
            swatches,
            Scale("output tokens/s for one user", ",.3~s"),
            Scale("Output tokens/s per GPU", ",.3~s"),
            joined=True,
            shown="layouts",
        ),
        data={"pareto": Rows(rows)},
        caption="Right is faster for a user, up is cheaper per token. No other layout beats a point on both.",
        controls=(Toggles("Layouts", swatches, "layouts"),),
    )


def ttft_figure(artifact: ProfileArtifact) -> Figure | None:
    """Draw TTFT of one prompt over its length, a line a layout; `None` without a prefill surface."""
    promise = artifact.question.ttft_s if artifact.question else None
    return _lines(
        artifact,
        "ttft",
        "TTFT of one prompt, nothing waiting",
        Scale("prompt tokens", "~s", logarithmic=True, ticks=LOGARITHMIC_TICKS),
        Scale("TTFT, ms, logarithmic", ",.3~r", logarithmic=True, ticks=LOGARITHMIC_TICKS),
        lambda layout: (
            [(isl, (layout.prefill.at(isl, 1) + layout.overhead_s) * 1e3) for isl in layout.prefill.x]
            if layout.prefill
            else []
        ),
        promise,
    )


def itl_figure(artifact: ProfileArtifact) -> Figure | None:
    """Draw ITL over the batch at the typical context, a line a layout; `None` without a decode surface."""
    context = typical_context_tokens(artifact)
    promise = artifact.question.itl_s if artifact.question else None
    return _lines(
        artifact,
        "itl",
        f"ITL at {context:,.0f} tokens of context",
        Scale("sequences in the batch", "~s", logarithmic=True, ticks=LOGARITHMIC_TICKS),
        Scale("ITL, ms, logarithmic", ",.3~r", logarithmic=True, ticks=LOGARITHMIC_TICKS),
        lambda layout: (
            [(batch, layout.decode.at(context, batch) * 1e3) for batch in layout.decode.y]
            if layout.decode and layout.decode.covers(context, layout.decode.y[0])
            else []
        ),
        promise,
    )


def surface_figures(artifact: ProfileArtifact) -> list[Figure]:
    """Draw each phase's surfaces as shaded tables, one layout at a time, the selected one first."""
    found = []
    for phase, title, x_title, y_title in (
        ("prefill", "Prefill time per iteration, ms", "prompt tokens", "prompts in the iteration"),
        ("decode", "Decode time per step, ms", "context tokens", "sequences in the batch"),
    ):
        measured = {_title(x): surface for x in selected_first(artifact) if (surface := getattr(x, phase))}
        if not measured:
            continue
        first = next(iter(measured))
        figure = Figure(
            name=f"{phase}-surface",
            title=title,
            summary=f"{title} over {x_title} and {y_title} for {len(measured)} layouts, a figure a cell.",
            spec=heat_map(f"{phase}-cells", x_title, y_title, title, "layout", first),
            data={f"{phase}-cells": Cells({name: _thinned(s) for name, s in measured.items()})},
            controls=(Choice("Layout", tuple(measured), first, "layout"),),
            notes=("Large grids are thinned here; the saved data hold every point.",)
            if any(max(len(s.x), len(s.y)) > MOST_CELLS for s in measured.values())
            else (),
        )
        found.append(figure)
    return found


def _lines(
    artifact: ProfileArtifact,
    name: str,
    title: str,
    x: Scale,
    y: Scale,
    curve: Callable[[LayoutProfile], list[tuple[float, float]]],
    promise_s: float | None,
) -> Figure | None:
    drawn = [(_title(layout), curve(layout)) for layout in selected_first(artifact)]
    drawn = [(layout, line) for layout, line in drawn if line]
    if not drawn:
        return None
    kept = drawn[:MOST_LINES]
    swatches: tuple[Swatch, ...] = palette.series(layout for layout, _ in kept)
    rows = tuple({"x": _short(a), "y": _short(b), "series": layout} for layout, line in kept for a, b in line)
    marks = (Mark(promise_s * 1e3, f"promise {seconds(promise_s)}"),) if promise_s is not None else ()
    said = "; ".join(
        f"{layout} {seconds(line[0][1] / 1e3)} to {seconds(line[-1][1] / 1e3)}" for layout, line in kept
    )
    left = len(drawn) - len(kept)
    return Figure(
        name=name,
        title=title,
        summary=f"{title}, from the least to the most: {said}.",
        spec=points(name, swatches, x, y, joined=True, marks=marks, shown="layouts", height=260),
        data={name: Rows(rows)},
        caption=f"{plural(left, 'more layout')} in the table." if left else "",
        controls=(Toggles("Layouts", swatches, "layouts"),),
    )


def _thinned(surface: Surface) -> tuple[list[float], list[float], list[list[float]]]:
    """Return at most `MOST_CELLS` evenly spread lines of a grid each way, ends included, in milliseconds."""
    rows, columns = _spread(len(surface.x)), _spread(len(surface.y))
    values = [[_short(surface.values_s[i][j] * 1e3) for j in columns] for i in rows]
    return [surface.x[i] for i in rows], [surface.y[j] for j in columns], values


def _spread(count: int) -> list[int]:
    if count <= MOST_CELLS:
        return list(range(count))
    return [round(i * (count - 1) / (MOST_CELLS - 1)) for i in range(MOST_CELLS)]


def _title(layout: LayoutProfile) -> str:
    role = "" if layout.role is not Role.AGGREGATED else " aggregated"
    return f"{layout.parallelism.name}{role}"


def _short(value: float) -> float:
    """Keep four significant digits: what a chart can show."""
    return float(f"{value:.4g}")
