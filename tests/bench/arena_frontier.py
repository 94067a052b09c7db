"""Sweep what Headgate aims at and what the HPA aims at on one day, and draw both frontiers.

`python -m tests.bench.arena_frontier` writes the chart of the README to `tests/bench/figures/frontier.svg`.
A point is dominated where the other side reaches its attainment with fewer GPU-hours, at its points or
on straight lines between them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from planner.contest import HEADGATE
from tests.bench.arena import HPA, ORACLE, PEAK
from tests.bench.arena_hpa import Tuning
from tests.bench.arena_runs import Outcome, Runs, Task
from tests.bench.arena_scenarios import TARGET, scenarios

FIGURE = Path(__file__).parent / "figures" / "frontier.svg"
AIMS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.999)
SHARES = (1.15, 1.1, 1.05, 1.02, 1.0, 0.97, 0.95, 0.9, 0.85, 0.8)
# Labels of points whose GPU-hours differ by less than this share would lie upon each other.
LABEL_ROOM = 0.02
COLOURS = {HEADGATE: "#2563c9", HPA: "#c2570c", ORACLE: "#15803d", PEAK: "#6b7280"}

_SERVEGEN = "ServeGen m-small (Apache-2.0), minutes sampled inside recorded windows"
SOURCES = {
    "conversation": "Azure LLM inference trace 2024 (CC-BY 4.0), minutes digitised",
    "servegen": _SERVEGEN,
    "servegen-nights": _SERVEGEN,
}

Point = tuple[float, float]


def sweep(scenario: str, startup_s: float, seed: int, runs: Runs) -> dict[str, list[Outcome]]:
    """Replay both sweeps, and the bounds."""
    ours = [Task(scenario, startup_s, seed, HEADGATE, attainment=aim) for aim in AIMS]
    theirs = [Task(scenario, startup_s, seed, HPA, Tuning(share, share)) for share in SHARES]
    bounds = {name: runs.of([Task(scenario, startup_s, seed, name)]) for name in (ORACLE, PEAK)}
    return {HEADGATE: runs.of(ours), HPA: runs.of(theirs), **bounds}


def cost_at(attainment: float, rival: Sequence[Point]) -> float | None:
    """Return the GPU-hours with which a rival reaches an attainment; `None` where none of its points does.

    Points are (attainment, GPU-hours).
    """
    costs = [hours for kept, hours in rival if kept >= attainment]
    for low, low_hours in rival:
        for high, high_hours in rival:
            if low < attainment <= high:
                share = (attainment - low) / (high - low)
                costs.append(low_hours + share * (high_hours - low_hours))
    return min(costs, default=None)


def dominated(point: Point, rival: Sequence[Point]) -> bool:
    """Say whether the rival reaches as much with fewer GPU-hours."""
    cost = cost_at(point[0], rival)
    return cost is not None and cost < point[1]


def figures(found: dict[str, list[Outcome]]) -> dict[str, str]:
    """Return a line a point, and the verdict."""
    points = {name: [(o.attainment, o.gpu_hours) for o in some] for name, some in found.items()}
    said: dict[str, str] = {}
    lost = 0
    for outcome, point in zip(found[HEADGATE], points[HEADGATE], strict=True):
        worse = dominated(point, points[HPA])
        lost += worse
        theirs = cost_at(point[0], points[HPA])
        beside = "beyond its reach" if theirs is None else f"{point[1] / theirs:.3f} x the HPA's"
        mark = "DOMINATED, " if worse else ""
        said[f"headgate aims at {outcome.task.attainment:.1%}"] = f"{_line(point)}: {mark}{beside}"
    for outcome, point in zip(found[HPA], points[HPA], strict=True):
        share = outcome.task.tuning.prefill if outcome.task.tuning else 0.0
        said[f"hpa aims at x{share:g}"] = _line(point)
    for name in (ORACLE, PEAK):
        said[name] = _line(points[name][0])
    said["never dominated by the HPA"] = "met" if not lost else f"NOT MET at {lost} of {len(AIMS)} aims"
    return said


def _line(point: Point) -> str:
    return f"{point[0]:.2%} with {point[1]:.1f} GPU-hours"


def labelled(sweep: Sequence[Outcome], outcome: Outcome) -> bool:
    """Say whether a point's aim finds room: the loosest of those that bought nearly the same."""
    near = [o for o in sweep if abs(o.gpu_hours - outcome.gpu_hours) < LABEL_ROOM * outcome.gpu_hours]
    return outcome.task.attainment == min(o.task.attainment for o in near)


def chart(found: dict[str, list[Outcome]], title: str, source: str) -> str:
    """Draw GPU-hours over the share that missed its promise, on a logarithmic axis, as SVG."""
    import altair as alt
    import vl_convert

    rows = [
        {
            "policy": name,
            # Less than one request in 10,000 is drawn as that.
            "missed": max(1.0 - o.attainment, 1e-4),
            "hours": o.gpu_hours,
            "aim": f"aim {o.task.attainment:.1%}" if name == HEADGATE and labelled(some, o) else "",
        }
        for name, some in found.items()
        for o in some
    ]
    colour = alt.Color(
        "policy:N",
        title=None,
        scale=alt.Scale(domain=list(found), range=[COLOURS[name] for name in found]),
        legend=alt.Legend(orient="top-right", symbolStrokeWidth=2),
    )
    missed = alt.X(
        "missed:Q",
        title="requests that missed their promise",
        scale=alt.Scale(type="log", domain=[1e-4, 0.5]),
        axis=alt.Axis(format="~%", values=[1e-4, 1e-3, 1e-2, 1e-1, 0.5]),
    )
    hours = alt.Y("hours:Q", title="GPU-hours", scale=alt.Scale(zero=False))
    base = alt.Chart(alt.InlineData(values=rows)).encode(x=missed, y=hours, color=colour)
    heading = alt.Title(title, subtitle=source, anchor="start")
    target = alt.Chart(alt.InlineData(values=[{"missed": 1 - TARGET}]))
    drawn = alt.layer(
        target.mark_rule(strokeDash=[3, 3], color="#6b7280").encode(x="missed:Q"),
        base.mark_line(strokeWidth=2, opacity=0.7),
        base.mark_point(filled=True, size=60, opacity=1),
        base.mark_text(align="left", dx=7, dy=-5, fontSize=10).encode(text="aim:N"),
    ).properties(width=620, height=300, title=heading, background="white")
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return str(vl_convert.vegalite_to_svg(drawn.to_json(), vl_version=version))


def _main() -> None:
    parser = argparse.ArgumentParser(description="Draw the frontiers of Headgate and the HPA on one day.")
    parser.add_argument("--scenario", default="day")
    parser.add_argument("--startup", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--known", type=Path, default=None, help="a file that keeps outcomes")
    parser.add_argument("--again", nargs="*", default=[], help="policies to replay though they are known")
    parser.add_argument("--out", type=Path, default=FIGURE)
    asked = parser.parse_args()
    runs = Runs(asked.processes, asked.known, asked.again)
    found = sweep(asked.scenario, asked.startup, asked.seed, runs)
    for figure, value in figures(found).items():
        print(f"{figure:<34} {value}", flush=True)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    scenario = next(s for s in scenarios() if s.key == asked.scenario)
    title = f"GPU-hours and kept promises: {scenario.name}, start-up {asked.startup:.0f} s"
    source = f"Recorded shape: {SOURCES[scenario.service]}; scaled, requests drawn anew"
    asked.out.write_text(chart(found, title, source) + "\n")


if __name__ == "__main__":
    _main()
