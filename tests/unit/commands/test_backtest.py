"""Judge forecasters from the command line as a user would."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from models.errors import HeadgateError, TraceError
from planner.cli import headgate
from tests.components import trace
from tests.demand import diurnal

HOUR_S = 3600.0
CONFIG = """
prometheus: {url: "http://127.0.0.1:1"}
deployments:
  - name: shop
    model: small
    profile: profile.json
    budget: {gpus: 40}
    pools:
      prefill: {min: 1, startup: 2m}
      decode: {min: 1, startup: 2m}
    classes:
      - {name: default, slo: {ttft: 1s, itl: 30ms, quantile: 0.95}}
    forecast: {enabled: false, refit: 6h}
"""


def backtest(*arguments: object) -> Result:
    return CliRunner().invoke(headgate, ["backtest", *map(str, arguments)])


def answer(*arguments: object) -> dict[str, Any]:
    result = backtest(*arguments, "-o", "json")
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out ten days of hourly demand in two columns, and a configuration that fits fast."""
    folder = tmp_path_factory.mktemp("backtest")
    series = diurnal(10).resample(HOUR_S)
    rows = [f"{at:.0f},{v},{100 * v}" for at, v in zip(series.times_s, series.values, strict=True)]
    (folder / "demand.csv").write_text("\n".join(["timestamp,requests,tokens", *rows]))
    (folder / "headgate.yaml").write_text(CONFIG)
    return folder


def judged(folder: Path, *arguments: object) -> tuple[object, ...]:
    return ("--series", folder / "demand.csv", "--config", folder / "headgate.yaml", *arguments)


def test_json_says_what_each_forecaster_cost_and_what_was_selected(folder: Path) -> None:
    found = answer(*judged(folder, "--column", "requests", "--horizon", "1h,4h"))

    assert found["schema"] == "headgate/backtest/v1"
    (series,) = found["series"]
    assert series["name"] == "demand.csv requests"
    assert (series["step_s"], series["quantile"], series["refit_s"]) == (HOUR_S, 0.9, 6 * HOUR_S)
    assert [h["horizon_s"] for h in series["horizons"]] == [HOUR_S, 4 * HOUR_S]
    for horizon in series["horizons"]:
        assert [m["model"] for m in horizon["models"]] == ["selected", "last value"]
        for model in horizon["models"]:
            assert {"pinball", "coverage", "wape", "mase", "fit_s", "predict_s"} <= set(model)
            assert model["pinball"] > 0
            assert 0 < model["coverage"] <= 1
        # Forecasting is off in this configuration: the last value answers, and that is told.
        assert horizon["models"][0]["pinball"] == horizon["models"][1]["pinball"]
        assert horizon["best"] == "last value"
    assert series["selected"]["model"] == "last value"
    assert series["selected"]["why"]
    assert series["selected"]["fallback"] == "forecasting is off"
    assert series["selected"]["shares"] == {"last value": 1.0}


def test_columns_stand_one_after_the_other_and_scale_nothing(folder: Path) -> None:
    found = answer(*judged(folder, "--column", "requests", "--column", "tokens", "--horizon", "1h"))

    requests, tokens = (s["horizons"][0]["models"][0] for s in found["series"])
    assert tokens["pinball"] == pytest.approx(100 * requests["pinball"])
    assert tokens["mase"] == pytest.approx(requests["mase"])
    assert tokens["coverage"] == requests["coverage"]


def test_training_ends_when_asked_and_another_quantile_is_judged(folder: Path) -> None:
    asked = ("--column", "requests", "--horizon", "1h", "--train-until", "2024-05-18T00:00:00Z")

    (found,) = answer(*judged(folder, *asked, "--quantile", "0.75"))["series"]

    assert found["quantile"] == 0.75
    assert found["train_until_s"] == found["from_s"] + 6 * 86_400
    assert found["horizons"][0]["origins"] == 4 * 24


