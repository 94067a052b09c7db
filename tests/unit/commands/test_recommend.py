"""What the recommend command makes of bad input: one clear line, or a held recommendation."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from markupsafe import escape

from models.errors import HeadgateError
from planner.cli import headgate
from tests.unit.loop.ground import frontend, prepare
from tests.unit.observe.http_server import answering

NOWHERE = "http://127.0.0.1:9"


def recommend(folder: Path, *arguments: str, url: str = NOWHERE, state: bool = True) -> Result:
    config = prepare(folder, url)
    pools = ["--cluster-state", str(folder / "state.yaml")] if state else []
    return CliRunner().invoke(headgate, ["recommend", "--config", str(config), *pools, *arguments])


def refusal(result: Result) -> str:
    assert isinstance(result.exception, HeadgateError), result.output
    return str(result.exception)


def test_an_absent_prometheus_holds_and_says_so(tmp_path: Path) -> None:
    result = recommend(tmp_path, "-o", "json", "--exit-code")

    assert result.exit_code == 4
    said = json.loads(result.stdout)
    assert said["held"]
    assert said["decision"]["final"] == {"prefill": 4, "decode": 4}
    assert any(f"Prometheus at {NOWHERE} cannot be reached" in gap["reason"] for gap in said["gaps"])


def test_without_a_cluster_state_the_pools_stand_at_their_floors_and_this_is_said(tmp_path: Path) -> None:
    with answering(frontend) as prometheus:
        result = recommend(tmp_path, "-o", "json", url=prometheus.url, state=False)

    said = json.loads(result.stdout)
    assert said["decision"]["current"] == {"prefill": 1, "decode": 1}
    assert any(gap["what"] == "pools" and "--cluster-state" in gap["reason"] for gap in said["gaps"])


def test_the_exit_code_is_zero_unless_asked_for(tmp_path: Path) -> None:
    with answering(frontend) as prometheus:
        plain = recommend(tmp_path, url=prometheus.url)
        asked = recommend(tmp_path, "--exit-code", url=prometheus.url)

    assert (plain.exit_code, asked.exit_code) == (0, 3)
    assert "prefill 4 -> 3" in plain.stdout


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-11-27T09:30:00", "has no time zone; add Z for UTC"),
        ("yesterday", "is not a time; write for example 2026-11-27T09:30:00Z"),
        ("2999-01-01T00:00:00Z", "lies in the future"),
    ],
)
def test_a_moment_that_cannot_be_looked_at_is_a_usage_error(tmp_path: Path, at: str, said: str) -> None:
    result = recommend(tmp_path, "--at", at)

    assert result.exit_code == click.UsageError.exit_code
    assert said in result.output


def test_classes_that_prometheus_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    config = prepare(tmp_path, NOWHERE)
    classes = "classes: [{name: pages, match: {input_tokens: {min: 4k}}}, {name: email}]"
    kept = [line for line in config.read_text().splitlines() if "classes:" not in line]
    config.write_text("\n".join([*kept, f"    {classes}"]))

    result = CliRunner().invoke(headgate, ["recommend", "--config", str(config)])

    assert "cannot tell the classes pages, email apart" in refusal(result)


def test_a_configuration_without_prometheus_is_refused(tmp_path: Path) -> None:
    config = prepare(tmp_path, NOWHERE)
    kept = [line for line in config.read_text().splitlines() if not line.startswith("prometheus:")]
    config.write_text("\n".join(kept))

    result = CliRunner().invoke(headgate, ["recommend", "--config", str(config)])

    assert "has no `prometheus` section" in refusal(result)


def test_a_cluster_state_of_other_pools_is_refused(tmp_path: Path) -> None:
    config = prepare(tmp_path, NOWHERE)
    state = tmp_path / "other.yaml"
    state.write_text("pools: {aggregated: {ready: 3}}")

    result = CliRunner().invoke(
        headgate, ["recommend", "--config", str(config), "--cluster-state", str(state)]
    )

    assert "has the pools aggregated, but the configuration plans decode, prefill" in refusal(result)


def test_the_report_stands_beside_the_answer_whole_and_with_all_that_is_unknown(tmp_path: Path) -> None:
    page = tmp_path / "reports" / "shop.html"
    with answering(frontend) as prometheus:
        plain = recommend(tmp_path, "-o", "json", url=prometheus.url, state=False)
        result = recommend(tmp_path, "-o", "json", "--report", str(page), url=prometheus.url, state=False)

    html = page.read_text(encoding="utf-8")
    assert (plain.exit_code, result.exit_code) == (0, 0)
    assert result.stderr == f"Report: {page}\n"
    assert json.loads(result.stdout)["sizing"] == json.loads(plain.stdout)["sizing"]
    assert html.startswith("<!DOCTYPE html>")
    assert html.rstrip().endswith("</html>")
    assert "Recommendation for shop" in html
    for gap in json.loads(result.stdout)["gaps"]:
        assert str(escape(gap["reason"])) in html, gap
    assert [file.name for file in page.parent.iterdir()] == [page.name]


def test_a_report_replaces_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "shop.html"
    page.write_text("what was here before")
    result = recommend(tmp_path, "--report", str(page))

    assert result.exit_code == 0
    assert "hold: too little is known" in page.read_text(encoding="utf-8").lower()


def test_a_report_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "profile.json" / "shop.html"
    result = recommend(tmp_path, "--report", str(page))

    assert refusal(result).startswith(f"{page}: cannot be written:")
    assert result.stdout == ""
