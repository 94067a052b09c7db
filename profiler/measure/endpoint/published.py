"""Read an engine's limits off what its endpoint publishes."""

import json
import re

from models.errors import MeasureError
from profiler.measure.endpoint.client import Client
from profiler.measure.endpoint.failure import AnswerError
from profiler.measure.endpoint.policy import EndpointPolicy, Stated

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)", re.MULTILINE)
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')

Samples = list[tuple[str, dict[str, str], float]]


async def published(client: Client, policy: EndpointPolicy, model: str, ranks: int) -> Stated:
    """Return what metrics and server information say of one replica of `ranks` attention ranks.

    An endpoint that publishes nothing, or nothing that is known here, gives no figures; it is no failure.
    """
    text = await _page(client, policy.metrics_url or "/metrics")
    found = from_metrics(text, model, ranks)
    if found == Stated():
        found = from_server_info(await _page(client, "/get_server_info"), ranks)
    return found


async def _page(client: Client, where: str) -> str:
    try:
        received = await client.get(where)
    except (AnswerError, MeasureError):
        # Metrics may live behind a port that is closed to us.
        return ""
    return received.text if received.status == 200 else ""


def from_metrics(text: str, model: str, ranks: int) -> Stated:
    """Return what a metrics page says, as Dynamo, vLLM and SGLang name it.

    Dynamo and SGLang publish one attention rank's figures, vLLM a series for each rank that the server holds.
    """
    samples = [sample for sample in _samples(text) if _of_model(sample[1], model)]
    blocks = _highest(samples, "dynamo_frontend_model_total_kv_blocks")
    size = _highest(samples, "dynamo_frontend_model_kv_cache_block_size")
    capacity = blocks * size * ranks if blocks and size else None
    if capacity is None:
        capacity = sum(
            _number(labels.get("num_gpu_blocks")) * _number(labels.get("block_size"))
            for name, labels, _ in samples
            if name == "vllm:cache_config_info"
        )
    if not capacity:
        capacity = (_highest(samples, "sglang:max_total_num_tokens") or 0.0) * ranks
    seqs = _highest(samples, "dynamo_frontend_model_max_num_seqs")
    batched = _highest(samples, "dynamo_frontend_model_max_num_batched_tokens")
    return Stated(
        int(seqs) * ranks if seqs else None, int(batched) * ranks if batched else None, capacity or None
    )


def from_server_info(text: str, ranks: int) -> Stated:
    """Return what SGLang's `/get_server_info` says."""
    try:
        info = json.loads(text)
    except ValueError:
        return Stated()
    if not isinstance(info, dict):
        return Stated()
    seqs = _number(info.get("max_running_requests"))
    batched = _number(info.get("chunked_prefill_size")) or _number(info.get("max_prefill_tokens"))
    capacity = _number(info.get("max_total_num_tokens"))
    return Stated(
        int(seqs) * ranks if seqs else None,
        int(batched) * ranks if batched else None,
        capacity * ranks if capacity else None,
    )


def _samples(text: str) -> Samples:
    found: Samples = []
    for match in _SAMPLE.finditer(text):
        value = _number(match[3])
        found.append((match[1], dict(_LABEL.findall(match[2] or "")), value))
    return found


def _of_model(labels: dict[str, str], model: str) -> bool:
    named = labels.get("model") or labels.get("model_name")
    return named is None or named.lower() == model.lower()


def _highest(samples: Samples, metric: str) -> float | None:
    values = [value for name, _, value in samples if name == metric and value > 0]
    return max(values, default=None)


def _number(text: object) -> float:
    """Return a finite number that is not below zero, 0 for anything else."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        return 0.0
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 <= value < float("inf") else 0.0
