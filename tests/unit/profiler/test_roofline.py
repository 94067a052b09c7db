"""The roofline estimator against published measurements, and its memory in figures."""

from dataclasses import replace

import pytest

from models.engine import Serving
from models.hardware import Precision
from models.values import Parallelism, Role
from profiler.measure.backend import Refusal, Replica
from profiler.measure.roofline.estimator import Roofline
from profiler.measure.roofline.iteration import prefill_chunks
from profiler.measure.roofline.memory import touched_experts
from profiler.order import Order
from profiler.wiring import bench
from tests.bench import calibrate
from tests.bench.measured import mape, read_runs, tpot_errors
from tests.components import fact

TP1, TP4, DEP4 = Parallelism(), Parallelism(tp=4), Parallelism(dp=4, ep=4)


def roofline(model: str, hardware: str = "GB200", engine: str = "trtllm") -> Roofline:
    found = bench(Order(model, hardware, engine)).backend
    assert isinstance(found, Roofline)
    return found


GPT_OSS = roofline("gpt-oss-120b")


@pytest.mark.parametrize(
    ("model", "engine", "runs", "band", "worst"),
    [
        # Fitted: 5.3 % and 5.4 %; repeated runs of one setting differ by up to a third (DEP2 at batch 247).
        ("gpt-oss-120b", "trtllm", 21, 0.07, 0.25),
        ("deepseek-r1", "sglang", 10, 0.07, 0.20),
    ],
)
def test_tpot_agrees_with_published_runs(
    model: str, engine: str, runs: int, band: float, worst: float
) -> None:
    measured = read_runs(fact("gb200_measured.csv"), model)

    errors = tpot_errors(measured, roofline(model, engine=engine))

    assert len(errors) == runs
    assert mape(errors) <= band
    assert max(map(abs, errors)) <= worst


@pytest.mark.parametrize("target", calibrate.TARGETS, ids=lambda target: target.engine)
def test_constants_fitted_on_half_the_runs_predict_the_other_half(target: calibrate.Target) -> None:
    runs = read_runs(fact("gb200_measured.csv"), target.model)

    fitted = calibrate.fit(target, runs[::2])

    # 15 % is what a silicon database must beat to be worth its 82 MB.
    errors = tpot_errors(runs[1::2], calibrate.estimator(target, fitted))
    assert mape(errors) <= 0.15


@pytest.mark.parametrize("target", calibrate.TARGETS, ids=lambda target: target.engine)
def test_the_cards_hold_what_the_fit_gives(target: calibrate.Target) -> None:
    fitted = calibrate.fit(target, read_runs(fact("gb200_measured.csv"), target.model))

    card = calibrate.card_constants(target)

    for name in (*calibrate.NAMES, "request_s"):
        # Cards are rounded to three digits.
        assert getattr(card, name) == pytest.approx(getattr(fitted, name), rel=0.01), name


def test_a_long_prompt_takes_the_engine_time_that_bulk_prefill_implies() -> None:
    # 108,000 to 116,000 tokens/s at 1k prompts: 8,000 tokens take 69 to 74 ms, and more with their attention.
    assert 0.070 <= GPT_OSS.prefill_s(TP1, 8000, 1) <= 0.110


def test_full_iterations_reach_the_measured_bulk_rate() -> None:
    seconds = GPT_OSS.prefill_s(TP1, 1024, 8)

    assert 108_000 <= 8 * 1024 / seconds <= 116_000


def test_a_single_prompt_is_far_slower_per_token_than_bulk() -> None:
    # Measured: 40 ms to the first token of one prompt, overhead and hand-over included: 23,000 tokens/s.
    prefill, decode = GPT_OSS.describe(Role.PREFILL, TP1), GPT_OSS.describe(Role.DECODE, TP4)
    assert isinstance(prefill, Replica)
    assert isinstance(decode, Replica)
    steps_s = (decode.handover_steps + 1) * GPT_OSS.decode_s(TP4, 922, 1)
    first_s = GPT_OSS.prefill_s(TP1, 922, 1) + prefill.overhead_s + steps_s
    assert first_s == pytest.approx(0.0397, rel=0.02)
    assert 922 / first_s < 0.25 * 8 * 922 / GPT_OSS.prefill_s(TP1, 922, 8)


