"""Cards: every published figure has a source, names are forgiving, a wrong card says what is wrong."""

from pathlib import Path

import pytest

from config import reference
from models.errors import ConfigError
from models.hardware import Precision

HARDWARE = ("GB200", "GB300", "B200", "H200", "H100")
MODELS = ("gpt-oss-120b", "deepseek-r1", "llama-3.1-70b", "qwen3-32b")

GOOD = """
name: mine
published:
  - source: my own datasheet
    flops_per_s: {bf16: 1.0e+15, fp8: 2.0e+15}
    matmul_reached_ratio: 0.7
    hbm_bytes: 100.0e+9
    hbm_bytes_per_s: 4.0e+12
    hbm_reached_ratio: 0.8
    scaleup_bytes_per_s: 400.0e+9
    scaleout_bytes_per_s: 50.0e+9
    gpus_per_node: 8
    scaleup_gpus: 8
"""


def test_the_cards_that_the_issue_names_exist() -> None:
    assert set(HARDWARE) == set(reference.names("hardware"))
    assert set(MODELS) == set(reference.names("llm"))


@pytest.mark.parametrize("name", HARDWARE)
def test_every_figure_of_a_gpu_has_a_source(name: str) -> None:
    card = reference.hardware(name)

    figures = set(type(card).__dataclass_fields__) - {"name", "sources"}
    assert set(card.sources) == figures
    assert all(len(source) > 15 for source in card.sources.values())


@pytest.mark.parametrize("name", MODELS)
def test_every_figure_of_a_model_has_a_source(name: str) -> None:
    card = reference.architecture(name)

    figures = set(type(card).__dataclass_fields__) - {"name", "sources"}
    optional = {"experts"} if card.experts is None else set()
    assert set(card.sources) == figures - optional


@pytest.mark.parametrize("name", MODELS)
def test_the_shape_of_a_model_adds_up_to_its_published_parameters(name: str) -> None:
    card = reference.architecture(name)

    # Norms, biases and routers are not counted: below one per cent in all of them.
    assert card.counted_parameters() == pytest.approx(card.parameters, rel=0.01)


def test_dense_peaks_double_with_each_halving_of_the_format_on_blackwell() -> None:
    flops = reference.hardware("GB200").flops_per_s

    assert flops[Precision.FP4] == 2 * flops[Precision.FP8] == 4 * flops[Precision.BF16] == 10e15


def test_hopper_widens_fp4_weights_to_bf16() -> None:
    h100, gb200 = reference.hardware("h100"), reference.hardware("gb200")

    assert h100.matmul_flops_per_s(Precision.FP4, Precision.FP8) == h100.flops_per_s[Precision.BF16]
    assert gb200.matmul_flops_per_s(Precision.FP4, Precision.FP8) == gb200.flops_per_s[Precision.FP8]


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("GPT-OSS-120B", "gpt-oss-120b"),
        ("somebody/gpt_oss_120b", "gpt-oss-120b"),
        ("deepseek-ai/DeepSeek-R1", "deepseek-r1"),
        ("meta-llama/Llama-3.1-70B-Instruct", "llama-3.1-70b"),
        ("Qwen/Qwen3-32B", "qwen3-32b"),
    ],
)
def test_a_model_is_found_by_the_names_that_people_use(written: str, means: str) -> None:
    assert reference.architecture(written).name == means


@pytest.mark.parametrize(
    ("written", "nearest"), [("gpt-oss-20b", "gpt-oss-120b"), ("llama-3.1-80b", "llama-3.1-70b")]
)
def test_an_unknown_model_is_refused_with_the_nearest_names(written: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=rf"no model card '{written}' \(did you mean .*{nearest}"):
        reference.architecture(written)


def test_an_unknown_gpu_is_refused_with_all_names() -> None:
    with pytest.raises(ConfigError, match="there are B200, GB200, GB300, H100, H200"):
        reference.hardware("zzz")


def test_a_card_of_ones_own_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)

    card = reference.hardware(str(path))

    assert (card.name, card.gpus_per_node, card.hbm_bytes) == ("mine", 8, 100e9)
    assert card.sources["hbm_bytes"] == "my own datasheet"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("hbm_bytes:", "hbm_byte:", "unknown key hbm_byte; did you mean hbm_bytes"),
        ("    gpus_per_node: 8\n", "", "gpus_per_node is missing"),
        ("hbm_reached_ratio: 0.8", "hbm_reached_ratio: 1.2", "hbm_reached_ratio: .*less than or equal to 1"),
        ("gpus_per_node: 8", "gpus_per_node: -8", "gpus_per_node: .*greater than 0"),
        ("gpus_per_node: 8", "gpus_per_node: 3", "scaleup_gpus must be whole nodes"),
        ("hbm_bytes: 100.0e+9", "hbm_bytes: much", "hbm_bytes: .*valid number"),
        ("bf16: 1.0e+15, ", "", "lacks bf16"),
        ("bf16:", "bf15:", r"flops_per_s\.bf15"),
        ("  - source: my own datasheet\n    flops", "  - flops", "has no source"),
        (
            "    gpus_per_node: 8",
            "  - source: twice\n    hbm_bytes: 1.0\n    gpus_per_node: 8",
            "given twice",
        ),
        ("name: mine\n", "", "name is missing"),
        ("name: mine\n", "nam: mine\nname: mine\n", "unknown key nam; did you mean name"),
        (
            "gpus_per_node: 8",
            "gpus_per_node: 2000000000",
            "gpus_per_node: .*less than or equal to 1000000000",
        ),
        (GOOD, "name: mine\npublished: []\n", "published: "),
    ],
)
def test_a_wrong_card_names_the_file_and_the_key(tmp_path: Path, before: str, after: str, says: str) -> None:
    path = tmp_path / "wrong.yaml"
    assert before in GOOD
    path.write_text(GOOD.replace(before, after))

    with pytest.raises(ConfigError, match=rf"wrong\.yaml: .*{says}"):
        reference.hardware(str(path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("just words", r":1: is a single value; a card is a mapping"),
        ("name: [", r":1: is not valid YAML"),
        ("name: mine\nname: yours\n", r":2: name is already there at line 1; keep one"),
        ("name: !!int abc\n", r":1: name the tag .* means nothing here"),
        ("[" * 5000, r": is nested too deeply"),
        ("", r": is empty; a card is a mapping"),
    ],
)
def test_what_is_no_card_at_all_names_the_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=rf"wrong\.yaml{says}"):
        reference.hardware(str(path))


def test_a_card_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file"):
        reference.architecture(str(tmp_path / "none.yaml"))


def test_a_shape_that_contradicts_its_parameters_is_refused(tmp_path: Path) -> None:
    text = (reference.PRESETS / "llm" / "qwen3-32b.yaml").read_text()
    path = tmp_path / "wrong.yaml"
    path.write_text(text.replace("layers: 64", "layers: 46"))

    with pytest.raises(ConfigError, match=r"the shape has 24\.0 B parameters, `parameters` says 32\.8 B"):
        reference.architecture(str(path))
