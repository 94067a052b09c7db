"""Draw a track: load, GPUs of each fleet, replicas of each role and kept promises over one time axis."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from models.render import palette
from models.render.charts import time_panels
from models.render.figure import Columns, Figure, Number, Swatch, Toggles
from models.render.formats import number
from models.render.panels import Mark, Panel
from models.render.track_grid import JUDGED, ORACLE, RAN
from models.track.hindsight import RUNGS
from models.track.score import oracle_path
from models.track.summary import Summary
from models.track.track import Path

MOST_POINTS = 480
Values = NDArray[np.float64]
Gather = Callable[[Values], float]


def track_figure(summary: Summary, index: int = 0) -> Figure | None:
    """Stack load, GPUs, replicas and attainment over one time axis; `None` where no demand is known."""
    track, whole = summary.track, summary.whole
    if whole is None:
        return None
    paths = _paths(summary)
    fleets = _swatches(tuple(paths))
    classes = palette.series(track.classes, first=5)
    load, gpus, kept = f"load-{index}", f"gpus-{index}", f"kept-{index}"
    data = {
        load: _columns(
            summary, {name: (track.rate_rps[:, i], np.mean) for i, name in enumerate(track.classes)}
        ),
        gpus: _columns(summary, {name: (path.gpus, np.max) for name, path in paths.items()}),
        kept: _columns(
            summary,
            {name: (_kept(summary, path), np.min) for name, path in paths.items() if name != ORACLE},
            digits=4,
        ),
    }
    panels = [
        Panel("load", "Load, requests per second", load, classes, shown="classes"),
        Panel("gpus", "GPUs held", gpus, fleets, "step", "d", "fleets"),
    ]
    for i, role in enumerate(track.roles):
        name = f"{role.value}-{index}"
        ready = {fleet: (path.ready[:, i].astype(np.float64), np.max) for fleet, path in paths.items()}
        data[name] = _columns(summary, ready)
        title = f"Replicas of {role.value} that serve; of the oracle, that are needed"
        panels.append(Panel(role.value, title, name, fleets, "step", "d", "fleets", height=90))
    target = min(track.targets.values(), default=0.0)
    aims = (Mark(target * 100, f"target {target:.2%}", below=True),)
    panels.append(
        Panel("kept", "Kept promises of the class worst off, %", kept, fleets, format=".2~f",
              shown="fleets", marks=aims, top=100.0, bottom=None)
    )  # fmt: skip
    peak = float(track.rate_rps[track.known].sum(axis=1).max())
    size = _size(summary)
    gathered = (
        f"Each point gathers {size} steps of {track.step_s:g} s: the mean load, the most GPUs and replicas, "
        "the least kept."
    )
    return Figure(
        name=f"track-{index}",
        title="What was decided, and what was needed",
        summary=f"Stacked panels over time: load up to {number(peak)} requests per second, GPUs and replicas "
        f"of {', '.join(paths)}, and kept promises. The tables on this page hold the figures.",
        spec=time_panels(panels, {"classes": list(track.classes), "fleets": list(paths)}),
        data=data,
        caption="Drag to move in time, pinch or hold Ctrl and scroll to zoom; or use the buttons, or + - and "
        "the arrow keys.",
        controls=(Toggles("Fleets", fleets, "fleets"), Toggles("Classes", classes, "classes")),
        zoom=load,
        notes=(gathered,) if size > 1 else (f"Each point is one step of {track.step_s:g} s.",),
    )


def _paths(summary: Summary) -> dict[str, Path]:
    track, whole = summary.track, summary.whole
    rung = 0 if whole is None else RUNGS.index(whole.rung)
    found = {} if track.advised is None or track.acted else {JUDGED: track.advised}
    found[JUDGED if track.acted else RAN] = track.ran
    return {**found, ORACLE: oracle_path(track, rung)}


def _swatches(names: tuple[str, ...]) -> tuple[Swatch, ...]:
    known = {
        JUDGED: Swatch(JUDGED, "var(--series-1)"),
        RAN: Swatch(RAN, "var(--series-2)", (2, 2)),
        ORACLE: Swatch(ORACLE, "var(--series-3)", (8, 3, 2, 3)),
    }
    return tuple(known[name] for name in names)


def _kept(summary: Summary, path: Path) -> Values:
    """Return what the class that is worst off keeps, in per cent; a class that does not come keeps all."""
    kept: Values = np.where(summary.track.rate_rps > 0, path.kept, 1.0).min(axis=1) * 100.0
    return kept


def _size(summary: Summary) -> int:
    return max(math.ceil(len(summary.track.known) / MOST_POINTS), 1)


def _columns(summary: Summary, series: Mapping[str, tuple[Values, Gather]], digits: int = 4) -> Columns:
    """Gather neighbours into points; a point none of whose steps is known is a gap."""
    track, size = summary.track, _size(summary)
    starts = range(0, len(track.known), size)
    known = [np.flatnonzero(track.known[i : i + size]) + i for i in starts]
    ends = [float(track.ends_s[min(i + size, len(track.known)) - 1]) for i in starts]

    def points(values: Values, gather: Gather) -> list[Number]:
        return [float(f"{gather(values[steps]):.{digits}g}") if steps.size else None for steps in known]

    group = "all"
    return Columns(
        "at",
        {group: [round(end) for end in ends]},
        {group: {name: points(values, gather) for name, (values, gather) in series.items()}},
    )
