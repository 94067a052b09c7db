"""Serve the traffic that a reader of the README has: a real Prometheus with three days of a daily wave."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests import openai_engine
from tests.integration.openmetrics import ITL, TTFT, Export, Pod, Week, write
from tests.integration.prometheus_server import load, serving

DAYS = 3
MODEL = "gpt-oss-120b"
# Samples of the time that the test itself takes.
AHEAD_MINUTES = 30
# Prompts and answers of the README's own trace: 4,000 to 28,000 tokens in, 50 to 350 out.
INPUT = ({4096.0: 0.01, 8192.0: 0.17, 16384.0: 0.51, 32768.0: 1.0, float("inf"): 1.0}, 16_000.0)
OUTPUT = ({64.0: 0.05, 256.0: 0.69, 1024.0: 1.0, float("inf"): 1.0}, 200.0)


@contextmanager
def endpoint() -> Iterator[str]:
    """Serve the model of the README behind an OpenAI-compatible URL, from an engine of known times."""
    with openai_engine.serving(behaviour=openai_engine.Behaviour(models=(MODEL,))) as state:
        yield state.url


def rate_rps(hours_ago: float) -> float:
    """Return a wave between 3 and 27 requests a second that peaks every day, next three hours from now."""
    return 15.0 + 12.0 * math.cos(2 * math.pi * (hours_ago + 3.0) / 24.0)


def three_days(now_s: float) -> Week:
    """Return requests per minute until a little after `now_s` (Unix seconds)."""
    end_s = 60 * (int(now_s) // 60 + AHEAD_MINUTES)
    minutes = DAYS * 1440 + AHEAD_MINUTES
    begin_s = end_s - 60 * minutes
    rng = np.random.default_rng(7)
    means = [60.0 * rate_rps((now_s - begin_s - 60.0 * i) / 3600.0) for i in range(minutes)]
    return Week(begin_s, rng.poisson(means).astype(np.float64))


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """Serve it as a Dynamo frontend's series until the caller is done; yields the base URL."""
    histograms = {
        "dynamo_frontend_input_sequence_tokens": INPUT,
        "dynamo_frontend_output_sequence_tokens": OUTPUT,
        "dynamo_frontend_time_to_first_token_seconds": TTFT,
        "dynamo_frontend_inter_token_latency_seconds": ITL,
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = write(folder, three_days(time.time()), Export((Pod("a", 1.0),), histograms=histograms))
    load(written, folder / "data")
    with serving(folder / "data", folder) as url:
        yield url
