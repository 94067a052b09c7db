"""`headgate config` checks, shows and describes: data on stdout, all else on stderr."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from config.loading import load
from models.errors import ConfigError
from planner.commands.config import command
from tests.unit.config.files import EXAMPLES, VALID, changed, write


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_check_says_what_a_file_defines(tmp_path: Path) -> None:
    path = write(tmp_path)

    result = run("check", path)
    promise = "TTFT 300ms, end-to-end 500ms for 0.99 of requests, priority 10"

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{path}: ok",
        "  deployment shop: gpt-oss-120b, mode observe, prefill TP1 + decode TEP4, at most 40 GPUs",
        f"    class pages: {promise}; takes requests of at least 4,000 input tokens",
        "    class email: throughput only, priority 0; takes all other requests",
        f"  digest {load(path, {}).digest}",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_check_accepts_the_examples_of_a_fresh_clone(example: Path) -> None:
    assert run("check", example).exit_code == 0


def test_a_profile_that_is_not_there_yet_is_a_note(tmp_path: Path) -> None:
    result = run("check", write(tmp_path))

    assert result.exit_code == 0
    assert f"note: deployment shop: no profile at {tmp_path}/profile.json yet" in result.stderr
    assert "headgate-profiler sweep --model gpt-oss-120b" in result.stderr


def test_a_profile_that_is_not_there_is_an_error_when_it_is_asked_for(tmp_path: Path) -> None:
    result = run("check", "--profile", write(tmp_path))

    assert result.exit_code == 1
    assert isinstance(result.exception, ConfigError)
    assert f"deployment shop: {tmp_path}/profile.json: no such profile" in str(result.exception)
    assert result.stdout == ""


def test_a_profile_that_is_none_is_an_error_when_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text("{}", encoding="utf-8")

    result = run("check", "--profile", write(tmp_path))

    assert isinstance(result.exception, ConfigError)
    assert "not a profile" in str(result.exception)


def test_classes_that_prometheus_cannot_tell_apart_are_a_note(tmp_path: Path) -> None:
    result = run("check", write(tmp_path))

    assert "note: deployment shop: Prometheus cannot tell the classes pages, email apart" in result.stderr


def test_a_file_without_prometheus_is_told_what_it_is_good_for(tmp_path: Path) -> None:
    text = "deployments:\n  - {name: shop, model: m, pools: {aggregated: {}}}\n"

    result = run("check", write(tmp_path, text))

    assert result.exit_code == 0
    assert "note: no prometheus section: enough to replay a trace" in result.stderr
    assert "note: deployment shop names no profile" in result.stderr


def test_a_metric_file_of_ones_own_is_checked(tmp_path: Path) -> None:
    result = run("check", write(tmp_path, changed("  url:", "  preset: ./metrics.yaml\n  url:")))

    assert isinstance(result.exception, ConfigError)
    assert "metrics.yaml: no such file" in str(result.exception)


def test_check_fails_with_every_error(tmp_path: Path) -> None:
    result = run("check", write(tmp_path, changed("gpus: 40", "gpus: few").replace("60s", "60")))

    assert result.exit_code == 1
    assert isinstance(result.exception, ConfigError)
    assert "budget.gpus" in str(result.exception)
    assert "interval" in str(result.exception)
    assert result.stdout == ""


def test_check_applies_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS", "44")

    assert "at most 44 GPUs" in run("check", write(tmp_path)).stdout


def test_show_fills_in_the_defaults(tmp_path: Path) -> None:
    shown = yaml.safe_load(run("show", write(tmp_path)).stdout)

    assert shown["deployments"][0]["pools"]["decode"]["startup"] == "2m"
    assert shown["journal"]["dir"] == "journal"
    assert list(shown["deployments"][0]["pools"]) == ["prefill", "decode"]


def test_show_says_where_each_value_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_PROMETHEUS__RETRIES", "5")
    path = write(tmp_path)

    text = run("show", path, "--origin").stdout
    origins = {line.split(":")[0].strip(): line.partition("#")[2].strip() for line in text.splitlines()}

    assert origins["interval"] == f"{path}:1"
    assert origins["retries"] == "HEADGATE_PROMETHEUS__RETRIES"
    assert origins["rotate_bytes"] == "default"
    assert yaml.safe_load(text) == yaml.safe_load(run("show", path).stdout)


def test_show_as_json_names_its_schema_and_its_origins(tmp_path: Path) -> None:
    path = write(tmp_path)

    body = json.loads(run("show", path, "-o", "json", "--origin").stdout)

    assert body["schema"] == "headgate/config/v1"
    assert body["settings"]["deployments"][0]["classes"][0]["slo"]["ttft"] == "300ms"
    assert body["origin"]["deployments[0].classes[0].slo.ttft"] == f"{path}:15"
    assert body["origin"]["deployments[0].forecast.levels"] == "default"
    assert body["origin"]["deployments[0].pools.decode.startup"] == "default"


def test_every_shown_value_has_an_origin(tmp_path: Path) -> None:
    lines = run("show", write(tmp_path), "--origin").stdout.splitlines()

    silent = [line for line in lines if not line.endswith(":") and "#" not in line]

    assert silent == []


def test_schema_prints_json_schema() -> None:
    printed = json.loads(run("schema").stdout)

    assert printed["$schema"].endswith("2020-12/schema")
    assert printed["properties"]["deployments"]["items"]["$ref"] == "#/$defs/DeploymentSettings"


def test_check_without_a_file_is_a_usage_error() -> None:
    assert run("check").exit_code == 2


def test_the_file_is_read_before_anything_is_written(tmp_path: Path) -> None:
    result = run("show", write(tmp_path, VALID.replace("shop", "Shop")))

    assert result.exit_code == 1
    assert result.stdout == ""
