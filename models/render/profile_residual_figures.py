"""Draw what the fits of a profile leave of its measurements."""

from collections.abc import Callable, Sequence

from models.artifact import MeasuredPoint, Phase, ProfileArtifact
from models.render import palette
from models.render.charts import points
from models.render.figure import Bundles, Figure, Swatch, Toggles
from models.render.formats import percent, plural
from models.render.panels import Mark, Scale, logarithmic_ticks
from models.render.profile_grid import selected_first, shown_name
from models.render.profile_surface_figures import short, spread

# A point costs some 70 bytes of the page; the table of errors counts all of them.
MOST_POINTS = 1_200
# As many as there are colours.
MOST_SURFACES = 8


def residual_figures(artifact: ProfileArtifact) -> list[Figure]:
    """Draw fitted against measured, and the residual of each point over its time; nothing without points."""
    found = [
        (_surface(shown_name(layout, artifact), p), p, f"{layout.role} {_what(p)}")
        for layout in selected_first(artifact)
        for p in layout.measured
        if p.residual_ratio is not None
    ]
    if not found:
        return []
    # More surfaces than colours: points are told apart by role alone.
    crowded = len({name for name, _, _ in found}) > MOST_SURFACES
    kept = [
        (role if crowded else name, p)
        for name, p, role in (found[i] for i in spread(len(found), MOST_POINTS))
    ]
    coloured = palette.series(dict.fromkeys(name for name, _ in kept))
    # Points have no dash.
    swatches = tuple(Swatch(s.name, s.colour) for s in coloured)
    notes = (
        (f"{plural(len(kept), 'point')} of {len(found):,} are drawn, evenly spread.",)
        if len(kept) < len(found)
        else ()
    )
    worst = max(abs(p.residual_ratio or 0.0) for _, p, _ in found)
    times = [p.seconds * 1e3 for _, p in kept]
    ticks = logarithmic_ticks(times)
    measured = Scale("measured, ms, logarithmic", "~s", logarithmic=True, ticks=ticks)
    fitted = Scale("Fitted, ms, logarithmic", "~s", logarithmic=True, ticks=ticks)
    controls = (Toggles("Surfaces", swatches, "surfaces"),)
    return [
        Figure(
            name="fitted",
            title="Fitted against measured",
            summary=f"Fitted over measured time of {plural(len(found), 'point')}; the farthest from the "
            f"diagonal is off by {percent(worst)}.",
            spec=points(
                "fitted",
                swatches,
                measured,
                fitted,
                shown="surfaces",
                size=30,
                diagonal=(short(min(times)), short(max(times))),
            ),
            data={"fitted": _bundled(kept, _fitted_ms)},
            controls=controls,
            notes=notes,
        ),
        Figure(
            name="residuals",
            title="What the fit leaves of each point",
            summary=f"Fitted / measured - 1 in per cent over measured time; the largest is {percent(worst)}.",
            spec=points(
                "residuals",
                swatches,
                measured,
                Scale("Residual, %", "+,.3~f", zero=False),
                shown="surfaces",
                size=30,
                height=240,
                marks=(Mark(0.0, ""),),
            ),
            data={"residuals": _bundled(kept, _residual_percent)},
            controls=controls,
            notes=notes,
        ),
    ]


def _surface(name: str, point: MeasuredPoint) -> str:
    return f"{name} {_what(point)}"


def _what(point: MeasuredPoint) -> str:
    return "TTFT" if point.phase is Phase.PREFILL else "ITL"


def _bundled(kept: Sequence[tuple[str, MeasuredPoint]], value: Callable[[MeasuredPoint], float]) -> Bundles:
    """Return measured milliseconds and a value of each point, by surface."""
    found: dict[str, list[list[float]]] = {}
    for name, p in kept:
        columns = found.setdefault(name, [[], []])
        columns[0].append(short(p.seconds * 1e3))
        columns[1].append(short(value(p)))
    return Bundles(("x", "y"), {"": found})


def _fitted_ms(p: MeasuredPoint) -> float:
    return p.seconds * (1.0 + (p.residual_ratio or 0.0)) * 1e3


def _residual_percent(p: MeasuredPoint) -> float:
    return (p.residual_ratio or 0.0) * 100.0
