"""Ask `headgate size` capacity questions as a user would."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from models.artifact import Machine, ProfileArtifact, Selection, dump
from models.values import Role
from planner.cli import headgate
from tests.builders import decode_layout, prefill_layout

QUESTION = ["--isl", "8k", "--osl", "50", "--ttft", "300ms", "--e2e", "500ms"]


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "profile.json"
    artifact = ProfileArtifact(
        model="small",
        machines=(Machine("gb200", gpus_per_node=4, scaleup_gpus=72),),
        engine="test",
        backend="test",
        created_at="2026-01-01T00:00:00Z",
        layouts=(prefill_layout(), decode_layout()),
        selection=Selection(
            {Role.PREFILL: "TP1", Role.DECODE: "TP4"}, {Role.PREFILL: 1, Role.DECODE: 1}, 5, True, "test"
        ),
    )
    path.write_text(dump(artifact))
    return path


def ask(profile: Path, *arguments: str) -> Result:
    return CliRunner().invoke(headgate, ["size", "--profile", str(profile), *arguments])


def answer(profile: Path, *arguments: str) -> dict[str, Any]:
    result = ask(profile, *arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def test_the_smallest_fleet_keeps_the_promise_and_one_fewer_does_not(profile: Path) -> None:
    found = answer(profile, *QUESTION, "--rate", "100")
    assert found["schema"] == "headgate/size/v1"
    assert found["feasible"] is True
    assert found["attainment"] >= 0.99
    fewer = {**found["replicas"], "prefill": found["replicas"]["prefill"] - 1}
    stated = ",".join(f"{role}={n}" for role, n in fewer.items())
    worse = answer(profile, *QUESTION, "--rate", "100", "--replicas", stated)
    assert worse["feasible"] is False
    assert worse["attainment"] < 0.99


def test_infeasible_is_an_answer_not_an_error(profile: Path) -> None:
    found = answer(profile, "--isl", "8k", "--osl", "50", "--ttft", "20ms", "--rate", "10")
    assert found["feasible"] is False
    assert found["binding"] == "layout"


def test_a_budget_that_is_too_small_is_named(profile: Path) -> None:
    found = answer(profile, *QUESTION, "--rate", "100", "--budget", "6")
    assert (found["feasible"], found["binding"]) == (False, "budget")
    assert found["gpus"] > 6


def test_an_overloaded_fleet_has_no_latency(profile: Path) -> None:
    found = answer(profile, *QUESTION, "--rate", "1000", "--replicas", "prefill=2,decode=1")
    assert found["feasible"] is False
    assert found["ttft_s"]["p99"] is None


def test_a_closed_loop_is_answered_for_a_stated_fleet(profile: Path) -> None:
    arguments = ["--isl", "1k", "--osl", "1k", "--concurrency", "64", "--replicas", "prefill=1,decode=1"]
    found = answer(profile, *arguments)
    assert found["rate_rps"] * found["e2e_s"]["mean"] == pytest.approx(64, rel=1e-3)


def test_a_closed_loop_shows_its_steady_state_and_what_a_benchmark_reports(profile: Path) -> None:
    arguments = ["--isl", "1k", "--osl", "1k", "--concurrency", "256", "--replicas", "prefill=1,decode=1"]
    found = answer(profile, *arguments, "--shortest", "0.8", "--requests-per-user", "10")
    burst = found["burst"]
    assert (burst["requests_per_user"], burst["requests"]) == (10, 2560)
    assert burst["ttft_s"]["p99"] > 10 * found["ttft_s"]["p99"]
    assert burst["ttft_s"]["p50"] == pytest.approx(found["ttft_s"]["p50"], rel=0.3)
    assert burst["output_tokens_per_s"] < found["output_tokens_per_s"]
    assert burst["itl_s"]["mean"] == pytest.approx(found["itl_s"]["mean"], rel=0.05)
    table = ask(profile, *arguments).stdout
    assert "BENCHMARK   2,048 requests, 256 at a time" in table
    assert "burst" not in answer(profile, *QUESTION, "--rate", "1")


def test_a_benchmark_that_is_too_long_to_simulate_says_so_and_keeps_the_steady_state(profile: Path) -> None:
    arguments = ["--isl", "1k", "--osl", "1k", "--concurrency", "1000000", "--replicas", "prefill=1,decode=1"]
    found = answer(profile, *arguments)
    assert found["burst"]["requests"] is None
    assert "fewer requests per user" in found["burst"]["why"]
    assert found["output_tokens_per_s"] > 0
    assert "fewer requests per user" in ask(profile, *arguments).stdout


def test_shorter_requests_give_more_of_them(profile: Path) -> None:
    arguments = ["--isl", "1k", "--osl", "1k", "--concurrency", "64", "--replicas", "prefill=1,decode=1"]
    alike, spread = (answer(profile, *arguments, "--shortest", ratio)["rate_rps"] for ratio in ("1", "0.8"))
    # Means of 0.9 of the stated lengths.
    assert spread == pytest.approx(alike / 0.9, rel=0.02)


def test_the_table_reads_without_a_manual(profile: Path) -> None:
    text = ask(profile, *QUESTION, "--rate", "100").stdout
    assert "TP1 prefill" in text
    assert "requests/s" in text
    assert "nan" not in text.lower()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "1", "--concurrency", "2"], "either --rate or --concurrency"),
        ([], "either --rate or --concurrency"),
        (["--concurrency", "2"], "needs --replicas"),
        (["--rate", "-3"], "--rate"),
        (["--concurrency", "0.5", "--replicas", "prefill=1,decode=1"], "--concurrency"),
        (["--rate", "1", "--shortest", "1.5"], "--shortest"),
        (["--rate", "1", "--ttft", "300"], "300ms"),
        (["--rate", "1", "--layout", "prefil=TP1"], "prefill, decode or aggregated"),
        (["--rate", "1", "--replicas", "prefill=0,decode=1"], "a whole number from 1 to 100000"),
        (["--rate", "1", "--replicas", "prefill=2"], "prefill and decode"),
    ],
)
def test_a_wrong_question_is_a_usage_error(profile: Path, arguments: list[str], said: str) -> None:
    result = ask(profile, "--isl", "1k", "--osl", "10", *arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_layout_that_was_not_profiled_lists_those_that_were(profile: Path) -> None:
    result = ask(profile, *QUESTION, "--rate", "1", "--layout", "prefill=TP8")
    assert result.exit_code == 1
    assert "TP1" in str(result.exception)