def test_the_table_has_a_row_for_each_and_wide_shows_more(folder: Path) -> None:
    narrow = backtest(*judged(folder, "--column", "requests", "--horizon", "1h"))
    wide = backtest(*judged(folder, "--column", "requests", "--horizon", "1h", "-o", "wide"))

    assert narrow.exit_code == wide.exit_code == 0
    head = next(line for line in narrow.stdout.splitlines() if line.startswith("HORIZON"))
    assert "PINBALL" in head
    assert "COVERAGE" in head
    assert "ORIGINS" not in head
    assert "ORIGINS" in wide.stdout
    assert "Selected: last value" in narrow.stdout
    assert "Not trusted at the end: forecasting is off" in narrow.stdout
    assert "the choice changed never" not in narrow.stderr
    assert backtest(*judged(folder, "--column", "tokens", "--horizon", "1h", "-o", "yaml")).stdout.startswith(
        "schema: headgate/backtest/v1"
    )


def test_a_report_is_written_whole_and_carries_the_answer(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"

    result = backtest(*judged(folder, "--column", "requests", "--report", page))

    assert result.exit_code == 0
    assert f"Report: {page}" in result.stderr
    html = page.read_text()
    assert "headgate/backtest-report/v1" in html
    assert "demand.csv requests" in html


def test_without_a_configuration_every_model_competes_on_a_recorded_series(tmp_path: Path) -> None:
    lines = trace("servegen_m-small_10min_real.csv").read_text().splitlines()
    (tmp_path / "days.csv").write_text("\n".join(lines[: 1 + 3 * 144]))

    (found,) = answer(
        "--series", tmp_path / "days.csv", "--column", "rps", "--train-until", "1970-01-03T22:00:00Z"
    )["series"]

    names = [m["model"] for m in found["horizons"][0]["models"]]
    assert names[:2] == ["selected", "last value"]
    assert len(names) > 5
    assert found["notes"] == ["15m ahead is judged at 20m: the series has one value every 10m"]
    assert [h["horizon_s"] for h in found["horizons"]] == [1200.0, 1800.0, 3600.0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give either --series FILE, or --query PROMQL"),
        (("--series", "x.csv", "--query", "up"), "give either --series FILE"),
        (("--series", "x.csv", "--prometheus", "http://localhost"), "asked with --query, and not together"),
        (("--query", "up"), "--query needs --prometheus URL"),
        (("--query", "up", "--prometheus", "localhost:9090"), "is not a URL"),
        (
            ("--query", "up", "--prometheus", "http://localhost", "--column", "a"),
            "--column chooses from a file",
        ),
        (("--series", "x.csv", "--deployment", "shop"), "give --config as well"),
        (("--series", "x.csv", "--horizon", "15"), "is not a duration"),
        (("--series", "x.csv", "--horizon", ","), "name at least one horizon"),
        (("--series", "x.csv", "--horizon", "1000d"), "is above"),
        (("--series", "x.csv", "--quantile", "0.5"), "not in the range"),
        (("--series", "x.csv", "--quantile", "nan"), "is not a number"),
        (("--series", "x.csv", "--train-until", "2026-11-27 12:00"), "has no time zone"),
        (("--series", "x.csv", "--report", "/no/such/folder/report.html"), "does not exist"),
    ],
)
def test_what_was_mistyped_is_a_usage_error(arguments: tuple[str, ...], said: str) -> None:
    result = backtest(*arguments)

    assert result.exit_code == 2, result.exception
    assert said in result.stderr


def test_what_cannot_be_judged_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    assert _refused("--series", tmp_path / "none.csv").startswith(f"{tmp_path / 'none.csv'}: no such file")
    assert "choose with --column" in _refused("--series", folder / "demand.csv")
    late = ("--column", "tokens", "--train-until", "2030-01-01T00:00:00Z")
    assert "training cannot end at 2030-01-01T00:00:00Z" in _refused(*judged(folder, *late))
    (tmp_path / "short.csv").write_text("timestamp,rps\n0,1\n60,2\n")
    assert "2 steps of 1m were measured; a backtest needs 24" in _refused("--series", tmp_path / "short.csv")
    silent = ("--query", "up", "--config", folder / "headgate.yaml")
    assert "http://127.0.0.1:1 cannot be reached" in _refused(*silent)


def _refused(*arguments: object) -> str:
    result = backtest(*arguments)
    assert isinstance(result.exception, HeadgateError | TraceError), result.output
    return str(result.exception)
