"""Play the whole loop on real servers for longer than a test may, and draw what happened.

A live Dynamo with simulated engines, scraped by a real Prometheus, its graph in a real API server, load that
climbs and falls, and `headgate run` in charge. The picture goes to `tests/bench/figures/live_loop.svg`.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import altair as alt
import numpy as np
import vl_convert

from models.values import Role
from tests.integration import kube_apiserver
from tests.live.stage import GPUS, Played, play, static_peak_gpu_s
from tests.live.story import TTFT_S, Ramp

FIGURE = Path(__file__).parent / "figures" / "live_loop.svg"
RAMP = Ramp(low_rps=1.5, high_rps=9.0, rest_s=60.0, climb_s=240.0, stay_s=90.0, fall_s=120.0, after_s=90.0)
COLD_START_S = 20.0
INTERVAL_S = 5
COLOURS = {"asked for": "#2563c9", "ready": "#15803d"}


def run() -> dict[str, str]:
    """Play once; return one line a figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("kube", "stage"):
            (folder / part).mkdir()
        with kube_apiserver.serving(folder / "kube") as cluster:
            played = play(folder / "stage", cluster, RAMP, COLD_START_S, INTERVAL_S)
        static_gpu_s = static_peak_gpu_s(folder, RAMP)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    FIGURE.write_text(chart(played) + "\n")
    firsts = [each.ttft_s for each in played.answers if each.ttft_s is not None]
    return {
        "requests, and those never answered": f"{len(played.answers)}, {len(played.answers) - len(firsts)}",
        "promises kept, as clients saw it": f"{played.attainment:.2%}",
        "TTFT p50 and p99 (s)": f"{np.quantile(firsts, 0.5):.2f}, {np.quantile(firsts, 0.99):.2f}",
        "GPU-seconds, and x those of a peak fleet": f"{played.gpu_s:.0f}, {played.gpu_s / static_gpu_s:.2f}",
        "most replicas ready": ", ".join(f"{role} {played.most(role)}" for role in GPUS),
    }


def _of(rows: Sequence[Mapping[str, object]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def chart(played: Played) -> str:
    """Draw load, replicas and the time to the first token over the same minutes, as SVG."""
    minutes = [(at_s, RAMP.rate_rps(at_s)) for at_s in np.linspace(0.0, RAMP.lasts_s, 200)]
    replicas = [
        {
            "minute": (count.at_s - played.began_s) / 60.0,
            "replicas": counted[role],
            "which": which,
            "role": role,
        }
        for count in played.counts
        if 0.0 <= count.at_s - played.began_s <= RAMP.lasts_s
        for which, counted in (("asked for", count.desired), ("ready", count.ready))
        for role in GPUS
    ]
    firsts = [
        {"minute": each.sent_s / 60.0, "ttft": each.ttft_s}
        for each in played.answers
        if each.ttft_s is not None
    ]
    scale = alt.Scale(domain=[0, RAMP.lasts_s / 60.0], nice=False)
    across = alt.X("minute:Q", title=None, scale=scale)
    rates = [{"minute": at_s / 60.0, "rate": rate} for at_s, rate in minutes]
    size = {"width": 620, "height": 90}
    load = _of(rates).mark_line(color="#374151").encode(across, alt.Y("rate:Q", title="requests/s"))
    panels = [load.properties(**size)]
    for role in (Role.PREFILL, Role.DECODE):
        mine = [row for row in replicas if row["role"] is role]
        colour = alt.Color(
            "which:N",
            title=None,
            scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
            legend=alt.Legend(orient="top-right") if role is Role.PREFILL else None,
        )
        up = alt.Y("replicas:Q", title=f"{role} replicas", axis=alt.Axis(tickMinStep=1))
        line = _of(mine).mark_line(interpolate="step-after", strokeWidth=2)
        panels.append(line.encode(across, up, colour).properties(**size))
    late = alt.Y("ttft:Q", title="TTFT (s)")
    points = _of(firsts).mark_point(filled=True, size=8, opacity=0.6, color="#374151")
    limit = _of([{"limit": TTFT_S}]).mark_rule(strokeDash=[3, 3], color="#c2570c").encode(y="limit:Q")
    last = alt.X("minute:Q", title="minutes", scale=scale)
    panels.append(alt.layer(points.encode(last, late), limit).properties(**size))
    heading = alt.Title(
        "The whole loop, live: load, replicas, and what users waited",
        subtitle=f"Dynamo with simulated engines, a cold start of {COLD_START_S:.0f} s; dashed: the promise",
        anchor="start",
    )
    drawn = alt.vconcat(*panels).properties(title=heading, background="white")
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return str(vl_convert.vegalite_to_svg(drawn.to_json(), vl_version=version))
