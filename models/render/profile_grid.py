"""Lay out a profile: layouts with their speeds, the selection, and what was left out."""

from collections.abc import Sequence

from models.artifact import LayoutProfile, LeftOut, Profile, ProfileArtifact
from models.render.formats import UNKNOWN, brief, number, percent, seconds, words
from models.render.grid import Column, Grid
from models.surface import Surface
from models.values import Role

PROMPTS_TOKENS = (1_000, 8_000, 32_000)
BATCHES = (1, 16, 64, 256)
# Beside the name of a layout whose figures rest on no data.
MARK = "*"


def layout_grid(profile: Profile, only: Sequence[LayoutProfile] | None = None) -> Grid:
    """Lay out one row per role and layout, what was selected first; strong are the selected ones.

    `only` names the layouts to lay out, in their order; all of them without it.
    """
    artifact = profile.artifact
    context = typical_context_tokens(artifact)
    several = len(artifact.machines) > 1
    columns = (
        Column("role"),
        Column("layout"),
        *([Column("hardware")] if several else []),
        Column("selected"),
        Column("gpus", "that one replica takes", numeric=True),
        Column("error", "mean relative error of points held out of the fit, of the worse surface", True),
        Column("kv tokens", "that one replica's KV cache holds", numeric=True),
        Column("prefill tok/s", "best rate of one replica inside the measured grid", numeric=True),
        *(
            Column(f"ttft {brief(n)}", f"one prompt of {n:,} tokens, nothing waiting", True)
            for n in PROMPTS_TOKENS
        ),
        *(Column(f"itl x{b}", f"step with {b} sequences of {context:,.0f} tokens", True) for b in BATCHES),
        Column("prefill tok/s/gpu", numeric=True, wide=True),
        Column("max seqs", "that the engine batches", numeric=True, wide=True),
        Column("max batched", "prompt tokens per iteration", numeric=True, wide=True),
        Column("origin", "where the figures come from", wide=True),
    )
    ordered = selected_first(artifact) if only is None else only
    readings = [_readings(layout, context) for layout in ordered]
    rows = tuple(
        _layout_row(layout, artifact, shown) for layout, shown in zip(ordered, readings, strict=True)
    )
    strong = frozenset(i for i, layout in enumerate(ordered) if is_selected(layout, artifact))
    notes = []
    if any(UNKNOWN in shown for shown in readings):
        notes.append("- where a role does not do that phase, or the measured grid does not reach so far")
    if any(layout.decode for layout in ordered):
        notes.append(f"ITL with {context:,.0f} tokens of context per sequence")
    notes += extrapolation_notes(ordered)
    return Grid(f"Layouts of {artifact.model} on {artifact.hardware}", columns, rows, tuple(notes), strong)


def extrapolation_notes(layouts: Sequence[LayoutProfile]) -> list[str]:
    """Say which layouts' figures rest on no data, a line a reason."""
    names: dict[str, dict[str, None]] = {}
    for layout in layouts:
        if layout.extrapolated:
            names.setdefault(layout.extrapolated, {})[layout.parallelism.name] = None
    return [f"{MARK} extrapolated, {words(list(found))}: {reason}" for reason, found in names.items()]


def left_out_grid(left_out: Sequence[LeftOut]) -> Grid:
    """Lay out the layouts that were not measured, with the reason; roles that share it share a row."""
    columns = (Column("layout"), Column("roles"), Column("reason"))
    roles: dict[tuple[str, str], list[str]] = {}
    for item in left_out:
        roles.setdefault((item.layout, item.reason), []).append(item.role.value)
    rows = tuple((layout, ", ".join(shared), reason) for (layout, reason), shared in roles.items())
    return Grid("Left out", columns, rows)


def source_grid(profile: Profile) -> Grid:
    """Lay out where each published figure comes from."""
    rows = tuple(profile.artifact.sources.items())
    return Grid("Sources", (Column("figure"), Column("published in")), rows)


def selected_first(artifact: ProfileArtifact) -> list[LayoutProfile]:
    """Return the layouts with the selected ones first, then by role and size."""
    roles = list(Role)
    return sorted(
        artifact.layouts,
        key=lambda x: (not is_selected(x, artifact), roles.index(x.role), x.gpus, x.parallelism.name),
    )


def is_selected(layout: LayoutProfile, artifact: ProfileArtifact) -> bool:
    """Whether the selection names this layout for its role."""
    chosen = artifact.selection.layouts if artifact.selection else {}
    return chosen.get(layout.role) == layout.parallelism.name


def typical_context_tokens(artifact: ProfileArtifact) -> float:
    """Return the context at which ITL is shown: the question's prompt and half its output, else 8,000."""
    question = artifact.question
    return question.isl_tokens + question.osl_tokens / 2 if question else 8_000.0


def prefill_rate(layout: LayoutProfile) -> float | None:
    """Return the best prefill tokens per second at a grid point within the engine's iteration limit."""
    surface = layout.prefill
    if surface is None:
        return None
    limit = layout.limits.max_num_batched_tokens
    rates = [
        x * y / surface.values_s[i][j]
        for i, x in enumerate(surface.x)
        for j, y in enumerate(surface.y)
        if x * y <= limit or (i, j) == (0, 0)
    ]
    return max(rates)


def shown_name(layout: LayoutProfile, artifact: ProfileArtifact) -> str:
    """Name a layout on a chart: with its hardware where there are several, marked if it rests on no data."""
    role = " aggregated" if layout.role is Role.AGGREGATED else ""
    where = f" on {artifact.machine(layout).name}" if len(artifact.machines) > 1 else ""
    return f"{layout.parallelism.name}{role}{where}{f' {MARK}' if layout.extrapolated else ''}"


def error_of(layout: LayoutProfile) -> str:
    """Write the cross-validated error of a layout's worse surface, or "computed"; "-" is unknown."""
    errors = [s.relative_error for s in (layout.prefill, layout.decode) if s is not None]
    if any(errors):
        return percent(max(errors))
    return UNKNOWN if layout.measured else "computed"


def _readings(layout: LayoutProfile, context: float) -> tuple[str, ...]:
    return (
        number(prefill_rate(layout)),
        *(seconds(_ttft(layout, isl)) for isl in PROMPTS_TOKENS),
        *(seconds(_reading(layout.decode, context, batch)) for batch in BATCHES),
    )


def _layout_row(layout: LayoutProfile, artifact: ProfileArtifact, readings: Sequence[str]) -> tuple[str, ...]:
    rate = prefill_rate(layout)
    return (
        layout.role.value,
        f"{layout.parallelism.name}{f' {MARK}' if layout.extrapolated else ''}",
        *([artifact.machine(layout).name] if len(artifact.machines) > 1 else []),
        "yes" if is_selected(layout, artifact) else "",
        str(layout.gpus),
        error_of(layout),
        brief(layout.kv_capacity_tokens),
        *readings,
        number(rate / layout.gpus) if rate else UNKNOWN,
        str(layout.limits.max_num_seqs),
        brief(layout.limits.max_num_batched_tokens),
        layout.provenance or UNKNOWN,
    )


def _ttft(layout: LayoutProfile, isl_tokens: float) -> float | None:
    engine_s = _reading(layout.prefill, isl_tokens, 1)
    return None if engine_s is None else engine_s + layout.overhead_s


def _reading(surface: Surface | None, x: float, y: float) -> float | None:
    """Return the reading inside the grid; outside it nothing, since an extrapolation is not a measurement."""
    return surface.at(x, y) if surface is not None and surface.covers(x, y) else None
