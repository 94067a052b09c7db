"""Layouts: what an engine could run is listed, everything else has a reason."""

import pytest

from config import reference
from models.errors import ConfigError
from models.values import Parallelism
from profiler.layouts import candidates, chosen, parse, why_not

GB200, H100 = reference.hardware("GB200"), reference.hardware("H100")
GPT_OSS, DEEPSEEK = reference.architecture("gpt-oss-120b"), reference.architecture("deepseek-r1")
LLAMA = reference.architecture("llama-3.1-70b")


def test_a_mixture_of_experts_gets_tp_tep_and_dep() -> None:
    names = [layout.name for layout in candidates(GPT_OSS, GB200).legal]

    assert names[:4] == ["TP1", "TP2", "TP4", "TP8"]
    assert {"TEP2", "TEP4", "TEP8", "DEP2", "DEP4", "DEP8", "DEP16", "DEP32", "DEP64", "DEP72"} < set(names)


def test_a_dense_model_gets_tensor_parallelism_only() -> None:
    widths = ["TP1", "TP2", "TP4", "TP8"]
    assert [layout.name for layout in candidates(LLAMA, GB200).legal] == [*widths, "TP4-PP2", "TP4-PP4"]


def test_a_pipeline_stands_on_the_widest_tensor_parallelism_of_a_node() -> None:
    names = {layout.name for layout in candidates(LLAMA, H100).legal}

    assert {"TP8-PP2", "TP8-PP4"} <= names
    assert why_not(Parallelism(tp=1, pp=81), LLAMA, GB200) == "81 pipeline stages for 80 layers"


def test_tensor_parallelism_ends_at_the_kv_heads_but_a_latent_has_none() -> None:
    assert dict(candidates(GPT_OSS, GB200).ruled_out)["TP16"].startswith("8 KV heads")
    assert Parallelism(tp=16) in candidates(DEEPSEEK, GB200).legal


@pytest.mark.parametrize(
    ("layout", "arch", "hardware", "says"),
    [
        (Parallelism(tp=3), GPT_OSS, GB200, "64 attention heads do not divide by 3"),
        (Parallelism(tp=16), DEEPSEEK, H100, "leave the NVLink domain of 8 GPUs"),
        (Parallelism(dp=4, ep=4), LLAMA, GB200, "no experts"),
        (Parallelism(dp=6, ep=6), DEEPSEEK, GB200, "6 GPUs are not whole nodes of 4"),
        (Parallelism(dp=144, ep=144), DEEPSEEK, GB200, "wider than the NVLink domain of 72"),
        (Parallelism(dp=256, ep=256), GPT_OSS, GB200, "256 ranks for 128 experts"),
    ],
)
def test_a_layout_that_no_engine_runs_says_why(
    layout: Parallelism, arch: object, hardware: object, says: str
) -> None:
    why = why_not(layout, arch, hardware)  # type: ignore[arg-type]

    assert why is not None
    assert says in why


def test_wide_expert_parallelism_may_cross_nodes_of_hgx() -> None:
    assert why_not(Parallelism(dp=32, ep=32), DEEPSEEK, H100) is None


@pytest.mark.parametrize("layout", candidates(DEEPSEEK, GB200).legal)
def test_names_read_back(layout: Parallelism) -> None:
    assert parse(layout.name) == layout


@pytest.mark.parametrize("name", ["", "TP", "TP0", "XP4", "TP4-PP0", "tp4x", "TP4-DP2", "DEP1", "TEP1"])
def test_a_name_that_is_no_layout_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="write for example TP4, TEP4, DEP8"):
        parse(name)


@pytest.mark.parametrize(
    "layout",
    [
        Parallelism(tp=8, pp=2),
        Parallelism(tp=2, ep=2, pp=4),
        Parallelism(tp=2, dp=4, ep=8),
        Parallelism(tp=2, dp=2, ep=2, pp=2),
    ],
)
def test_pipelines_and_mixed_widths_read_back(layout: Parallelism) -> None:
    assert parse(layout.name) == layout


def test_experts_that_do_not_divide_the_gpus_are_refused() -> None:
    with pytest.raises(ConfigError, match="EP3 does not divide 4 GPUs"):
        parse("TP2-DP2-EP3")


def test_a_list_of_layouts_is_read_once_each_in_any_case() -> None:
    found = chosen(" tp1, DEP4,TP1 ,tp3", GPT_OSS, GB200)

    assert [layout.name for layout in found.legal] == ["TP1", "DEP4"]
    assert found.ruled_out == (("TP3", "64 attention heads do not divide by 3"),)
