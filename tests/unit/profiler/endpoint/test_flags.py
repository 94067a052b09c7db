"""The command line says what an endpoint runs, and names what is missing or wrong in its flags."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from profiler.cli import profiler
from tests.openai_engine import Behaviour, Clockwork, serving

FAST = Clockwork(prefill_base_s=0.001, step_s=0.002)


def sweep(tmp_path: Path, *flags: str, **environment: str) -> Result:
    cards = ("--model", "gpt-oss-120b", "--hardware", "gb200", "--backend", "endpoint")
    command = ["sweep", *cards, "--out", str(tmp_path / "p.json"), *flags]
    return CliRunner().invoke(profiler, command, env=environment)


def plan(tmp_path: Path, *flags: str, **environment: str) -> dict[str, tuple[str, float]]:
    """Return per role the layout of the plan and its GPU-minutes."""
    shown = sweep(tmp_path, "--plan", "-o", "json", *flags, **environment)
    assert shown.exit_code == 0, shown.output
    return {
        each["role"]: (each["layout"], each["gpu_minutes"]) for each in json.loads(shown.stdout)["layouts"]
    }


def test_a_layout_without_a_role_serves_both_phases(tmp_path: Path) -> None:
    with serving(FAST, Behaviour(models=("openai/gpt-oss-120b",))) as server:
        found = plan(tmp_path, "--endpoint", server.url, "--layouts", "TEP4")

    assert {role: layout for role, (layout, _) in found.items()} == {"aggregated": "TEP4"}
    assert found["aggregated"][1] > 0


def test_layouts_per_role_serve_a_phase_each(tmp_path: Path) -> None:
    with serving(FAST, Behaviour(models=("gpt-oss-120b",))) as server:
        found = plan(tmp_path, "--endpoint", server.url, "--layouts", "prefill=TP1,decode=TEP4")

    assert {role: layout for role, (layout, _) in found.items()} == {"prefill": "TP1", "decode": "TEP4"}


def test_the_key_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("of-the-file\n")
    for flags, key, environment in (
        ((), "of-the-environment", {"HEADGATE_ENDPOINT_API_KEY": "of-the-environment"}),
        (("--api-key-file", str(tmp_path / "key")), "of-the-file", {"HEADGATE_ENDPOINT_API_KEY": "another"}),
    ):
        with serving(FAST, Behaviour(models=("gpt-oss-120b",), api_key=key)) as server:
            assert plan(tmp_path, "--endpoint", server.url, "--layouts", "TP1", *flags, **environment)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--layouts", "TP1"), "--backend endpoint needs --endpoint URL"),
        (("--endpoint", "http://127.0.0.1:1"), "needs --layouts"),
        (("--endpoint", "host:8000", "--layouts", "TP1"), "'host:8000' is not the URL of an endpoint"),
        (("--endpoint", "http://127.0.0.1:1", "--layouts", "TP1,TP2"), "must name the one layout"),
        (("--endpoint", "http://127.0.0.1:1", "--layouts", "TP1", "--max-repeats", "1"), "2<=x<=1000"),
        (("--endpoint", "http://h", "--layouts", "TP1", "--endpoint-header", "x"), "is not 'Name: value'"),
        (
            ("--endpoint", "http://h", "--layouts", "TP1", "--endpoint-header", "x:"),
            "header x must be one line",
        ),
        (("--endpoint", "http://h", "--layouts", "TP1", "--endpoint-replicas", "0"), "is not a whole number"),
    ],
)
def test_flags_that_do_not_say_enough_are_usage_errors(
    tmp_path: Path, flags: tuple[str, ...], says: str
) -> None:
    refused = sweep(tmp_path, *flags)

    assert refused.exit_code == 2
    assert says in refused.output
