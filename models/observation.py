"""Say what was seen at one moment: demand, latency, queue and pools, with a reason for all that is absent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from models.deferral import Backlog
from models.mix import RequestMix
from models.values import Role, Signal

# What a Gap names when the queue cannot be read although something should tell it.
QUEUE_GAP = "queue"

# What a Gap names when the server of metrics warns that series may be missing: demand is at least so much.
PARTIAL_GAP = "partial answer"


@dataclass(frozen=True, slots=True)
class Gap:
    """Say what is missing and why; a missing value is never a zero."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class ClassDemand:
    """Hold the demand of one request class over the window; `None` where unknown.

    Prefill tokens are counted after prefix-cache hits. `mix` is the joint length distribution of
    recent requests, `None` until some were seen. `backlog` is what waits of a class that may wait outside the
    engines, `None` where nobody tells. `arrival_cv2` says how bursty arrivals are: Ca^2, 1 for
    Poisson, measured from counts over hours; `None` until some were counted.
    """

    arrivals_rps: float | None
    prefill_tokens_per_s: float | None
    decode_tokens_per_s: float | None
    mix: RequestMix | None = None
    arrival_cv2: float | None = None
    backlog: Backlog | None = None

    def value(self, signal: Signal) -> float | None:
        """Return the demand of one signal, per second."""
        match signal:
            case Signal.ARRIVALS:
                return self.arrivals_rps
            case Signal.PREFILL_TOKENS:
                return self.prefill_tokens_per_s
            case Signal.DECODE_TOKENS:
                return self.decode_tokens_per_s


@dataclass(frozen=True, slots=True)
class LatencyReading:
    """Hold observed latencies of a class over the window, in seconds; `None` where unknown.

    `ttft_mean_s` is the mean over requests, `itl_mean_s` that over tokens; the others are quantiles.
    """

    ttft_p50_s: float | None = None
    ttft_p90_s: float | None = None
    itl_p50_s: float | None = None
    itl_p90_s: float | None = None
    ttft_mean_s: float | None = None
    itl_mean_s: float | None = None


@dataclass(frozen=True, slots=True)
class QueueReading:
    """Count what waits for prefill."""

    requests: int
    prefill_tokens: float


class Obstacle(StrEnum):
    """Token that names what keeps a replica from starting; metrics and reports group by it."""

    QUOTA = "quota"
    CAPACITY = "capacity"
    UNSCHEDULABLE = "unschedulable"
    NOT_CREATED = "not_created"
    IMAGE = "image"
    INIT = "init"
    CRASH_LOOP = "crash_loop"
    CONTAINER = "container"
    UNREADY = "unready"


@dataclass(frozen=True, slots=True)
class StartingReplica:
    """One replica that was asked for and does not serve yet; `stuck` says why it cannot start, if known.

    `obstacle` names the kind of that reason: a quota that is spent and nodes that a cloud does not have are
    told from what an operator can put right in the cluster.
    """

    since_s: float
    stuck: str | None = None
    obstacle: Obstacle | None = None


@dataclass(frozen=True, slots=True)
class PoolState:
    """Count the replicas of one role.

    `ready` replicas take new requests, `starting` are on their way, `draining` finish what they hold
    and still occupy GPUs. `desired` is the count that the owner asks for. A pool that is `paused` keeps it,
    one that is paused on one side neither falls below it (`paused_scale_in`) nor rises above it
    (`paused_scale_out`). `uid` tells the object that was counted from one made anew under its name; empty
    where nothing tells. `why` says what holds a pool, where that is known: how far a rollout is, or which
    annotation cannot be read.
    """

    desired: int
    ready: int
    starting: tuple[StartingReplica, ...] = ()
    draining: int = 0
    rollout_in_progress: bool = False
    paused: bool = False
    pinned_replicas: int | None = None
    paused_scale_in: bool = False
    paused_scale_out: bool = False
    uid: str = ""
    why: str = ""

    @property
    def billed(self) -> int:
        """Replicas that occupy GPUs."""
        return self.ready + len(self.starting) + self.draining

    def in_flight(self, now_s: float, p99_s: float) -> int:
        """Count the starting replicas that can be expected to arrive: not stuck, not past their P99."""
        return sum(1 for s in self.starting if s.stuck is None and now_s - s.since_s <= p99_s)

    def counted(self, now_s: float, p99_s: float) -> int:
        """Count the replicas that serve or will: those asked for, less those that cannot start."""
        return self.desired - (len(self.starting) - self.in_flight(now_s, p99_s))


@dataclass(frozen=True, slots=True)
class Observation:
    """Hold one look at the world at `at_s` (Unix seconds, UTC) over the window that ended there."""

    at_s: float
    window_s: float
    demand: Mapping[str, ClassDemand]
    pools: Mapping[Role, PoolState]
    latency: Mapping[str, LatencyReading] = field(default_factory=dict)
    queue: QueueReading | None = None
    demand_at_s: float | None = None
    gaps: tuple[Gap, ...] = ()

    @property
    def partial(self) -> Gap | None:
        """The warning that demand may be higher than it was seen, if there is one."""
        return next((gap for gap in self.gaps if gap.what == PARTIAL_GAP), None)

    @property
    def demand_age_s(self) -> float | None:
        """Seconds since the demand was true; `None` when there is none at all."""
        return None if self.demand_at_s is None else self.at_s - self.demand_at_s
