"""Read published GB200 measurements, and say which layout and batch each run had."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.values import Parallelism
from profiler.measure.roofline.estimator import Roofline

# Lengths are drawn evenly from 80 to 100 % of what a run is named by: throughput times end-to-end time over
# users gives about 900 tokens in and out of every run that is labelled 1,024 / 1,024.
SHORTEST_RATIO = 0.8
MEAN_RATIO = (1.0 + SHORTEST_RATIO) / 2.0
# E[x^2] / E[x]^2 of such lengths.
SPREAD = 1.0 + (1.0 - SHORTEST_RATIO) ** 2 / 12.0 / MEAN_RATIO**2


@dataclass(frozen=True, slots=True)
class Run:
    """One closed-loop run; `batch` is per decode replica by Little's law, times in seconds."""

    model: str
    layout: Parallelism
    concurrency: int
    batch: float
    context_tokens: float
    tpot_s: float


def read_runs(path: Path, model: str) -> list[Run]:
    """Read the runs of one model."""
    with path.open(newline="") as file:
        return [_run(row) for row in csv.DictReader(file) if row["model"] == model]


def tpot_errors(runs: Sequence[Run], estimator: Roofline) -> list[float]:
    """Return predicted/measured - 1 of each run's mean TPOT."""
    return [estimator.decode_s(run.layout, run.context_tokens, run.batch) / run.tpot_s - 1.0 for run in runs]


def mape(errors: Sequence[float]) -> float:
    """Return the mean absolute percentage error as a ratio."""
    return sum(map(abs, errors)) / len(errors)


def _run(row: dict[str, str]) -> Run:
    workers = float(row["decode_num_workers"])
    gpus = round(float(row["num_decode_gpu"]) / workers)
    isl, osl = float(row["isl"]) * MEAN_RATIO, float(row["osl"]) * MEAN_RATIO
    decoding_s = osl * float(row["mean_tpot"])
    in_decode = float(row["conc"]) * decoding_s / (float(row["mean_ttft"]) + decoding_s)
    return Run(
        model=row["model"],
        layout=served_layout(row["model"], gpus, row["decode_dp_attention"] == "true"),
        concurrency=int(row["conc"]),
        batch=in_decode / workers,
        context_tokens=isl + osl * SPREAD / 2,
        tpot_s=float(row["mean_tpot"]),
    )


def served_layout(model: str, gpus: int, dp_attention: bool) -> Parallelism:
    """Return the layout of a worker; labels of DeepSeek runs on 4 GPUs are wrong.

    Their public recipe (srt-slurm, gb200-fp8/1k1k/low-latency) sets tensor-parallel-size 4 and
    data-parallel-size 1.
    """
    if dp_attention and not (model == "deepseek-r1" and gpus == 4):
        return Parallelism(dp=gpus, ep=gpus)
    return Parallelism(tp=gpus)
