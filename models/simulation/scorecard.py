"""Hold what a replay measured, per policy: the verdict, the classes and the timeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.values import RequestClass, Role


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Hold latency quantiles over completed requests, in seconds; `None` when none completed."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class ClassResult:
    """Score one request class; attainment is over all its arrivals."""

    name: str
    requests: int
    completed: int
    slo_attainment: float | None
    ttft_s: Percentiles
    itl_s: Percentiles
    e2e_s: Percentiles


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """Hold one interval of a replay that ended at `at_s` (Unix seconds).

    Arrivals and attainment are per class over the interval (`None`: no arrival); replicas are at its end.
    `sentence` is what the policy said when it changed something.
    """

    at_s: float
    arrivals_rps: Mapping[str, float]
    attainment: Mapping[str, float | None]
    ready: Mapping[Role, int]
    starting: Mapping[Role, int]
    draining: Mapping[Role, int]
    queued_requests: int
    ttft_p95_s: float | None = None
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """Score one policy on one trace.

    completed + rejected + lost + in_flight = requests; lost are those whose replica died and that nobody
    retried. `gpu_hours` integrates starting, ready and draining GPUs from the first to the last arrival;
    `itl_s` are quantiles of the per-request mean TPOT. `prefix_hit_ratio` is the share of all prompt tokens
    that were found in a cache.
    """

    policy: str
    requests: int
    completed: int
    rejected: int
    in_flight: int
    skipped_rows: int
    slo_attainment: float | None
    goodput_rps: float
    gpu_hours: float
    gpu_hours_by_role: Mapping[Role, float]
    ttft_s: Percentiles
    itl_s: Percentiles
    e2e_s: Percentiles
    scale_events: int
    decisions: int
    policy_cpu_s: float
    wall_s: float
    classes: tuple[ClassResult, ...] = ()
    timeline: tuple[TimelinePoint, ...] = ()
    lost: int = 0
    replica_failures: int = 0
    prefix_hit_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Gather the policies that were replayed on one trace, with what a reader needs to repeat it.

    `classes` are the promises by which requests were judged, `target_attainment` the share of all arrivals
    that was to keep them.
    """

    deployment: str
    trace: str
    model: str
    hardware: str
    layouts: Mapping[Role, str]
    gpus_per_replica: Mapping[Role, int]
    budget_gpus: int | None
    start_s: float
    end_s: float
    interval_s: float
    seed: int
    policies: tuple[PolicyResult, ...]
    config_digest: str
    profile_digest: str
    version: str
    settings: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[RequestClass, ...] = ()
    target_attainment: float | None = None
