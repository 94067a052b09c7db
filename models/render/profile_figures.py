"""Draw a profile's layouts side by side: speed against output, TTFT and ITL, a line a layout."""

from collections.abc import Callable

from models.artifact import LayoutProfile, ProfileArtifact
from models.render import palette
from models.render.charts import curves, points
from models.render.figure import Figure, Rows, Swatch, Toggles
from models.render.formats import brief, plural, seconds
from models.render.panels import Curves, Mark, Scale, logarithmic_ticks
from models.render.profile_grid import MARK, selected_first, shown_name, typical_context_tokens
from models.render.profile_surface_figures import band_at, banded, short

MOST_LINES = 8

Curve = list[dict[str, float]]


def pareto_figure(artifact: ProfileArtifact) -> Figure | None:
    """Draw the undominated trades, a colour a layout; `None` without any."""
    if not artifact.pareto:
        return None
    unknown = {x.key for x in artifact.layouts if x.extrapolated}

    def name(pairing: str) -> str:
        return f"{pairing} {MARK}" if unknown & {*pairing.split(), f"decode={pairing}"} else pairing

    names = list(dict.fromkeys(name(p.layout) for p in artifact.pareto))
    # Points have no dash.
    swatches = tuple(Swatch(s.name, s.colour) for s in palette.series(names))
    rows = tuple(
        {
            "x": short(p.tokens_per_s_per_user),
            "y": short(p.tokens_per_s_per_gpu),
            "series": name(p.layout),
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
        notes=(_MARKED,) if any(n.endswith(MARK) for n in names) else (),
    )


def ttft_figure(artifact: ProfileArtifact) -> Figure | None:
    """Draw TTFT of one prompt over its length, a line a layout; `None` without a prefill surface."""
    promise = artifact.question.ttft_s if artifact.question else None

    def curve(layout: LayoutProfile) -> Curve:
        surface = layout.prefill
        if surface is None:
            return []
        return [
            {"x": short(isl), **banded(surface.at(isl, 1.0), band_at(surface, isl, 1.0), layout.overhead_s)}
            for isl in surface.x
            if surface.covers(isl, surface.y[0])
        ]

    title = "TTFT of one prompt, nothing waiting"
    return _lines(artifact, "ttft", title, "prompt tokens", "TTFT", curve, promise)


def itl_figure(artifact: ProfileArtifact) -> Figure | None:
    """Draw ITL over the batch at the typical context, a line a layout; `None` without a decode surface."""
    context = typical_context_tokens(artifact)
    promise = artifact.question.itl_s if artifact.question else None

    def curve(layout: LayoutProfile) -> Curve:
        surface = layout.decode
        if surface is None:
            return []
        return [
            {"x": short(batch), **banded(surface.at(context, batch), band_at(surface, context, batch))}
            for batch in surface.y
            if surface.covers(context, batch)
        ]

    title = f"ITL at {context:,.0f} tokens of context"
    return _lines(artifact, "itl", title, "sequences in the batch", "ITL", curve, promise)


_MARKED = f"{MARK} rests on no data of that layout: see where it comes from."


def _lines(
    artifact: ProfileArtifact,
    name: str,
    title: str,
    across: str,
    what: str,
    curve: Callable[[LayoutProfile], Curve],
    promise_s: float | None,
) -> Figure | None:
    drawn = [(shown_name(layout, artifact), curve(layout)) for layout in selected_first(artifact)]
    drawn = [(layout, line) for layout, line in drawn if line]
    if not drawn:
        return None
    kept = drawn[:MOST_LINES]
    swatches: tuple[Swatch, ...] = palette.series(layout for layout, _ in kept)
    marks = (Mark(promise_s * 1e3, f"promise {seconds(promise_s)}"),) if promise_s is not None else ()
    said = "; ".join(
        f"{layout} {seconds(line[0]['y'] / 1e3)} to {seconds(line[-1]['y'] / 1e3)}" for layout, line in kept
    )
    left = len(drawn) - len(kept)
    rows = [row for _, line in kept for row in line]
    certain = all(row["low"] == row["high"] for row in rows)
    plot = Curves(
        name,
        swatches,
        Scale(across, "~s", logarithmic=True, ticks=logarithmic_ticks(row["x"] for row in rows)),
        Scale(
            f"{what}, ms, logarithmic",
            ",.3~r",
            logarithmic=True,
            ticks=logarithmic_ticks([*(row["y"] for row in rows), *(m.value for m in marks)]),
        ),
        shown="layouts",
        marks=marks,
        banded=not certain,
        fields=(("y", what),) if certain else (("y", what), ("low", "at least"), ("high", "at most")),
    )
    sentences = [
        *([] if certain else ["Bands hold 95 % of what a measurement would give."]),
        *([f"{plural(left, 'more layout')} in the table."] if left else []),
    ]
    return Figure(
        name=name,
        title=title,
        summary=f"{title}, from the least to the most: {said}.",
        spec=curves(plot),
        data={name: Rows(tuple({**row, "series": layout} for layout, line in kept for row in line))},
        caption=" ".join(sentences),
        controls=(Toggles("Layouts", swatches, "layouts"),),
        notes=(_MARKED,) if any(layout.endswith(MARK) for layout, _ in kept) else (),
    )
