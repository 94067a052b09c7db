"""The silicon backend: what it reads off kernels, how it puts passes together, what it owns up to."""

import shutil
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from config import reference
from models.artifact import Phase
from models.engine import Serving
from models.errors import ConfigError
from models.hardware import Precision
from models.values import Parallelism, Role
from profiler.measure.backend import Measurement, Refusal, Replica, SweepPoint
from profiler.measure.silicon import database
from profiler.measure.silicon.estimator import Silicon
from profiler.measure.silicon.overheads import Overheads
from profiler.measure.silicon.passes import Passes
from tests import components

TP1, TP4 = Parallelism(), Parallelism(tp=4)
DEP2, DEP4, DEP8, DEP32 = (Parallelism(dp=n, ep=n) for n in (2, 4, 8, 32))
KERNELS = Overheads(0.0, 0.0, 0.0, 0.0, 1.0, 0.0, "")


@cache
def silicon(
    model: str = "gpt-oss-120b",
    hardware: str = "GB200",
    engine: str = "trtllm",
    serving: Serving = Serving(),  # noqa: B008
    overheads: Overheads | None = None,
) -> Silicon:
    components.silicon()
    cards = reference.architecture(model), reference.hardware(hardware), reference.engine(engine)
    return Silicon(*cards, serving=serving, overheads=overheads)


def passes(backend: Silicon, layout: Parallelism, phase: Phase) -> Passes:
    found = backend.passes(layout, phase)
    assert isinstance(found, Passes), found
    return found


def described(backend: Silicon, role: Role, layout: Parallelism) -> Replica:
    replica = backend.describe(role, layout)
    assert isinstance(replica, Replica), replica
    return replica


@pytest.mark.parametrize("model", reference.names("llm"))
@pytest.mark.parametrize("hardware", reference.names("hardware"))
def test_every_card_has_a_name_in_the_database(model: str, hardware: str) -> None:
    backend = silicon(model, hardware)

    assert f"on {hardware.lower()}" in backend.identity
    assert model.partition("-")[0] in backend.identity.lower()


@pytest.mark.parametrize(
    ("model", "hardware", "formats"),
    [
        ("gpt-oss-120b", "GB200", "bfloat16 products, w4a8_mxfp4_mxfp8 experts, fp8 cache"),
        # Hopper has no 4-bit tensor cores: weights are widened, activations stay 16-bit.
        ("gpt-oss-120b", "H100", "bfloat16 products, w4a16_mxfp4 experts, fp8 cache"),
        ("deepseek-r1", "GB200", "fp8_block products, fp8_block experts, fp8 cache"),
        ("qwen3-32b", "GB200", "bfloat16 products, bfloat16 cache"),
    ],
)
def test_number_formats_follow_the_card(model: str, hardware: str, formats: str) -> None:
    assert silicon(model, hardware).identity.endswith(formats)


def test_number_formats_follow_how_the_engine_serves() -> None:
    quantised = silicon("qwen3-32b", serving=Serving(Precision.FP8, Precision.FP8))

    assert quantised.identity.endswith("fp8_static products, fp8 cache")
    assert quantised.decode_s(TP1, 2000, 8) < silicon("qwen3-32b").decode_s(TP1, 2000, 8)


def test_an_unknown_model_is_refused_with_the_nearest() -> None:
    components.silicon()
    stranger = replace(reference.architecture("qwen3-32b"), name="qwen3-33b")

    with pytest.raises(ConfigError, match=r"no configuration of 'qwen3-33b'.*Qwen/Qwen3-32B"):
        Silicon(stranger, reference.hardware("GB200"), reference.engine("trtllm"))


