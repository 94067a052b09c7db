"""Metric presets are data: checked when read, with the nearest name where one is mistyped."""

from pathlib import Path

import pytest

from config.metrics import presets, read_metrics
from models.errors import ConfigError
from models.metric_names import MetricNames, Ratio


def own(folder: Path, text: str) -> MetricNames:
    (folder / "own.yaml").write_text(text)
    return read_metrics("own.yaml", folder)


@pytest.mark.parametrize("name", presets())
def test_every_preset_can_size_a_fleet(name: str) -> None:
    """Arrivals and both mean lengths are what demand in tokens needs."""
    names = read_metrics(name)

    assert names.preset == name
    assert names.started or (names.completed and names.in_flight)
    assert names.input_ratios()
    assert names.output_ratios()


def test_the_presets_of_the_common_stacks_are_there() -> None:
    assert set(presets()) == {"dynamo", "dynamo-router", "vllm", "sglang", "trtllm", "llm-d"}


def test_dynamo_counts_requests_as_they_start_and_completions_only_without() -> None:
    names = read_metrics("dynamo")

    assert names.started == ("dynamo_frontend_requests_started_total",)
    assert names.completed == ("dynamo_frontend_requests_total",)
    assert names.input_ratios()[0] == Ratio(
        "dynamo_frontend_input_sequence_tokens_sum", "dynamo_frontend_input_sequence_tokens_count"
    )


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no metric preset 'dynmo'; did you mean dynamo or "):
        read_metrics("dynmo")


def test_a_preset_like_nothing_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match="known are dynamo, dynamo-router, llm-d, sglang, trtllm, vllm"):
        read_metrics("quux")


def test_a_file_of_ones_own_is_read_beside_the_configuration(tmp_path: Path) -> None:
    names = own(tmp_path, "preset: gateway\nstarted: [gw_requests_total]\nmodel_label: served\n")

    assert (names.preset, names.started, names.model_label) == ("gateway", ("gw_requests_total",), "served")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("preset: a\nstartd: [x]\n", r"own\.yaml:2: unknown key `startd`; did you mean `started`\?"),
        (
            "preset: a\nstarted: [x]\ncached: [{prt: a, whole: b}]\n",
            r"`cached\.0\.prt`; did you mean `part`\?",
        ),
        (
            "preset: a\nstarted: ['x{y=1}']\n",
            r"own\.yaml:2: .*'x\{y=1\}' is not the name of a Prometheus metric",
        ),
        ("preset: a\nstarted: [x]\nttft: [t_bucket]\n", "names a histogram: write t without _bucket"),
        ("preset: a\nstarted: [x]\nmodel_label: '1a'\n", "'1a' is not the name of a label"),
        ("preset: a\nstarted: []\n", "neither `started` nor `completed` names a counter"),
        ("preset: a\n", "`started` is missing"),
        ("preset: a\nstarted: [x]\nstarted: [y]\n", r"own\.yaml:3: started is already there"),
        ("", r"own\.yaml: is empty"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        own(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: no such file"):
        read_metrics("absent.yaml", tmp_path)
