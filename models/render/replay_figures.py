"""Draw a replay: its timeline over shared time, and what each policy paid for its attainment."""

import math
from collections.abc import Mapping, Sequence

from models.render import palette
from models.render.charts import LOGARITHMIC_TICKS, points, time_panels
from models.render.figure import Choice, Figure, Rows, Toggles
from models.render.formats import number, seconds, share
from models.render.panels import Label, Mark, Panel, Scale
from models.render.timeline import (
    attainment_columns,
    class_names,
    fleet_roles,
    held_columns,
    load_columns,
    state_columns,
    thinning,
    ttft_columns,
)
from models.simulation.scorecard import PolicyResult, ReplayResult


def timeline_figure(result: ReplayResult, tested: PolicyResult) -> Figure | None:
    """Stack load, GPUs, states, attainment and TTFT over one time axis; `None` without a timeline."""
    if not tested.timeline:
        return None
    names = [p.policy for p in result.policies]
    policies = palette.policies(names)
    classes = palette.series(class_names(tested), first=5)
    states = palette.states(fleet_roles(result))
    budget = result.budget_gpus
    limits = [
        Mark(c.slo.ttft_s * 1e3, f"{c.name} promise {seconds(c.slo.ttft_s)}")
        for c in result.classes
        if c.slo.ttft_s is not None
    ]
    columns = held_columns(result)
    fullest = max((v for group in columns.values.values() for s in group.values() for v in s if v), default=1)
    # Room above the highest line for the name that stands on it.
    top = 1.15 * max(fullest, budget or 0)
    caps = (Mark(budget, f"budget {budget} GPUs"),) if budget is not None else ()
    target = result.target_attainment
    # A target lies close under 100 %, where there is no room above it.
    aims = (Mark(target * 100, f"target {share(target)}", below=True),) if target is not None else ()
    panels = (
        Panel("load", "Load, requests per second", "load", classes, shown="classes"),
        Panel("held", "GPUs held by each policy", "held", policies, "step", "d", "policies",
              marks=caps, top=top),
        Panel("states", "GPUs of the chosen policy by state", "states", states, "stack", "d",
              chosen="focus", marks=caps, top=top),
        Panel("attained", "Kept promises of the chosen policy, %", "attained", classes,
              format=".2~f", shown="classes", chosen="focus", marks=aims, top=100.0, bottom=None),
        Panel("ttft", "TTFT p95, all requests, ms, logarithmic", "ttft", policies, format=",.3~r",
              shown="policies", marks=tuple(limits), logarithmic=True),
    )  # fmt: skip
    parameters = {"classes": [s.name for s in classes], "policies": names, "focus": tested.policy}
    peak = max(sum(p.arrivals_rps.values()) for p in tested.timeline)
    return Figure(
        name="timeline",
        title="The replayed time",
        summary=f"Stacked panels over time: load up to {number(peak)} requests per second, GPUs held by "
        f"{', '.join(names)}, attainment and TTFT. The tables on this page hold the figures.",
        spec=time_panels(panels, parameters),
        data={
            "load": load_columns(tested),
            "held": columns,
            "states": state_columns(result),
            "attained": attainment_columns(result),
            "ttft": ttft_columns(result),
        },
        caption="Drag to move in time, pinch or hold Ctrl and scroll to zoom; or use the buttons, or + - and "
        "the arrow keys.",
        controls=(
            Toggles("Policies", policies, "policies"),
            Toggles("Classes", classes, "classes"),
            Choice("Chosen policy", tuple(names), tested.policy, "focus"),
            Toggles("States", states, filled=True),
        ),
        zoom="load",
        notes=(thinning(result),),
    )


def trade_figure(result: ReplayResult) -> Figure | None:
    """Draw attainment against GPU-hours, a point a policy; `None` when nothing can be compared."""
    scored = [p for p in result.policies if p.slo_attainment is not None]
    if not scored:
        return None
    rows: tuple[dict[str, float | str], ...] = tuple(
        {
            "x": round(p.gpu_hours, 2),
            # A logarithm has no zero: none missed stands where half a request would.
            "y": float(f"{100 * max(1 - (p.slo_attainment or 0.0), 0.5 / max(p.requests, 1)):.4g}"),
            "series": p.policy,
        }
        for p in scored
    )
    target = result.target_attainment
    aims = (Mark((1 - target) * 100, f"target {share(target)} kept"),) if target and target < 1 else ()
    spec = points(
        "trade",
        palette.policies(p.policy for p in scored),
        Scale("GPU-hours", ",.4~r", zero=False),
        Scale(
            "Missed promises, % (logarithmic, up is better)",
            ",.3~r",
            logarithmic=True,
            reverse=True,
            ticks=LOGARITHMIC_TICKS,
        ),
        labels=_names(rows),
        marks=aims,
        height=260,
    )
    said = "; ".join(
        f"{p.policy} {share(p.slo_attainment)} with {number(p.gpu_hours)} GPU-hours" for p in scored
    )
    return Figure(
        name="trade",
        title="What attainment cost",
        summary=f"Attainment against GPU-hours: {said}.",
        spec=spec,
        data={"trade": Rows(rows)},
        caption="Up is fewer missed promises, left is fewer GPU-hours.",
    )


def _names(rows: Sequence[Mapping[str, float | str]]) -> list[Label]:
    """Place the names of points so that those of near neighbours do not cover each other."""
    spots = [(float(r["x"]), math.log(float(r["y"])), str(r["series"])) for r in rows]
    wide = max(x for x, _, _ in spots) - min(x for x, _, _ in spots) or 1.0
    high = max(y for _, y, _ in spots) - min(y for _, y, _ in spots) or 1.0
    middle = min(x for x, _, _ in spots) + wide / 2
    placed: list[tuple[float, float, int]] = []
    labels = []
    for x, y, name in sorted(spots, key=lambda spot: -spot[1]):
        near = [up for a, b, up in placed if abs(a - x) < 0.15 * wide and abs(b - y) < 0.08 * high]
        up = max(near, default=-1) + 1
        placed.append((x, y, up))
        labels.append(Label(name, left=x > middle, lines_up=up))
    return labels
