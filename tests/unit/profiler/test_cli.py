"""The command line: a stranger profiles a model, reads the table, and is told what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.artifact import parse
from tests.components import REPOSITORY

SWEEP = ["sweep", "--model", "openai/gpt-oss-120b", "--hardware", "gb200", "--layouts", "TP1,TP4,TP16"]
PAGES = ["--rate", "180", "--isl", "8k", "--osl", "50", "--ttft", "300ms", "--e2e", "500ms", "--budget", "40"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from profiler.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def profile_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("out") / "profile.json"
    ran = run(*SWEEP, *PAGES, "--out", str(path))
    assert ran.returncode == 0, ran.stderr
    assert "Selected: " in ran.stdout
    assert ran.stderr == f"Wrote {path}\n"
    return path


def test_a_sweep_writes_a_profile_that_reads_back(profile_path: Path) -> None:
    artifact = parse(profile_path.read_text(), "p", model="gpt-oss-120b").artifact

    assert {layout.key for layout in artifact.layouts} == {
        f"{role}={name}" for role in ("prefill", "decode", "aggregated") for name in ("TP1", "TP4")
    }
    assert artifact.question is not None
    assert artifact.question.isl_tokens == 8000
    assert artifact.selection is not None
    assert artifact.selection.feasible


def test_the_table_tells_what_was_selected_and_left_out(profile_path: Path) -> None:
    ran = run("show", str(profile_path))

    assert ran.returncode == 0
    assert ran.stdout.startswith("gpt-oss-120b on GB200, trtllm, roofline\n")
    for part in ("KV TOKENS", "ITL X64", "TTFT 8K", "Runner-up: ", "8 KV heads"):
        assert part in ran.stdout


def test_json_is_the_artifact_itself_and_yaml_says_the_same(profile_path: Path) -> None:
    import yaml

    as_json = run("show", str(profile_path), "-o", "json").stdout
    as_yaml = run("show", str(profile_path), "-o", "yaml").stdout

    assert as_json == profile_path.read_text()
    assert yaml.safe_load(as_yaml) == json.loads(as_json)


def test_sweep_json_is_data_alone_on_stdout(tmp_path: Path) -> None:
    ran = run(*SWEEP, "--out", str(tmp_path / "p.json"), "-o", "json")

    body = json.loads(ran.stdout)
    assert body["schema"] == "headgate/sweep/v2"
    assert body["selection"]["feasible"] is True
    assert {item["layout"] for item in body["left_out"]} == {"TP16"}


def test_a_report_is_one_page_about_this_model(tmp_path: Path) -> None:
    report = tmp_path / "p.html"

    ran = run(*SWEEP, "--out", str(tmp_path / "p.json"), "--report", str(report))

    assert ran.returncode == 0, ran.stderr
    assert "gpt-oss-120b" in report.read_text()
    assert report.read_text().lstrip().lower().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["sweep"], 2, "Missing option"),
        ([*SWEEP, "--out", "{out}", "--itl", "20"], 2, "is not a duration"),
        ([*SWEEP, "--out", "{out}", "--rate", "0"], 2, "is below 1e-06"),
        ([*SWEEP, "--out", "{out}", "--quantile", "1"], 2, "--quantile"),
        ([*SWEEP, "--out", "{out}", "--backend", "guess"], 2, "roofline"),
        ([*SWEEP, "--out", "{out}", "--isl", "200k"], 1, "exceed the 131072 tokens of context"),
        ([*SWEEP, "--out", "{out}", "--layouts", "TP1,QP4"], 1, "'QP4' is not a layout"),
        ([*SWEEP, "--out", "{out}", "--layouts", "TP3"], 1, "none of the layouts"),
        ([*SWEEP, "--out", "{out}", "--model", "gpt-oss"], 0, ""),
        ([*SWEEP, "--out", "{out}", "--model", "gpt-oss-20b"], 1, "did you mean gpt-oss-120b"),
        ([*SWEEP, "--out", "{out}", "--hardware", "h1000"], 1, "did you mean H100"),
        ([*SWEEP, "--out", "{out}", "--engine", "sglan"], 1, "did you mean sglang"),
        (["show", "{out}"], 1, "cannot be read: No such file"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    out = str(tmp_path / "p.json")

    ran = run(*(out if a == "{out}" else a for a in arguments))

    assert ran.returncode == code, ran.stderr
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
    if code == 1:
        assert ran.stderr.startswith("Error: ")
        assert ran.stderr.count("\n") == 1


def test_a_promise_that_cannot_be_kept_is_an_answer(tmp_path: Path) -> None:
    ran = run(*SWEEP, "--out", str(tmp_path / "p.json"), "--ttft", "1ms")

    assert ran.returncode == 0
    assert "no layout keeps the promise even for one request alone" in ran.stdout
