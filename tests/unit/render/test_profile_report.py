"""A profile's report says what was measured, how well it is known, who lost, and what rests on no data."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from models.artifact import Phase, Profile
from models.render.document import Chart, Folded
from models.render.profile_facts import effort_facts, selection_facts
from models.render.profile_fit_grid import fit_grid
from models.render.profile_grid import layout_grid
from models.render.profile_page import document, render
from models.render.profile_ranking_grid import ranking_grid
from models.render.profile_residual_figures import MOST_POINTS, residual_figures
from models.render.profile_surface_figures import DECODE, PREFILL, heat_figure, measured_figure
from models.render.tables import profile_table
from models.render.verdict import Tone
from models.values import Role
from tests.unit.render.report_values import measured_profile, profile


def figure_data(figure: Any, name: str) -> Any:
    return figure.data[name].plain()


def rows(figure: Any, name: str) -> list[dict[str, Any]]:
    """Spread bundles as the page does."""
    plain = figure_data(figure, name)
    return [
        {**dict(zip(plain["fields"], values, strict=True)), "series": series, "group": group}
        for group, bundle in plain["bundles"].items()
        for series, columns in bundle.items()
        for values in zip(*columns, strict=True)
    ]


def test_the_ranking_says_why_each_lost() -> None:
    grid = ranking_grid(measured_profile())

    assert [row[0] for row in grid.rows][:2] == ["prefill=TP1 decode=TEP4", "prefill=TP2 decode=TEP4"]
    assert grid.rows[0][-1] == "selected"
    assert grid.rows[0][1:5] == ("20 + 3", "32", "99.43 %", "5.59")
    assert "needs 60 GPUs" in grid.rows[3][-1]
    assert grid.strong == {0}


def test_the_terminal_shows_error_mark_ranking_and_what_would_change_the_choice() -> None:
    text = profile_table(measured_profile())

    assert re.search(r"^decode +DEP32 \* +GB200 +- +32 +2\.1 %", text, re.MULTILINE)
    assert "* extrapolated, DEP32: its all-to-all among 32 GPUs was measured among 4 only" in text
    assert re.search(r"^aggregated=TEP4 +15 +60 +99\.07 % +2\.97 +needs 60 GPUs", text, re.MULTILINE)
    assert "Would change the choice: a TTFT of 240 ms instead of 300 ms" in text
    assert "Points measured: 214 of 1,080 in the grid (20 %)\nCost of the sweep: 188 GPU-minutes" in text
    assert "WORST RESIDUAL" not in text
    assert "WORST RESIDUAL" in profile_table(measured_profile(), wide=True)


def test_a_computed_profile_says_so_instead_of_an_error() -> None:
    grid = layout_grid(profile())

    error = next(i for i, column in enumerate(grid.columns) if column.title == "error")
    assert {row[error] for row in grid.rows} == {"computed"}
    assert "hardware" not in [column.title for column in grid.columns]
    assert fit_grid(profile()).rows == ()
    assert [section.anchor for section in document(profile()).sections].count("errors") == 0


def test_each_measured_surface_has_its_errors_and_its_reach() -> None:
    kept = measured_profile()

    grid = fit_grid(kept)

    # Four prefill, five decode layouts, and one aggregated with both phases.
    assert len(grid.rows) == 11
    row = next(row for row in grid.rows if row[:2] == ("decode", "TEP4 on GB200"))
    layout = kept.artifact.layout(Role.DECODE, "TEP4")
    worst = max(layout.measured, key=lambda p: abs(p.residual_ratio or 0))
    assert row[3:6] == ("10", "60", "2.1 %")
    assert row[7].startswith(f"{'+' if (worst.residual_ratio or 0) > 0 else '-'}")
    assert row[9] == "512 to 128k tokens, batch to 64"


def test_facts_name_hardware_budgets_prices_and_the_fleet_of_each_role() -> None:
    facts = dict(selection_facts(measured_profile().artifact))

    assert facts["GPU budget"] == "32 H100 and 36 GB200"
    assert facts["Prices, as stated"] == "2.5 per H100 GPU-hour and 6 per GB200 GPU-hour"
    assert facts["decode"] == "TEP4 x 3 on GB200"
    assert facts["GPUs"] == "32: 20 H100 and 12 GB200"
    assert "on average of 11.6k prompt (up to 24k)" in facts["Question"]
    assert dict(effort_facts(measured_profile().artifact))["Cost of the sweep"] == "188 GPU-minutes"


def test_ttft_carries_the_overhead_and_itl_does_not() -> None:
    artifact = measured_profile().artifact
    prefill, decode = artifact.layout(Role.PREFILL, "TP1"), artifact.layout(Role.DECODE, "TEP4")
    assert prefill.prefill is not None
    assert decode.decode is not None

    heat = heat_figure(artifact, PREFILL, [prefill], "h")
    itl = heat_figure(artifact, DECODE, [decode], "i")

    shown = figure_data(heat, "h-cells")["cells"]["TP1 on H100"]["values"][0][0]
    assert shown == pytest.approx((prefill.prefill.values_s[0][0] + prefill.overhead_s) * 1e3, rel=1e-3)
    assert figure_data(itl, "i-cells")["cells"]["TEP4 on GB200"]["values"][0][0] == pytest.approx(
        decode.decode.values_s[0][0] * 1e3, rel=1e-3
    )


def test_lines_have_bands_points_have_bars_and_both_stay_inside_the_data() -> None:
    artifact = measured_profile().artifact
    decode = artifact.layout(Role.DECODE, "TEP4")

    figure = measured_figure(artifact, DECODE, [decode], "m")

    assert decode.decode is not None
    lines, points = rows(figure, "m-lines"), rows(figure, "m-points")
    assert all(row["low"] < row["y"] < row["high"] for row in (*lines, *points))
    assert max(row["x"] for row in lines) == decode.decode.reach.y[1]
    measured = [p for p in decode.measured if p.phase is Phase.DECODE]
    assert len(points) == len(measured)
    first = min(measured, key=lambda p: (p.tokens, p.batch))
    row = next(r for r in points if (r["x"], r["series"]) == (first.batch, "with 512 tokens"))
    assert (row["high"] - row["low"]) / 2e3 == pytest.approx(first.error_s, rel=0.02)


def test_layouts_without_measurements_have_no_measured_lines() -> None:
    artifact = profile().artifact

    assert measured_figure(artifact, DECODE, artifact.layouts, "m") is None
    assert residual_figures(artifact) == []


def test_residuals_are_drawn_for_every_point_and_thinned_where_they_are_too_many() -> None:
    artifact = measured_profile().artifact
    count = sum(len(layout.measured) for layout in artifact.layouts)

    fitted, residuals = residual_figures(artifact)

    assert len(rows(residuals, "residuals")) == len(rows(fitted, "fitted")) == count
    first = artifact.layouts[0].measured[0]
    assert rows(residuals, "residuals")[0]["y"] == pytest.approx((first.residual_ratio or 0) * 100, rel=1e-3)
    # Eleven surfaces are more than there are colours.
    assert {row["series"] for row in rows(fitted, "fitted")} == {
        "prefill TTFT",
        "decode ITL",
        "aggregated TTFT",
        "aggregated ITL",
    }
    few = residual_figures(replace(artifact, layouts=artifact.layouts[:6]))[0]
    assert len({row["series"] for row in rows(few, "fitted")}) == 6
    many = replace(artifact.layouts[0], measured=artifact.layouts[0].measured * 150)
    thinned = residual_figures(replace(artifact, layouts=(many, *artifact.layouts[1:])))
    assert len(rows(thinned[0], "fitted")) == MOST_POINTS
    assert "1,200 points of" in thinned[0].notes[0]


def test_selected_layouts_stand_open_and_the_others_are_folded() -> None:
    surfaces = next(s for s in document(measured_profile()).sections if s.anchor == "surfaces")

    shown = [block.figure.name for block in surfaces.blocks if isinstance(block, Chart)]
    folded = {block.summary: block for block in surfaces.blocks if isinstance(block, Folded)}
    assert shown == [
        "ttft",
        "itl",
        "prefill-surface",
        "prefill-measured",
        "decode-surface",
        "decode-measured",
    ]
    assert set(folded) == {"TTFT of 4 other layouts", "ITL of 5 other layouts"}


def test_an_extrapolated_choice_is_told_in_the_verdict() -> None:
    kept = measured_profile()
    assert kept.artifact.selection is not None
    wide = replace(
        kept.artifact.selection,
        layouts={Role.PREFILL: "TP1", Role.DECODE: "DEP32"},
        replicas={Role.PREFILL: 20, Role.DECODE: 1},
    )

    verdict = document(Profile(replace(kept.artifact, selection=wide), kept.digest)).verdict

    assert verdict.tone is Tone.MIXED
    assert verdict.details[-1] == (
        "DEP32 for decode is extrapolated: its all-to-all among 32 GPUs was measured among 4 only."
    )


def test_an_imported_profile_claims_no_fleet() -> None:
    kept = profile(question=None)

    verdict = document(kept).verdict

    assert verdict.headline == "The profile holds TP1 for prefill and TEP4 for decode."
    assert "20 x TP1" not in str(dict(selection_facts(kept.artifact)))


def test_the_page_shows_what_would_change_the_choice_and_what_rests_on_no_data() -> None:
    html = render(measured_profile())

    for said in (
        "What would change the choice",
        "a TTFT of 240 ms",
        "Figures that rest on no data of their own",
    ):
        assert said in html
    assert len(html.encode()) <= 1_500_000


def test_a_profile_too_large_for_a_page_keeps_the_selected_layouts_whole() -> None:
    kept = measured_profile()
    # Sixteen times the layouts with sixteen times the points: as a sweep of every layout has.
    crowd = tuple(
        replace(layout, measured=layout.measured * 16, parallelism=replace(layout.parallelism, pp=2 + i))
        for i in range(6)
        for layout in kept.artifact.layouts
    )
    large = replace(kept.artifact, layouts=(*kept.artifact.layouts, *crowd))

    html = render(Profile(large, kept.digest))

    exported = json.loads(re.findall(r'id="report">(.*?)</script>', html, re.DOTALL)[0])["profile"]
    assert len(html.encode()) <= 1_500_000
    held = {
        (plain["role"], layout.parallelism.name): plain["measured"]
        for plain, layout in zip(exported["layouts"], large.layouts, strict=True)
    }
    assert len(held["decode", "TEP4"]) == len(kept.artifact.layout(Role.DECODE, "TEP4").measured)
    assert held["decode", "TP2"] == []
    assert len(exported["layouts"]) == len(large.layouts)
    assert exported["selection"]["layouts"] == {"prefill": "TP1", "decode": "TEP4"}