def test_a_decode_step_of_four_gpus_agrees_with_its_measurement() -> None:
    # Measured: 6.41 ms at 247 sequences of 1.5k.
    assert GPT_OSS.decode_s(DEP4, 1536, 247) == pytest.approx(0.00641, rel=0.10)


def test_hopper_is_slower_than_blackwell() -> None:
    slow, fast = roofline("gpt-oss-120b", "H100"), GPT_OSS

    assert slow.prefill_s(TP1, 8000, 1) > 2 * fast.prefill_s(TP1, 8000, 1)
    assert slow.decode_s(TP4, 1536, 64) > fast.decode_s(TP4, 1536, 64)


@pytest.mark.parametrize(
    ("model", "hardware", "engine", "layout", "fits"),
    [
        ("gpt-oss-120b", "H100", "trtllm", TP1, True),
        ("llama-3.1-70b", "H100", "trtllm", TP1, False),
        ("llama-3.1-70b", "GB200", "trtllm", TP1, True),
        # Published runs served fp8 DeepSeek-R1 on 4 GB200, with TP and with DP attention.
        ("deepseek-r1", "GB200", "sglang", TP4, True),
        ("deepseek-r1", "GB200", "sglang", DEP4, True),
        ("deepseek-r1", "GB200", "sglang", TP1, False),
        ("deepseek-r1", "H100", "sglang", Parallelism(tp=8), False),
        ("deepseek-r1", "H200", "sglang", Parallelism(tp=8), True),
    ],
)
def test_layouts_fit_where_they_are_known_to(
    model: str, hardware: str, engine: str, layout: Parallelism, fits: bool
) -> None:
    found = roofline(model, hardware, engine).describe(Role.DECODE, layout)

    assert isinstance(found, Replica) is fits


def test_a_layout_that_does_not_fit_says_so_in_gigabytes() -> None:
    found = roofline("llama-3.1-70b", "H100").describe(Role.PREFILL, TP1)

    assert isinstance(found, Refusal)
    assert "141.1 GB of weights" in found.reason
    assert found.reason.endswith("GB of reserve exceed its 85.5 GB")


def test_dp_attention_keeps_a_cache_per_rank_and_tensor_parallelism_copies_a_latent() -> None:
    deepseek = roofline("deepseek-r1", engine="sglang")

    dep8 = deepseek.describe(Role.DECODE, Parallelism(dp=8, ep=8))
    tp8 = deepseek.describe(Role.DECODE, Parallelism(tp=8))

    assert isinstance(dep8, Replica)
    assert isinstance(tp8, Replica)
    # Attention weights are copied per rank, which costs some of the eightfold cache.
    assert 6 < dep8.kv_capacity_tokens / tp8.kv_capacity_tokens < 8
    assert dep8.limits.max_num_seqs == 8 * tp8.limits.max_num_seqs


def test_sliding_windows_take_a_fixed_share_per_sequence() -> None:
    replica = GPT_OSS.describe(Role.DECODE, TP1)

    assert isinstance(replica, Replica)
    assert replica.kv_fixed_tokens == 128.0


def test_decode_replicas_add_no_overhead_and_prefill_replicas_hand_over() -> None:
    prefill, decode = (GPT_OSS.describe(role, TP1) for role in (Role.PREFILL, Role.DECODE))

    assert isinstance(prefill, Replica)
    assert isinstance(decode, Replica)
    assert decode.overhead_s == decode.handover_s_per_token == 0.0
    # 8,000 tokens of cache over NVLink: 0.16 ms.
    assert 8000 * prefill.handover_s_per_token == pytest.approx(0.00016, rel=0.1)


def test_few_tokens_touch_few_experts_and_many_touch_all() -> None:
    arch = GPT_OSS.arch

    assert touched_experts(arch, TP1, 1) == pytest.approx(4)
    assert touched_experts(arch, TP1, 16) == pytest.approx(128 * (1 - (124 / 128) ** 16))
    assert touched_experts(arch, TP1, 5000) == pytest.approx(128)
    assert touched_experts(arch, Parallelism(tp=4, ep=4), 5000) == 32


