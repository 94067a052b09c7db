"""Replay traces from the command line as a user would, real ones included."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from models.artifact import Machine, ProfileArtifact, Selection, dump
from models.errors import ConfigError, HeadgateError, TraceError
from models.values import Role
from planner.cli import headgate
from tests import components
from tests.builders import decode_layout, prefill_layout

CONFIG = """
interval: 60s
deployments:
  - name: shop
    model: small
    profile: profile.json
    budget: {gpus: 40}
    pools:
      prefill: {min: 1, startup: 2m}
      decode: {min: 1, startup: 2m}
    classes:
"""
ONE_CLASS = "      - {name: default, slo: {ttft: 1s, itl: 30ms, quantile: 0.95}}\n"
SHOP = """\
      - {name: pages, slo: {ttft: 300ms, e2e: 500ms}, priority: 10, match: {input_tokens: {min: 4k}}}
      - {name: email}
"""
HEADER = "timestamp,input_tokens,output_tokens\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Lay out a configuration of one class and the profile of a small model."""
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
    (tmp_path / "profile.json").write_text(dump(artifact))
    (tmp_path / "headgate.yaml").write_text(CONFIG + ONE_CLASS)
    return tmp_path


def replay(folder: Path, trace: object, *arguments: str) -> Result:
    config = str(folder / "headgate.yaml")
    return CliRunner().invoke(headgate, ["replay", "--config", config, "--trace", str(trace), *arguments])


