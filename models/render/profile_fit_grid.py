"""Lay out how well each measured surface is known: points, errors, bands, and how far the data reach."""

from statistics import median

from models.artifact import LayoutProfile, MeasuredPoint, Phase, Profile, ProfileArtifact
from models.render.formats import UNKNOWN, brief, percent, seconds
from models.render.grid import Column, Grid
from models.render.profile_grid import selected_first, shown_name
from models.surface import Surface
from models.values import Role

# Below it a per cent with one decimal reads 0.0.
SMALLEST_SHOWN = 0.0005


def fit_grid(profile: Profile) -> Grid:
    """Lay out one row per surface that was fitted to measurements, the selected layouts first."""
    columns = (
        Column("role"),
        Column("layout"),
        Column("phase"),
        Column("points", "measured for this surface", numeric=True),
        Column("runs", "repeats of all points together", numeric=True),
        Column("error", "mean relative error of points held out of the fit", numeric=True),
        Column("typical residual", "half of the points are fitted closer than this", numeric=True),
        Column("worst residual", "fitted against measured", numeric=True),
        Column("band", "half-width of the 95 % band, half of the grid is known better", numeric=True),
        Column("reaches", "where the surface rests on data"),
    )
    rows = tuple(
        _row(layout, phase, surface, points, profile)
        for layout in selected_first(profile.artifact)
        for phase, surface in ((Phase.PREFILL, layout.prefill), (Phase.DECODE, layout.decode))
        if surface is not None and (points := [p for p in layout.measured if p.phase is phase])
    )
    return Grid("How well each surface is known", columns, rows)


def _row(
    layout: LayoutProfile, phase: Phase, surface: Surface, points: list[MeasuredPoint], profile: Profile
) -> tuple[str, ...]:
    left = [p.residual_ratio for p in points if p.residual_ratio is not None]
    worst = max(points, key=lambda p: abs(p.residual_ratio or 0.0))
    bands = [band for row in surface.band_ratio for band in row]
    return (
        layout.role.value,
        _name(layout, profile.artifact),
        phase.value,
        str(len(points)),
        str(sum(p.repeats for p in points)),
        percent(surface.relative_error) if surface.relative_error else UNKNOWN,
        percent(median(map(abs, left))) if left else UNKNOWN,
        f"{signed(worst.residual_ratio)} of {seconds(worst.seconds)}" if left else UNKNOWN,
        f"\u00b1{percent(median(bands))}" if bands else UNKNOWN,
        _reach(surface),
    )


def _name(layout: LayoutProfile, artifact: ProfileArtifact) -> str:
    """Name a layout without its role, which has a column of its own."""
    return shown_name(layout, artifact).replace(f" {Role.AGGREGATED}", "")


def signed(ratio: float | None) -> str:
    """Write a ratio as per cent with its sign."""
    if ratio is None:
        return UNKNOWN
    if abs(ratio) < SMALLEST_SHOWN:
        return percent(0.0)
    return f"{'-' if ratio < 0 else '+'}{percent(abs(ratio))}"


def _reach(surface: Surface) -> str:
    reach = surface.reach
    (low, high), most = reach.x, reach.y[1]
    return f"{brief(low)} to {brief(high)} tokens, batch to {brief(most)}"
