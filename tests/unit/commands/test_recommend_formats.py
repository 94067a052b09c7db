"""Every format of a recommendation can be read back, and says the same."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from planner.cli import headgate
from tests.unit.loop.ground import frontend, prepare
from tests.unit.observe.http_server import answering

PRICE = "    price: {gpu_h: {gb200: 10}, billed: gpu, currency: EUR}\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("ground")
    with answering(frontend) as prometheus:
        config = prepare(folder, prometheus.url)
        config.write_text(config.read_text() + PRICE)
        found = {}
        for output in ("json", "yaml", "csv", "markdown", "html", "table", "wide"):
            arguments = ["recommend", "--config", str(config), "--cluster-state", str(folder / "state.yaml")]
            at = ["--at", "2026-11-20T09:30:00Z", "--history", "2h"]
            result = CliRunner().invoke(headgate, [*arguments, *at, "-o", output])
            assert result.exception is None, result.output
            found[output] = result.stdout
    return found


def told(written: dict[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(written["json"])
    return body


def test_yaml_is_the_same_document_as_json(written: dict[str, str]) -> None:
    assert yaml.safe_load(written["yaml"]) == told(written)


def test_csv_holds_a_row_a_role_with_the_same_counts(written: dict[str, str]) -> None:
    rows = list(csv.DictReader(io.StringIO(written["csv"])))
    decision = told(written)["decision"]

    assert {row["role"]: int(row["current"]) for row in rows} == decision["current"]
    assert {row["role"]: int(row["recommended"]) for row in rows} == decision["final"]
    saved = told(written)["outlook"]["saves_gpu_h"]
    assert {float(row["deployment_gpu_hours_saved_per_month"]) for row in rows} == {saved}


def test_markdown_has_a_table_of_the_roles_and_a_line_each(written: dict[str, str]) -> None:
    lines = written["markdown"].splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    decision = told(written)["decision"]

    assert lines[0].startswith("## shop: change prefill 4")
    for role, count in decision["final"].items():
        assert any(row[:3] == [role, str(decision["current"][role]), str(count)] for row in cells)
        assert any(line.startswith(f"- {role} ") for line in lines)


def test_a_month_is_told_in_gpu_hours_and_in_money(written: dict[str, str]) -> None:
    outlook = told(written)["outlook"]

    # A prefill replica of 1 GPU and a decode replica of 4 fewer: 730 hours at 10 EUR each.
    assert outlook["saves_gpu_h"] == 3650.0
    assert outlook["saves_money"] == pytest.approx(36_500.0)
    assert outlook["currency"] == "EUR"
    assert 0 <= outlook["now"]["risk"] <= outlook["after"]["risk"] < 0.01
    said = "saves 3,650 GPU-hours, of 14,600; saves 36,500 EUR (730 h)"
    for output in ("table", "wide", "markdown", "html"):
        assert said in written[output].replace("\\", "")


def test_a_page_is_whole(written: dict[str, str], tmp_path: Path) -> None:
    assert written["html"].startswith("<!DOCTYPE html>")
    assert written["html"].rstrip().endswith("</html>")
    assert "Promise after" in written["html"]


def test_without_a_cluster_no_patch_is_told(written: dict[str, str]) -> None:
    assert told(written)["patches"] == []