def answer(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def short(folder: Path, *rows: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return path


TEN = tuple(f"{1_700_000_000 + 12 * i},1000,20" for i in range(10))


@pytest.mark.parametrize(
    "name", ["azure_llm_2023_conv.csv.gz", "azure_llm_2023_code.csv.gz", "mooncake_conversation.jsonl.gz"]
)
def test_every_request_of_a_recorded_trace_is_accounted_for(folder: Path, name: str) -> None:
    rows = {"azure_llm_2023_conv.csv.gz": 19_366, "azure_llm_2023_code.csv.gz": 8_819}.get(name, 12_031)

    said = answer(
        replay(folder, components.trace(name), "-o", "json", "--policy", "headgate,static:4,2", "--jobs", "1")
    )

    assert said["schema"] == "headgate/replay/v1"
    for policy in said["policies"]:
        assert policy["completed"] + policy["rejected"] + policy["in_flight"] == policy["requests"]
        assert policy["requests"] + policy["skipped_rows"] == rows
        # Mooncake's longest prompts take more than the promised second by themselves.
        assert policy["slo_attainment"] > 0.5
        assert policy["gpu_hours"] > 0
        assert policy["ttft_s"]["p50"] < policy["ttft_s"]["p99"]


def test_the_json_answer_carries_what_the_design_promises(folder: Path) -> None:
    said = answer(replay(folder, short(folder, *TEN), "-o", "json", "--policy", "static:1,1", "--seed", "5"))

    counts = {"policy", "requests", "completed", "rejected", "in_flight", "skipped_rows"}
    figures = {"slo_attainment", "goodput_rps", "gpu_hours", "gpu_hours_by_role", "ttft_s", "itl_s", "e2e_s"}
    effort = {"scale_events", "decisions", "policy_cpu_s", "wall_s"}
    assert counts | figures | effort <= set(said["policies"][0])
    assert set(said["policies"][0]["itl_s"]) == {"p50", "p95", "p99"}
    # 108 seconds of five GPUs.
    assert said["policies"][0]["gpu_hours"] == pytest.approx(5 * 108 / 3600)
    assert (said["seed"], said["budget_gpus"]) == (5, 40)


def test_broken_rows_are_reported_on_stderr_and_counted(folder: Path) -> None:
    result = replay(folder, short(folder, *TEN, "1700000200,-5,20"), "-o", "json", "--policy", "static:1,1")

    assert answer(result)["policies"][0]["skipped_rows"] == 1
    assert "1 skipped: line 12 has no usable count of input tokens: '-5'" in result.stderr


def test_the_table_names_every_policy_and_the_report_is_written(folder: Path) -> None:
    report = folder / "report.html"
    result = replay(folder, short(folder, *TEN), "--out", str(report))

    assert result.exit_code == 0, result.output
    for policy in ("headgate", "static-peak", "static-mean", "hpa"):
        assert policy in result.stdout
    assert report.read_text().lstrip().lower().startswith("<!doctype html")
    assert str(report) in result.stderr


def test_the_embedded_day_replays_with_its_two_classes(folder: Path) -> None:
    (folder / "headgate.yaml").write_text(CONFIG + SHOP)

    result = replay(folder, "demo:1440", "-o", "json", "--policy", "static:30,8")

    said = answer(result)
    assert [c["name"] for c in said["policies"][0]["classes"]] == ["pages", "email"]
    assert said["policies"][0]["slo_attainment"] > 0.99
    assert said["end_s"] - said["start_s"] == pytest.approx(26 * 3600, rel=0.01)
    assert "compressed 1440 times" in result.stderr
    # 26 hours of 62 GPUs, in story time.
    assert said["policies"][0]["gpu_hours"] == pytest.approx(26 * 62, rel=0.01)


def test_the_rate_can_be_scaled(folder: Path) -> None:
    trace = short(folder, *TEN)

    said = answer(replay(folder, trace, "--rate-scale", "3", "-o", "json", "--policy", "static:1,1"))

    assert said["policies"][0]["requests"] == 30
    assert said["settings"]["rate scale"] == "3"


def test_a_history_is_read_for_the_forecast(folder: Path) -> None:
    history = folder / "history.csv"
    rows = "".join(f"{1_700_000_000 - 60 * i},60,60000,6000\n" for i in range(600, 0, -1))
    history.write_text("timestamp,requests,input_tokens,output_tokens\n" + rows)

    said = answer(
        replay(
            folder,
            short(folder, *TEN),
            "--history",
            str(history),
            "-o",
            "json",
            "--policy",
            "headgate",
        )
    )

    assert said["settings"]["history"] == "from before the trace"


def test_overrides_reach_the_simulated_fleet(folder: Path) -> None:
    said = answer(
        replay(
            folder,
            short(folder, *TEN),
            "--startup",
            "prefill=30s, decode=5m",
            "--router",
            "random",
            "--initial",
            "prefill=3,decode=2",
            "-o",
            "json",
            "--policy",
            "hpa",
        )
    )

    assert said["settings"]["router"] == "random"
    assert said["settings"]["start-up"] == "prefill 30s, decode 5m"
    # 3 + 2 * 4 GPUs, not yet lowered after 108 s.
    assert said["policies"][0]["gpu_hours"] == pytest.approx(11 * 108 / 3600)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--initial", "prefill=0,decode=1"], "'0' is not a count from 1 to 100000"),
        (["--initial", "prefil=1"], "'prefil=1' is not ROLE=VALUE with prefill or decode"),
        (["--startup", "prefill=120"], "'120' is not a duration"),
        (["--startup", "prefill"], "empty duration"),
        (["--rate-scale", "0"], "--rate-scale"),
        (["--router", "nearest"], "--router"),
        (["--policy", ","], "name at least one policy"),
        (["--out", "absent/report.html"], "the folder absent does not exist"),
        (["--jobs", "0"], "--jobs"),
        (["--seed", "-1"], "--seed"),
        (["--mtbf", "prefill=12"], "'12' is not a duration"),
        (["--mtbf", "front=12h"], "'front=12h' is not ROLE=VALUE with prefill or decode"),
        (["--on-failure", "weep"], "--on-failure"),
    ],
)
def test_a_mistyped_option_is_a_usage_error(folder: Path, arguments: list[str], says: str) -> None:
    result = replay(folder, short(folder, *TEN), *arguments)

    assert result.exit_code == 2
    assert says in result.stderr


