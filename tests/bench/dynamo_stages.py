"""Set the stages on which policies meet in Dynamo's replay: recorded rates and recorded lengths.

Rates follow the recorded week of azure_llm_2024_conv (minutes read off a plot) at a mean of 1.7 requests/s;
lengths are pairs of mooncake_conversation's rows up to 32,768 tokens of prompt. Dynamo's replay takes some
4 us per output token: slow replicas, of which 2.8 requests/s fill eight for prefill and eight for decode, let
it simulate two hours in ten to thirty seconds of a core.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.artifact import EngineLimits, LayoutProfile
from models.series import Floats
from models.simulation.workload import Workload
from models.surface import Surface
from models.values import Parallelism, Role, Router
from tests.components import trace
from tests.demand import MINUTES_PER_DAY, SUNDAY_S, recorded_minutes
from tests.dynamo_replay import Theatre

MEAN_RPS = 1.7
LONGEST_PROMPT = 32_768
TTFT_S, ITL_S = 14.0, 0.04
GPU_CAP = 40
BLOCK_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Scene:
    """Name a stretch of the recorded week: from an hour of a day on, Sunday is day 0.

    `crowd` multiplies the rate of the twenty minutes after half of it.
    """

    name: str
    day: int
    hour: float
    hours: float = 2.0
    crowd: float = 1.0


# Settings are chosen on the first and judged on the others.
SCENES = (
    Scene("Wednesday noon", 3, 11),
    Scene("Monday ramp", 0, 23.5),
    Scene("Thursday evening", 4, 18),
    Scene("flash crowd", 2, 3, crowd=1.8),
)


def layouts() -> dict[Role, LayoutProfile]:
    """Make a prefill worker of 3,500 tokens/s, one prompt at a time, and a decode worker of 160."""
    isl = tuple(float(n) for n in (16, 256, 1024, 2048, 4096, 8192, 16_384, 24_576, LONGEST_PROMPT))
    alone = [0.012 + n / 3600.0 + (n / 1000.0) ** 2 * 0.0004 for n in isl]
    context = tuple(float(c) for c in (256, 1024, 4096, 8192, 16_384, 32_768))
    batch = tuple(float(n) for n in (1, 2, 4, 6, 8, 12, 16, 24, 32))
    step = tuple(tuple(0.015 + n * (0.0025 + c * 1.5e-7) for n in batch) for c in context)
    return {
        Role.PREFILL: LayoutProfile(
            Role.PREFILL,
            Parallelism(),
            EngineLimits(1, LONGEST_PROMPT),
            2e6,
            prefill=Surface(isl, (1.0, 2.0), tuple((s, 2 * s) for s in alone)),
        ),
        Role.DECODE: LayoutProfile(
            Role.DECODE,
            Parallelism(),
            EngineLimits(32, LONGEST_PROMPT),
            800_000.0,
            decode=Surface(context, batch, step),
        ),
    }


def theatre(
    scene: Scene, router: Router, start: Mapping[Role, int], seed: int = 0, startup_s: float = 120.0
) -> Theatre:
    """Draw arrivals and lengths of a scene, and the history before it."""
    week = recorded_minutes("azure_llm_2024_conv_week_1min.csv.gz", "req_per_min")
    rate = MEAN_RPS * week / week.mean()
    begin = scene.day * MINUTES_PER_DAY + round(scene.hour * 60)
    minutes = round(scene.hours * 60)
    span = rate[begin : begin + minutes].copy()
    span[minutes // 2 : minutes // 2 + 20] *= scene.crowd
    return Theatre(
        workload=_requests(span, SUNDAY_S + 60.0 * begin, seed),
        layouts=layouts(),
        start=start,
        ttft_s=TTFT_S,
        itl_s=ITL_S,
        gpu_cap=GPU_CAP,
        router=router,
        history=_history(rate[:begin], seed),
        startup_s=startup_s,
        block_tokens=BLOCK_TOKENS,
    )


def lengths() -> tuple[Floats, Floats]:
    """Return the prompts and outputs of the recorded conversation, those of up to `LONGEST_PROMPT`."""
    with gzip.open(trace("mooncake_conversation.jsonl.gz"), "rt") as file:
        rows = [json.loads(line) for line in file]
    isl = np.array([row["input_length"] for row in rows], dtype=np.float64)
    osl = np.array([row["output_length"] for row in rows], dtype=np.float64)
    fit = (isl <= LONGEST_PROMPT) & (osl >= 2)
    return isl[fit], osl[fit]


def _requests(rate_rps: Floats, start_s: float, seed: int) -> Workload:
    rng = np.random.default_rng([seed, 3])
    counts = rng.poisson(60.0 * rate_rps)
    times = np.repeat(start_s + 60.0 * np.arange(counts.size), counts) + 60.0 * rng.random(int(counts.sum()))
    times[:1] = start_s  # so that the replay's time 0 is the scene's beginning
    isl, osl = lengths()
    drawn = rng.integers(isl.size, size=times.size)
    return Workload.of(times, isl[drawn], osl[drawn])


def _history(rate_rps: Floats, seed: int) -> Floats:
    """Return `t_min`, `rps`, `isl`, `osl` of the minutes before: counts, and the means of so many rows."""
    rng = np.random.default_rng([seed, 4])
    counts = rng.poisson(60.0 * rate_rps).astype(np.float64)
    few = np.sqrt(np.maximum(counts, 1.0))
    means = [column.mean() + column.std() * rng.normal(size=counts.size) / few for column in lengths()]
    minute = np.arange(-counts.size, 0, dtype=np.float64)
    return np.column_stack((minute, counts / 60.0, *(np.maximum(m, 1.0) for m in means)))
