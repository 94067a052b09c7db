"""Draw a replay: its timeline over shared time, and what each policy paid for its attainment."""

from models.render import palette
from models.render.charts import Label, Mark, Panel, Scale, points, time_panels
from models.render.figure import Choice, Figure, Rows, Toggles
from models.render.formats import number, seconds, share
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
    aims = (Mark(target * 100, f"target {share(target)}"),) if target is not None else ()
    panels = (
        Panel("load", "Load, requests per second", "load", classes, shown="classes"),
        Panel("held", "GPUs held by each policy", "held", policies, "step", "d", "policies",
              marks=caps, top=top),
        Panel("states", "GPUs of the chosen policy by role and state", "states", states, "stack", "d",
              chosen="focus", marks=caps, top=top),
        Panel("attained", "Requests of the chosen policy that kept their promise, %", "attained", classes,
              format=".2~f", shown="classes", chosen="focus", marks=aims, top=100.0, bottom=None),
        Panel("ttft", "TTFT p95 over all requests, ms, logarithmic", "ttft", policies, format=",.3~r",
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
    rows = tuple(
        {
            "x": round(p.gpu_hours, 2),
            "y": round((p.slo_attainment or 0.0) * 100, 4),
            "series": p.policy,
        }
        for p in scored
    )
    target = result.target_attainment
    aims = (Mark(target * 100, f"target {share(target)}"),) if target is not None else ()
    spec = points(
        "trade",
        palette.policies(p.policy for p in scored),
        Scale("GPU-hours", ",.4~r", zero=False),
        Scale("Requests that kept their promise, %", ".2~f", zero=False),
        labels=_names(scored),
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
        caption="Up is kept promises, left is fewer GPU-hours. The axes do not begin at zero.",
    )


def _names(scored: list[PolicyResult]) -> list[Label]:
    """Place the policies' names so that those of near neighbours do not cover each other."""
    hours = [p.gpu_hours for p in scored]
    middle, near = (min(hours) + max(hours)) / 2, (max(hours) - min(hours)) * 0.12
    placed: list[tuple[PolicyResult, int]] = []
    labels = []
    for policy in sorted(scored, key=lambda p: p.slo_attainment or 0.0):
        taken = [up for other, up in placed if abs(other.gpu_hours - policy.gpu_hours) <= near]
        lowest = min((p.slo_attainment or 0.0 for p, _ in placed), default=0.0)
        apart = all(
            abs((o.slo_attainment or 0.0) - (policy.slo_attainment or 0.0)) > 0.08 * (1.0 - lowest)
            for o, _ in placed
            if abs(o.gpu_hours - policy.gpu_hours) <= near
        )
        up = 0 if apart else max(taken) + 1
        placed.append((policy, up))
        labels.append(Label(policy.policy, left=policy.gpu_hours > middle, lines_up=up))
    return labels
