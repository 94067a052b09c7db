"""Write a week of traffic as the counters and histograms that a Dynamo frontend would have exported."""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.series import Floats

MODEL = "gpt-oss-120b"
STARTED = "dynamo_frontend_requests_started_total"
WAITING = "dynamo_frontend_queued_requests"

MINUTES_A_FILE = 360

# Share of requests at or under each bound, and the mean: lengths of a chat service, in tokens.
INPUT = ({128.0: 0.12, 512.0: 0.45, 2048.0: 0.83, 8192.0: 1.0, float("inf"): 1.0}, 1155.0)
OUTPUT = ({64.0: 0.24, 256.0: 0.72, 1024.0: 1.0, float("inf"): 1.0}, 211.0)
TTFT = ({0.1: 0.5, 0.22: 0.9, 0.47: 1.0, float("inf"): 1.0}, 0.12)
ITL = ({0.01: 0.6, 0.022: 0.95, 0.047: 1.0, float("inf"): 1.0}, 0.011)


@dataclass(frozen=True)
class Week:
    """Hold requests per minute, shape (n,), from `start_s` (Unix seconds) on."""

    start_s: int
    requests: Floats

    @property
    def end_s(self) -> int:
        """The moment at which the last minute ends."""
        return self.start_s + 60 * len(self.requests)


@dataclass(frozen=True)
class Pod:
    """One frontend: its share of the requests, when it restarts, and what it had counted before."""

    name: str
    share: float
    restart_minute: int | None = None
    counted_before: int = 0


@dataclass(frozen=True)
class Export:
    """Say what is exported: pods, minutes [a, b) in which nobody was scraped, the gauge of an empty queue."""

    pods: Sequence[Pod]
    hole: tuple[int, int] = (0, 0)
    queue: bool = False
    histograms: dict[str, tuple[dict[float, float], float]] = field(
        default_factory=lambda: {
            "dynamo_frontend_input_sequence_tokens": INPUT,
            "dynamo_frontend_output_sequence_tokens": OUTPUT,
            "dynamo_frontend_time_to_first_token_seconds": TTFT,
            "dynamo_frontend_inter_token_latency_seconds": ITL,
        }
    )


def read_week(path: Path) -> Week:
    """Read `time_utc,req_per_min` rows, one a minute."""
    with gzip.open(path, "rt") as file:
        rows = [line.strip().split(",") for line in file][1:]
    start = datetime.fromisoformat(rows[0][0]).replace(tzinfo=UTC)
    return Week(int(start.timestamp()), np.array([float(count) for _, count in rows]))


def write(folder: Path, week: Week, export: Export) -> list[Path]:
    """Write all samples as OpenMetrics text: one at the end of every minute, and one before the first.

    A file holds six hours: promtool reads a whole file anew for every two-hour block that it makes.
    """
    counted = {pod.name: _totals(week.requests, pod) for pod in export.pods}
    sampled = [i for i in range(len(week.requests) + 1) if not export.hole[0] < i <= export.hole[1]]
    files = []
    for first in range(0, len(week.requests) + 1, MINUTES_A_FILE):
        minutes = [i for i in sampled if first <= i < first + MINUTES_A_FILE]
        path = folder / f"samples-{first:06d}.txt"
        with path.open("w") as file:
            file.writelines(_lines(week, export, counted, minutes))
        files.append(path)
    return files


def _lines(
    week: Week,
    export: Export,
    counted: dict[str, Floats],
    minutes: list[int],
) -> Iterator[str]:
    def samples(series: str, values: Floats) -> Iterator[str]:
        return (f"{series} {values[i]:.12g} {week.start_s + 60 * i}\n" for i in minutes)

    ones = np.ones(len(week.requests) + 1)
    yield "# TYPE up gauge\n"
    for pod in export.pods:
        yield from samples(f"up{{{_labels(pod)}}}", ones)
    yield f"# TYPE {STARTED.removesuffix('_total')} counter\n"
    for pod in export.pods:
        yield from samples(f"{STARTED}{{{_labels(pod, model=MODEL)}}}", counted[pod.name])
    if export.queue:
        yield f"# TYPE {WAITING} gauge\n"
        for pod in export.pods:
            yield from samples(f"{WAITING}{{{_labels(pod, model=MODEL)}}}", np.zeros(len(ones)))
    for name, (shares, mean) in export.histograms.items():
        yield f"# TYPE {name} histogram\n"
        for pod in export.pods:
            for series, factor, whole in _parts(name, shares, mean, pod):
                total = counted[pod.name] * factor
                yield from samples(series, np.floor(total) if whole else total)
    yield "# EOF\n"


def _totals(requests: Floats, pod: Pod) -> Floats:
    """Return what the pod's counter showed before the first minute and at the end of each."""
    # Rounded running totals: over both pods no request is lost or doubled by more than one.
    running = np.round(np.concatenate(([0.0], np.cumsum(requests))) * pod.share)
    shown = running + pod.counted_before
    if pod.restart_minute is not None:
        shown[pod.restart_minute + 1 :] = running[pod.restart_minute + 1 :] - running[pod.restart_minute]
    return shown


def _labels(pod: Pod, **more: str) -> str:
    labels = {"instance": f"{pod.name}:8000", "job": "frontend", **more}
    return ",".join(f'{k}="{v}"' for k, v in labels.items())


def _parts(name: str, shares: dict[float, float], mean: float, pod: Pod) -> Iterator[tuple[str, float, bool]]:
    labels = _labels(pod, model=MODEL)
    for bound, share in shares.items():
        le = "+Inf" if bound == float("inf") else f"{bound:g}"
        yield f'{name}_bucket{{{labels},le="{le}"}}', share, True
    yield f"{name}_sum{{{labels}}}", mean, False
    yield f"{name}_count{{{labels}}}", 1.0, True
