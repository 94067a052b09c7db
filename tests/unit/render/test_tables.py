import json
import subprocess
import sys
from dataclasses import replace

import pytest

from models.render.profile_grid import layout_grid, prefill_rate
from models.render.tables import profile_table, recommendation_table, replay_table
from models.simulation.scorecard import Percentiles
from models.surface import Surface
from models.values import Role
from tests.components import REPOSITORY
from tests.unit.render.report_values import held_record, layout, profile, record, replay_result


def cells(text: str, row: str) -> list[str]:
    """Return the cells of the line that begins with this word."""
    line = next(line for line in text.splitlines() if line.startswith(row))
    return [cell for cell in line.split("   ") if cell.strip()]


def test_the_replay_table_shows_every_policy_with_its_figures_and_one_verdict() -> None:
    result = replay_result(("headgate", "static-peak"))
    headgate, peak = result.policies
    result = replace(
        result,
        policies=(
            replace(headgate, gpu_hours=592.04, slo_attainment=0.9951, scale_events=46),
            replace(peak, gpu_hours=1056.0),
        ),
    )

    text = replay_table(result)

    assert text.splitlines()[0].split("   ")[0] == "POLICY"
    row = [cell.strip() for cell in cells(text, "headgate ")]
    assert row[0] == "headgate"
    assert row[1] == "99.51 %"
    assert row[4:6] == ["592", "0.56x"]
    assert row[6:] == ["142 ms", "218 ms", "291 ms", "5.1 ms", "46"]
    assert text.endswith("\n")
    assert text.splitlines()[-1].startswith("Headgate kept its promise with 44 % fewer GPU-hours")


def test_the_wide_replay_table_accounts_for_every_request() -> None:
    text = replay_table(replay_result(("headgate",)), wide=True)

    for head in ("REQUESTS", "COMPLETED", "REJECTED", "IN FLIGHT", "SKIPPED ROWS", "POLICY CPU", "WALL"):
        assert head in text.splitlines()[0]
        assert head not in replay_table(replay_result(("headgate",))).splitlines()[0]


def test_a_missing_figure_is_a_dash_with_its_reason() -> None:
    result = replay_result(("headgate",))
    silent = replace(result.policies[0], completed=0, ttft_s=Percentiles(), itl_s=Percentiles())

    text = replay_table(replace(result, policies=(silent,)))

    assert cells(text, "headgate")[-2].strip() == "-"
    assert "- for headgate: no request completed" in text
    assert "- in vs static-peak: it was not replayed" in text


def test_the_recommendation_says_counts_band_and_why_per_role() -> None:
    text = recommendation_table(record())

    assert "shop at 2026-11-27 17:00 UTC: change prefill 18 -> 24 and decode 4 -> 3" in text
    counts = ["prefill", "18", "24", "24-31", "31", "budget (pages)"]
    assert [c.strip() for c in cells(text, "prefill ")] == counts
    assert "prefill 18 -> 24: p90 forecast 261 rps in 6 min needs 30.4 replicas" in text
    assert "Unknown: latency of email: no finished request in the window" in text
    assert "GUARD" not in text
    assert "GUARD" in recommendation_table(record(), wide=True)


def test_a_wide_recommendation_says_what_one_replica_fewer_and_one_more_would_attain() -> None:
    wide = recommendation_table(record(), wide=True)

    assert [c.strip() for c in cells(wide, "prefill ")][5:9] == [
        "budget (pages)",
        "96.55 %",
        "98.71 %",
        "99.32 %",
    ]
    # Of a record that was written before neighbours were predicted nothing is claimed.
    assert [c.strip() for c in cells(wide, "decode ")][5:9] == ["e2e", "-", "-", "-"]


def test_a_held_recommendation_says_that_too_little_is_known() -> None:
    text = recommendation_table([record(), held_record()])

    assert "hold: too little is known to change anything" in text
    assert "- in band, uncapped, binding: demand is 410 s old" in text
    assert "Unknown: demand: Prometheus did not answer within 10 s" in text


def test_the_profile_lists_selected_layouts_first_and_says_what_was_left_out() -> None:
    text = profile_table(profile())

    first, second = text.splitlines()[4:6]
    assert first.split()[:3] == ["prefill", "TP1", "yes"]
    assert second.split()[:3] == ["decode", "TEP4", "yes"]
    assert "Runner-up: prefill=TP2, decode=TEP4: needs 36 GPUs" in text
    assert "TP8      decode    8 key-value heads" in text


def test_a_reading_outside_the_grid_is_a_dash_and_not_an_extrapolation() -> None:
    short = replace(layout(Role.PREFILL, 1), prefill=Surface((64.0, 512.0), (1.0,), ((0.01,), (0.02,))))
    narrow = profile(layouts=(short, layout(Role.DECODE, 1)))

    rows = layout_grid(narrow).rows

    assert all(row[7:10] == ("-", "-", "-") for row in rows)


def test_the_prefill_rate_keeps_to_what_one_iteration_may_hold() -> None:
    prefill = layout(Role.PREFILL, 1)
    surface, limit = prefill.prefill, prefill.limits.max_num_batched_tokens
    assert surface is not None
    reachable = [x * y / surface.at(x, y) for x in surface.x for y in surface.y if x * y <= limit]

    assert prefill_rate(prefill) == pytest.approx(max(reachable))


def test_tables_load_neither_charts_nor_templates() -> None:
    script = "import json, sys, models.render.tables; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )

    loaded = set(json.loads(ran.stdout))
    assert loaded.isdisjoint({"altair", "vl_convert", "jinja2", "rich", "models.render.charts"})
