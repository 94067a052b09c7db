"""Limits that an endpoint publishes are read in each engine's own words."""

from profiler.measure.endpoint.policy import Stated
from profiler.measure.endpoint.published import from_metrics, from_server_info

DYNAMO = """
# HELP dynamo_frontend_model_total_kv_blocks Total KV blocks
dynamo_frontend_model_total_kv_blocks{model="openai/gpt-oss-120b"} 2048
dynamo_frontend_model_total_kv_blocks{model="other"} 9
dynamo_frontend_model_kv_cache_block_size{model="openai/gpt-oss-120b"} 64
dynamo_frontend_model_max_num_seqs{model="openai/gpt-oss-120b"} 256
dynamo_frontend_model_max_num_batched_tokens{model="openai/gpt-oss-120b"} 8192
dynamo_frontend_model_context_length{model="openai/gpt-oss-120b"} 0
"""
VLLM = """
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="1000"} 1.0
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="1",num_gpu_blocks="1000"} 1.0
"""


def test_dynamo_publishes_one_rank_s_figures_per_model() -> None:
    assert from_metrics(DYNAMO, "openai/gpt-oss-120b", ranks=1) == Stated(256, 8192, 2048 * 64)
    assert from_metrics(DYNAMO, "openai/gpt-oss-120b", ranks=4) == Stated(1024, 32768, 4 * 2048 * 64)


def test_another_model_s_figures_are_not_ours() -> None:
    assert from_metrics(DYNAMO, "llama", ranks=1) == Stated()


def test_vllm_publishes_a_series_for_each_rank() -> None:
    assert from_metrics(VLLM, "any", ranks=2) == Stated(None, None, 2 * 1000 * 16)


def test_sglang_publishes_its_capacity_and_answers_for_the_rest() -> None:
    page = 'sglang:max_total_num_tokens{model_name="llama",tp_rank="0"} 500000.0\n'
    info = '{"max_running_requests": 64, "chunked_prefill_size": 8192, "max_total_num_tokens": 500000}'

    assert from_metrics(page, "llama", ranks=1) == Stated(None, None, 500_000)
    assert from_server_info(info, ranks=2) == Stated(128, 16384, 1_000_000)


def test_chunking_that_is_off_leaves_the_bound_of_a_prefill_batch() -> None:
    info = '{"chunked_prefill_size": -1, "max_prefill_tokens": 16384}'

    assert from_server_info(info, ranks=1).max_num_batched_tokens == 16384


def test_pages_of_something_else_say_nothing() -> None:
    for text in ("", "<html>", "[]", "null", '{"max_running_requests": "many"}', "dynamo_frontend_x NaN"):
        assert from_metrics(text, "llama", ranks=1) == Stated()
        assert from_server_info(text, ranks=1) == Stated()


def test_what_a_person_states_comes_before_what_is_published() -> None:
    assert Stated(max_num_seqs=8).filled(Stated(256, 8192, 1e6)) == Stated(8, 8192, 1e6)