def test_a_pipeline_trades_a_users_speed_for_room() -> None:
    """Two stages hold half of the layers each: more KV cache per sequence, the same pass for one sequence."""
    llama, piped = roofline("llama-3.1-70b", "H100"), Parallelism(tp=4, pp=2)
    alone, wide = llama.describe(Role.DECODE, TP4), llama.describe(Role.DECODE, piped)
    assert isinstance(alone, Replica)
    assert isinstance(wide, Replica)

    # Eight GPUs instead of four hold the weights once: more than twice the cache.
    assert wide.kv_capacity_tokens > 2 * alone.kv_capacity_tokens
    assert wide.limits.max_num_seqs == 2 * alone.limits.max_num_seqs
    # One sequence passes all layers either way, and the hop between stages is short.
    one, piped_one = llama.decode_s(TP4, 1000, 1), llama.decode_s(piped, 1000, 1)
    assert one < piped_one < 1.02 * one
    # Two batches in flight take a batch's time each.
    assert llama.decode_s(piped, 1000, 128) == pytest.approx(llama.decode_s(TP4, 1000, 64), rel=0.02)


def test_chunks_of_long_prompts_overlap_in_a_pipeline() -> None:
    llama, piped = roofline("llama-3.1-70b", "H100"), Parallelism(tp=4, pp=2)

    assert llama.prefill_s(piped, 8000, 1) == pytest.approx(llama.prefill_s(TP4, 8000, 1), rel=0.05)
    # Sixteen chunks follow one another through two stages: 17 / 2 passes.
    speedup = llama.prefill_s(TP4, 8192, 16) / llama.prefill_s(piped, 8192, 16)
    assert speedup == pytest.approx(16 / 8.5, rel=0.05)


def test_a_cached_prefix_saves_its_arithmetic_but_not_its_attention() -> None:
    whole, rest = GPT_OSS.prefill_s(TP1, 32_768, 1), GPT_OSS.prefill_s(TP1, 8192, 1, cached_tokens=24_576)

    assert GPT_OSS.prefill_s(TP1, 8192, 1) < rest < 0.5 * whole


def test_work_behind_a_prefix_adds_up_to_the_whole_prompt() -> None:
    """Reading a prompt in two halves, the second behind the first, counts every pair once."""
    chunk = 10**9
    _, whole = prefill_chunks(GPT_OSS.arch, TP1, 4000, 1, chunk)
    halves = [prefill_chunks(GPT_OSS.arch, TP1, 2000, 1, chunk, cached)[1] for cached in (0, 2000)]

    for name in ("full_pairs", "window_pairs", "tokens"):
        assert sum(getattr(half, name) for half in halves) == pytest.approx(getattr(whole, name)), name


def test_speculation_pays_where_decoding_waits_for_memory() -> None:
    """Three drafts, 2.5 tokens a step: nearly that factor alone, less in a batch that computes."""
    drafting = replace(GPT_OSS, serving=Serving(draft_tokens=3, accepted_tokens=2.5))

    def gain(batch: float) -> float:
        return GPT_OSS.decode_s(TP4, 1000, batch) / drafting.decode_s(TP4, 1000, batch)

    assert 1.2 < gain(1) < 2.5
    assert gain(1024) < gain(1)


def test_number_formats_change_memory_and_time() -> None:
    """Llama's 70.6 B parameters take half in fp8; its decode step at batch 1 is reading them."""
    plain = roofline("llama-3.1-70b", "H100")
    found = bench(Order("llama-3.1-70b", "H100", weight_precision=Precision.FP8, kv_precision=Precision.FP8))
    quantised = found.backend
    assert isinstance(quantised, Roofline)

    assert isinstance(plain.describe(Role.DECODE, TP1), Refusal)
    replica, two = quantised.describe(Role.DECODE, TP4), plain.describe(Role.DECODE, TP4)
    assert isinstance(replica, Replica)
    assert isinstance(two, Replica)
    assert replica.kv_capacity_tokens > 2 * two.kv_capacity_tokens
    ratio = quantised.decode_s(TP4, 1000, 1) / plain.decode_s(TP4, 1000, 1)
    assert 0.5 < ratio < 0.75