def test_half_an_initial_fleet_is_a_usage_error(folder: Path) -> None:
    result = replay(folder, short(folder, *TEN), "--initial", "prefill=1")

    assert result.exit_code == 2
    assert "decode" in result.stderr


@pytest.mark.parametrize(
    ("trace", "kind", "says"),
    [
        ("absent.csv", TraceError, "no such file"),
        ("demo:0.5", TraceError, "at least 1"),
        ("demo:fast", TraceError, "at least 1"),
        ("demo", ConfigError, "classes pages and email"),
    ],
)
def test_a_trace_that_cannot_be_replayed_is_one_clear_error(
    folder: Path, trace: str, kind: type[HeadgateError], says: str
) -> None:
    result = replay(folder, trace)

    assert isinstance(result.exception, kind)
    assert says in str(result.exception)


def test_an_unknown_policy_is_one_clear_error(folder: Path) -> None:
    result = replay(folder, short(folder, *TEN), "--policy", "magic")

    assert result.exit_code == 2
    assert "static-mean, hpa, oracle, headgate-reactive, headgate-perfect, static:P,D" in result.stderr


def test_block_hashes_are_honoured_where_asked_for_and_ignored_otherwise(folder: Path) -> None:
    recorded = components.trace("mooncake_conversation.jsonl.gz")
    fleet = ("--policy", "static:4,1", "-o", "json")
    ignored, honoured = (
        answer(replay(folder, recorded, *fleet, *more))["policies"][0] for more in ((), ("--prefix-cache",))
    )

    assert ignored["prefix_hit_ratio"] == 0.0
    # 0.37 of all tokens were seen before, by some replica: an endless cache on one would find them all.
    assert 0.2 < honoured["prefix_hit_ratio"] < 0.38
    assert honoured["ttft_s"]["p50"] < ignored["ttft_s"]["p50"]
    text = (folder / "headgate.yaml").read_text(encoding="utf-8")
    (folder / "headgate.yaml").write_text(text + "    engine: {prefix_cache: {}}\n", encoding="utf-8")
    configured = answer(replay(folder, recorded, *fleet))["policies"][0]
    off = answer(replay(folder, recorded, *fleet, "--no-prefix-cache"))["policies"][0]
    assert configured["ttft_s"] == honoured["ttft_s"]
    assert off["ttft_s"] == ignored["ttft_s"]


def test_a_prefix_cache_without_hashes_says_that_it_stays_idle(folder: Path) -> None:
    result = replay(folder, short(folder, "1,100,10"), "--prefix-cache", "--policy", "static:1,1")

    assert "carries no block hashes: nothing is found in the prefix caches" in result.stderr


def test_failing_replicas_cost_requests_only_where_nobody_retries_them(folder: Path) -> None:
    recorded = components.trace("azure_llm_2023_conv.csv.gz")
    fleet = ("--policy", "static:3,2", "--mtbf", "prefill=5m,decode=5m", "-o", "json")
    retried, lost = (
        answer(replay(folder, recorded, *fleet, *more))["policies"][0]
        for more in ((), ("--on-failure", "lose"))
    )

    for result in (retried, lost):
        held = sum(result[key] for key in ("completed", "rejected", "lost", "in_flight"))
        assert held == result["requests"] == 19_366
        # Five replicas for 58 minutes, each of which fails every seven: 5 to live and 2 to start.
        assert 15 <= result["replica_failures"] <= 70
    assert retried["lost"] == 0
    assert lost["lost"] > 0


def test_a_trace_of_one_request_replays_under_every_policy(folder: Path) -> None:
    said = answer(replay(folder, short(folder, TEN[0]), "-o", "json"))

    assert [p["completed"] for p in said["policies"]] == [1, 1, 1, 1]
    assert [p["gpu_hours"] for p in said["policies"]] == [0, 0, 0, 0]