def test_a_configuration_of_ones_own_gives_the_same_times(tmp_path: Path) -> None:
    components.silicon()
    bundled = database.sample().parent.parent / "model_configs" / "Qwen--Qwen3-32B_config.json"
    shutil.copy(bundled, tmp_path / "config.json")
    stranger = replace(reference.architecture("qwen3-32b"), name="my-own")
    cards = stranger, reference.hardware("GB200"), reference.engine("trtllm")

    for config in (str(tmp_path), str(tmp_path / "config.json")):
        assert Silicon(*cards, config=config).decode_s(TP1, 2000, 8) == silicon("qwen3-32b").decode_s(
            TP1, 2000, 8
        )


def test_a_configuration_of_another_shape_is_refused(tmp_path: Path) -> None:
    components.silicon()
    cards = reference.architecture("qwen3-32b"), reference.hardware("GB200"), reference.engine("trtllm")

    with pytest.raises(ConfigError, match=r"gpt-oss-120b is not qwen3-32b.*'layers': 36.*'layers': 64"):
        Silicon(*cards, config="openai/gpt-oss-120b")
    with pytest.raises(ConfigError, match=r"nope: neither a folder with config.json nor a model"):
        Silicon(*cards, config=str(tmp_path / "nope"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"not a model configuration that the database.*no 'architectures'"):
        Silicon(*cards, config=str(tmp_path))


def test_hardware_and_engines_that_were_not_measured_are_refused() -> None:
    components.silicon()
    arch, hardware, engine = (
        reference.architecture("qwen3-32b"),
        reference.hardware("GB200"),
        reference.engine("trtllm"),
    )

    with pytest.raises(ConfigError, match=r"no measurements on GB250; nearest: .*gb200"):
        Silicon(arch, replace(hardware, name="GB250"), engine)
    with pytest.raises(ConfigError, match=r"knows the engines sglang, trtllm, vllm, not 'mine'"):
        Silicon(arch, hardware, replace(engine, name="mine"))


def test_without_the_extra_the_refusal_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiconfigurator_core", None)

    with pytest.raises(ConfigError, match=r"pip install 'headgate\[silicon\]'"):
        Silicon(reference.architecture("qwen3-32b"), reference.hardware("GB200"), reference.engine("trtllm"))


def test_a_decode_batch_counts_the_whole_replica() -> None:
    backend = silicon(overheads=KERNELS)

    per_rank = passes(backend, DEP4, Phase.DECODE).blend.parts[0][1].handle.decode_s(64, 1536)

    assert backend.decode_s(DEP4, 1536, 256) == pytest.approx(per_rank)
    # A rank that has less than one sequence has one.
    assert backend.decode_s(DEP4, 1536, 1) == backend.decode_s(DEP4, 1536, 4)


def test_a_batch_between_whole_sequences_lies_between_their_times() -> None:
    backend = silicon()

    low, middle, high = (backend.decode_s(TP1, 1536, batch) for batch in (8, 8.25, 9))

    assert middle == pytest.approx(low + (high - low) / 4)


def test_prompts_are_read_in_passes_of_the_engines_most_tokens() -> None:
    backend = silicon(overheads=KERNELS)
    handle = passes(backend, TP1, Phase.PREFILL).blend.parts[0][1].handle
    assert backend.engine.max_num_batched_tokens == 8192

    assert backend.prefill_s(TP1, 1024, 4) == pytest.approx(handle.prefill_s(4, 1024, 0))
    assert backend.prefill_s(TP1, 1024, 24) == pytest.approx(3 * handle.prefill_s(8, 1024, 0))
    # A long prompt finds its first chunk in the cache when its second is computed.
    chunks = handle.prefill_s(1, 8192, 0) + handle.prefill_s(1, 8192, 8192)
    assert backend.prefill_s(TP1, 16_384, 1) == pytest.approx(chunks)
    assert chunks > 2 * handle.prefill_s(1, 8192, 0)


def test_cached_tokens_cost_less_than_computed_ones_but_are_not_free() -> None:
    backend = silicon()

    alone = backend.prefill_s(TP1, 2048, 1)
    behind = backend.prefill_s(TP1, 2048, 1, cached_tokens=6144)

    assert alone < behind < backend.prefill_s(TP1, 8192, 1)


def test_only_workers_that_send_the_cache_away_pay_for_it() -> None:
    backend, cost = silicon(), silicon().overheads
    assert cost is not None

    sending, keeping = (
        backend.measure(SweepPoint(role, TP1, Phase.PREFILL, 1024, 8))
        for role in (Role.PREFILL, Role.AGGREGATED)
    )

    assert isinstance(sending, Measurement)
    assert isinstance(keeping, Measurement)
    # Within 1 %: gaps between kernels are paid by both.
    assert keeping.seconds / sending.seconds == pytest.approx(cost.prefill_ratio, rel=0.01)


def test_pipeline_stages_work_on_parts_of_the_batch_at_once() -> None:
    backend = silicon("llama-3.1-70b", overheads=KERNELS)
    piped = Parallelism(tp=4, pp=2)

    # Sends between stages are all that a part's step costs beyond TP4's: below 5 %.
    assert backend.decode_s(piped, 2000, 64) == pytest.approx(backend.decode_s(TP4, 2000, 32), rel=0.05)
    # 16 chunks take 17 half passes.
    assert backend.prefill_s(piped, 8192, 16) == pytest.approx(backend.prefill_s(TP4, 8192, 17) / 2, rel=0.05)


def test_a_speculated_step_verifies_its_drafts_and_counts_for_what_it_emits() -> None:
    plain = silicon("deepseek-r1", engine="sglang", overheads=KERNELS)
    drafting = silicon(
        "deepseek-r1", "GB200", "sglang", Serving(draft_tokens=3, accepted_tokens=1.0), KERNELS
    )
    accepting = silicon(
        "deepseek-r1", "GB200", "sglang", Serving(draft_tokens=3, accepted_tokens=2.5), KERNELS
    )

    step, verified = plain.decode_s(TP4, 1536, 8), drafting.decode_s(TP4, 1536, 8)

    assert step < verified < 4 * step
    # At least what the products of four times the tokens take.
    assert verified > 0.9 * plain.decode_s(TP4, 1536, 32)
    assert accepting.decode_s(TP4, 1536, 8) == pytest.approx(verified / 2.5)
    assert drafting.prefill_s(TP4, 1024, 1) == plain.prefill_s(TP4, 1024, 1)


def test_a_layout_rests_on_data_as_far_as_its_kernels_and_communication_were_measured() -> None:
    backend = silicon()

    assert described(backend, Role.DECODE, DEP2).extrapolated == ""
    assert described(backend, Role.DECODE, DEP4).extrapolated == ""
    assert "among 4 GPUs at most" in described(backend, Role.DECODE, DEP8).extrapolated
    # TensorRT-LLM's MXFP4 experts were measured spread over ranks only, never sliced.
    assert "kernels of another width stand in" in described(backend, Role.DECODE, TP4).extrapolated


def test_an_expert_width_between_measured_ones_lies_between_them() -> None:
    backend = silicon("deepseek-r1", engine="sglang", overheads=KERNELS)
    dep48, dep64 = (Parallelism(dp=n, ep=n) for n in (48, 64))

    sides = [backend.decode_s(layout, 1536, 64 * layout.dp) for layout in (DEP32, dep64)]

    assert min(sides) <= backend.decode_s(dep48, 1536, 64 * 48) <= max(sides)
    assert "EP48 lies between EP32 and EP64" in described(backend, Role.DECODE, dep48).extrapolated


def test_wide_experts_exchange_tokens_instead_of_gathering_all_everywhere() -> None:
    backend = silicon("deepseek-r1", engine="sglang")

    (weight, build), *others = passes(backend, DEP32, Phase.DECODE).blend.parts

    assert (weight, others) == (1.0, [])
    assert build.request.comm == ("deepep_ht", "deepep_ll")
    # With the ordinary collectives the same step takes 75 ms; 33 ms were measured.
    assert backend.decode_s(DEP32, 1383, 3654) == pytest.approx(0.0329, rel=0.25)


def test_bounds_are_those_of_the_tables_behind_the_layout() -> None:
    backend = silicon()

    prefill = dict(described(backend, Role.PREFILL, TP1).bounds)[Phase.PREFILL]
    decode = dict(described(backend, Role.DECODE, DEP4).bounds)[Phase.DECODE]

    # Prompts up to 16,384 tokens were measured; from 32 on, 256 of them fill a pass of 8,192.
    assert prefill.x == (32.0, 16_384.0)
    assert prefill.y == (1.0, 2048.0)
    # Up to 2,048 tokens of context 128 sequences of a rank were measured, and DEP4 has four ranks.
    assert decode.x == (2.0, 2048.0)
    assert decode.y == (1.0, 512.0)
    both = described(backend, Role.AGGREGATED, TP1).bounds
    assert {phase for phase, _ in both} == set(Phase)


def test_kv_capacity_is_the_databases_own_estimate_near_our_memory_model() -> None:
    replica = described(silicon(), Role.DECODE, TP1)

    assert "KV capacity as the database estimates it" in replica.provenance
    # Ours: 6.4 million tokens. The two differ in what they leave to activations and buffers: below 10 %.
    assert replica.kv_capacity_tokens == pytest.approx(6.38e6, rel=0.1)


def test_a_refused_kv_estimate_is_no_proof_that_a_layout_does_not_fit() -> None:
    # DeepSeek-R1 fp8 was served on 4 GB200 in public runs.
    replica = described(silicon("deepseek-r1", engine="sglang"), Role.DECODE, TP4)

    assert "KV capacity by the roofline's memory model (the database: no KV budget)" in replica.provenance
    assert replica.kv_capacity_tokens > 100_000


def test_what_does_not_fit_is_refused_in_gigabytes() -> None:
    refusal = silicon("deepseek-r1", engine="sglang").describe(Role.DECODE, TP1)

    assert isinstance(refusal, Refusal)
    assert "672.8 GB of weights" in refusal.reason


def test_what_was_never_measured_is_a_refusal_with_the_databases_reason() -> None:
    # 160 ranks for 128 experts.
    wide, backend = Parallelism(dp=160, ep=160), silicon()

    refusal = backend.describe(Role.DECODE, wide)
    point = backend.measure(SweepPoint(Role.DECODE, wide, Phase.DECODE, 1024, 8))

    assert isinstance(refusal, Refusal)
    assert isinstance(point, Refusal)
    assert refusal.reason.startswith("the database has no data for it: ")
    assert point.reason == refusal.reason
    assert "site-packages" not in refusal.reason


def test_requests_overheads_are_told_apart_from_engine_time() -> None:
    backend = silicon()

    prefill, decode = described(backend, Role.PREFILL, TP1), described(backend, Role.DECODE, TP1)

    assert backend.overheads is not None
    assert prefill.overhead_s == backend.overheads.request_s > 0
    assert prefill.handover_s_per_token > 0
    assert decode.overhead_s == 0
    assert "overheads fitted on GB200" in prefill.provenance


def test_the_host_hides_behind_the_gpu_until_it_is_the_longer() -> None:
    cost = Overheads(1e-6, 100e-6, 10e-6, 5e-6, 0.5, 0.0, "")

    assert cost.decode_s(0.020, layers=60, sequences=10, doublings=0) == pytest.approx(0.020 + 60e-6)
    assert cost.decode_s(0.002, layers=60, sequences=10, doublings=0) == pytest.approx(0.0061)
    assert cost.decode_s(0.020, layers=60, sequences=10, doublings=3) == pytest.approx(0.020 + 60 * 16e-6)
    assert cost.prefill_s(0.020, 60, 1, 0, sends=True) == pytest.approx(0.040 + 60e-6)
    assert cost.prefill_s(0.020, 60, 1, 0, sends=False) == pytest.approx(0.020 + 60e-6)
