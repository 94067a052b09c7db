"""Hold the small frozen policies that stages receive; config is turned into these and goes no further."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from models.calendar import PLAIN, Calendar
from models.nodes import NodesPolicy
from models.stock import GpuLimit, Stock, placeable_on
from models.topology import Topology
from models.values import RequestClass, Role, Router
from models.window import Window

# Bounds of what can be planned for. Forecasts reach twice a start-up ahead; a pool has an object per replica.
LONGEST_STARTUP_S = 7 * 86_400.0
LONGEST_REACH_S = 30 * 86_400.0
LONGEST_WINDOW_S = 7 * 86_400.0
MOST_REPLICAS = 100_000
MOST_GPUS = 1_000_000


# Models that may compete beside the last value, the seasons and their blends, in order of trust.
FORECASTERS = ("fourier", "ets", "prophet", "boosting")
# Those that compete where a configuration names none. On 13 horizons of four real series the blend lost 0.976
# times what the best model in hindsight did, with all four 0.978; the two left out take longest to fit.
USUAL_FORECASTERS = ("fourier", "boosting")


@dataclass(frozen=True, slots=True)
class ForecastPolicy:
    """Say how demand is forecast.

    Times in seconds. `levels` are the quantiles handed to sizing, `operating_level` the one by which models
    are compared and coverage is tracked. `reach_s` is how far paths extend. `calendar` holds time zone,
    holidays and declared events. `forecasters` are those of FORECASTERS that compete besides. A
    configuration that names none gets USUAL_FORECASTERS; here there are none unless asked for, as each takes
    seconds to fit.
    """

    grid_s: float = 60.0
    reach_s: float = 1800.0
    levels: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.9, 0.975, 0.995)
    operating_level: float = 0.9
    seasons_s: tuple[float, ...] = (86_400.0, 604_800.0)
    level_window_s: float = 1200.0
    calibration_s: float = 172_800.0
    refit_s: float = 3600.0
    enabled: bool = True
    calendar: Calendar = PLAIN
    forecasters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """Bound one role's pool and say how long a start-up and a drain take, in seconds.

    The start-up times are stated, or measured: then `startup_why` says on what they rest. The profile's
    surfaces are multiplied by `surface_ratio`, with `surface_why` saying why.
    """

    min_replicas: int = 1
    max_replicas: int | None = None
    startup_s: float = 120.0
    startup_p99_s: float = 600.0
    drain_s: float = 30.0
    startup_why: str = ""
    surface_ratio: float = 1.0
    surface_why: str = ""


@dataclass(frozen=True, slots=True)
class ReshapePolicy:
    """Say when another layout is proposed: what the switch costs comes back within `payback_s` seconds.

    `least_saving_ratio` is the share of the cost that it saves at least on the mean of a day. One that was
    tried and rolled back is tried again in `retry_s`.
    """

    allowed: bool = False
    payback_s: float = 14_400.0
    least_saving_ratio: float = 0.1
    retry_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class SurfacePolicy:
    """Bound how far surfaces are corrected by what is observed: their times are multiplied by a ratio.

    Replicas that have been ready for less than `warm_up_s` say nothing.
    """

    fastest_ratio: float = 0.8
    slowest_ratio: float = 1.5
    warm_up_s: float = 120.0


@dataclass(frozen=True, slots=True)
class PlanPolicy:
    """Say what fleet is allowed and what it must attain.

    `budget_gpus` bounds both roles together (`None`: no bound). `attainment` is the share of arrivals that
    must keep their promise, over the forecast distribution. `observation_lag_s` and `interval_s` lengthen
    the horizon; `backlog_recover_s` is the time in which a queue must drain once capacity is there. Measured
    Ca^2 of arrivals counts up to `burstiness_limit`; with 1 they are taken for Poisson. `surface` says how
    far observed latencies may correct the profile's surfaces (`None`: not at all).
    `topology` lays the budget's GPUs out in nodes and cliques (`None`: any count can be placed). `stocks` say
    the same per kind of hardware, with prices, where that is known; `currency` is the one of all prices.
    In a pool that several deployments share, `budget_name` says what the budget is, and `room_gpus` how many
    GPUs may be occupied at this moment, as others may still hold some (`None`: as many as the budget says).
    The promise is kept over `attainment_window_s` (0: at every moment); at this moment its error budget may
    be spent `burn_rate` times as fast as it comes. `reactive` raises the need where demand or latency was
    measured above what was foreseen.
    """

    classes: tuple[RequestClass, ...]
    pools: Mapping[Role, PoolPolicy]
    budget_gpus: int | None = None
    attainment: float = 0.99
    router: Router = Router.LOAD
    interval_s: float = 60.0
    observation_lag_s: float = 15.0
    backlog_recover_s: float = 120.0
    burstiness_limit: float = 1.0
    surface: SurfacePolicy | None = None
    topology: Topology | None = None
    room_gpus: int | None = None
    budget_name: str = ""
    stocks: tuple[Stock, ...] = ()
    currency: str = ""
    attainment_window_s: float = 0.0
    burn_rate: float = 1.0
    reactive: bool = True
    reshape: ReshapePolicy = ReshapePolicy()

    def budget_said(self) -> str:
        """Return what bounds the fleet, as a sentence names it."""
        return self.budget_name or f"{self.budget_gpus}-GPU budget"

    def least_reach_s(self) -> float:
        """Return how far forecasts must reach, in whole minutes: twice the up horizon, past the hold."""
        return math.ceil(max(2 * self.ready_horizon_s(), self.hold_horizon_s()) / 60.0) * 60.0

    def start_cost(self) -> float:
        """Return what starting a GPU costs, as a share of running it over the hold time."""
        return max(p.startup_s for p in self.pools.values()) / self.hold_horizon_s()

    def targets(self) -> dict[str, float]:
        """Return the attainment that each class asks for.

        Its own where it states one; else the deployment's, or the quantile of its promise where that is
        less: a promise to 95 % of requests is kept by 95 %. At a burn rate above 1 that many times the misses
        are allowed at this moment.
        """
        stated = {
            c.name: min(self.attainment, 1.0 if c.slo.throughput_only else c.slo.quantile)
            if c.slo.attainment is None
            else c.slo.attainment
            for c in self.classes
        }
        return {name: max(1.0 - self.burn_rate * (1.0 - target), 0.0) for name, target in stated.items()}

    def placeable(self, counts: Mapping[Role, int], gpus: Mapping[Role, int]) -> bool:
        """Say whether replica counts, at `gpus` GPUs per replica and role, are there and fit the topology."""
        if self.topology is not None and not placeable_on(self.topology, counts, gpus):
            return False
        for stock in self.stocks:
            mine = {role: n for role, n in counts.items() if role in stock.roles}
            limit = stock.limit()
            if limit is not None and limit.left(mine, gpus) < 0:
                return False
            if stock.topology is not None and not placeable_on(stock.topology, mine, gpus):
                return False
        return True

    def limits(self) -> tuple[GpuLimit, ...]:
        """Return every bound on GPUs: of all roles together, and of each kind of hardware."""
        if self.budget_gpus is None:
            return self.per_hardware()
        return (GpuLimit(self.budget_gpus, frozenset(self.pools), self.budget_said()), *self.per_hardware())

    def per_hardware(self) -> tuple[GpuLimit, ...]:
        """Return the bounds on GPUs of one kind."""
        return tuple(limit for stock in self.stocks if (limit := stock.limit()) is not None)

    def rooms(self) -> tuple[GpuLimit, ...]:
        """Return every bound on what may be occupied now: the budgets, and the room in a shared pool."""
        least = min((gpus for gpus in (self.budget_gpus, self.room_gpus) if gpus is not None), default=None)
        if least is None:
            return self.per_hardware()
        return (GpuLimit(least, frozenset(self.pools), self.budget_said()), *self.per_hardware())

    def placed_together(self) -> tuple[frozenset[Role], ...]:
        """Return the sets of roles whose replicas share nodes that can run out."""
        own = tuple(frozenset(stock.roles) for stock in self.stocks if stock.topology is not None)
        return own if self.topology is None else (frozenset(self.pools), *own)

    def within(self, counts: Mapping[Role, int], gpus: Mapping[Role, int]) -> bool:
        """Say whether replica counts, at `gpus` GPUs per replica and role, are inside every bound on GPUs."""
        return all(limit.left(counts, gpus) >= 0 for limit in self.limits())

    def tightest(self, role: Role, counts: Mapping[Role, int], gpus: Mapping[Role, int]) -> GpuLimit | None:
        """Return the bound on a role's GPUs that these counts leave least of; `None` where there is none."""
        mine = [limit for limit in self.limits() if role in limit.roles]
        return min(mine, key=lambda limit: limit.left(counts, gpus), default=None)

    @property
    def priced(self) -> bool:
        """Whether every GPU that may be used has a price."""
        priced = {r for stock in self.stocks if stock.price_per_gpu_h is not None for r in stock.roles}
        return bool(self.pools) and priced >= set(self.pools)

    @property
    def by_price(self) -> bool:
        """Whether the fleet that costs least is aimed at: GPUs and the misses of some class have a price."""
        return self.priced and any(c.miss_price is not None for c in self.classes)

    def price_by_role(self) -> dict[Role, float] | None:
        """Return what a GPU costs an hour per role; `None` where prices do not tell roles apart."""
        prices = {role: s.price_per_gpu_h or 0.0 for s in self.stocks for role in s.roles}
        return prices if self.priced and len(set(prices.values())) > 1 else None

    def cost_per_h(self, counts: Mapping[Role, int], gpus: Mapping[Role, int]) -> float:
        """Return what the replicas cost an hour: every node that is not empty where nodes are paid whole."""
        return sum(stock.cost_per_h(counts, gpus) for stock in self.stocks)

    def ready_horizon_s(self) -> float:
        """Seconds ahead for which an up must be ordered now: slowest start-up, one tick and the lag."""
        return max(p.startup_s for p in self.pools.values()) + self.interval_s + self.observation_lag_s

    def with_nodes_first(self, lead_s: float) -> "PlanPolicy":
        """Return the plan where a node is made before each replica starts, in `lead_s` seconds."""
        pools = {
            role: replace(pool, startup_s=pool.startup_s + lead_s, startup_p99_s=pool.startup_p99_s + lead_s)
            for role, pool in self.pools.items()
        }
        return replace(self, pools=pools)

    def hold_horizon_s(self) -> float:
        """Seconds for which a release saves nothing: start-up and drain, at least the up horizon."""
        hold = max(p.startup_s + p.drain_s for p in self.pools.values())
        return max(hold, self.ready_horizon_s())


@dataclass(frozen=True, slots=True)
class DecidePolicy:
    """Bound how fast, on what evidence and when counts may change; times in seconds."""

    max_demand_age_s: float = 180.0
    max_step_down: int = 1
    step_down_ratio: float = 0.1
    tolerance_ratio: float = 0.0
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class TickPolicy:
    """Gather what one tick of one deployment needs to know, with the digests that its Record carries.

    `nodes` says how nodes are had ahead of need (`None`: they are not).
    """

    deployment: str
    forecast: ForecastPolicy
    plan: PlanPolicy
    decide: DecidePolicy
    config_digest: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    nodes: NodesPolicy | None = None


class Mode(StrEnum):
    """What may be done with a decision: write it down, publish it, or apply it."""

    OBSERVE = "observe"
    RECOMMEND = "recommend"
    ACT = "act"


@dataclass(frozen=True, slots=True)
class ClassMatch:
    """Say which requests belong to a class: input tokens within both bounds, series that carry every label.

    `None` leaves a bound open. `rest` marks the one class that takes what no other class takes.
    """

    request_class: str
    min_input_tokens: int | None = None
    max_input_tokens: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def rest(self) -> bool:
        """Whether nothing is asked of a request."""
        return self.min_input_tokens is None and self.max_input_tokens is None and not self.labels

    @property
    def by_length(self) -> bool:
        """Whether the length of the input alone can tell; a recorded trace carries nothing else."""
        return self.min_input_tokens is not None or self.max_input_tokens is not None

    def admits(self, input_tokens: float) -> bool:
        """Whether a request of this length lies within the bounds."""
        low, high = self.min_input_tokens, self.max_input_tokens
        return (low is None or input_tokens >= low) and (high is None or input_tokens <= high)


@dataclass(frozen=True, slots=True)
class PrometheusPolicy:
    """Say how to reach Prometheus; `labels` narrow every query, header values are secret and not shown.

    `entra_scope` is what tokens of Microsoft Entra ID are asked for; `None`: none are.
    """

    url: str
    preset: str
    timeout_s: float = 10.0
    retries: int = 2
    labels: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    bearer_token_file: str | None = None
    ca_file: str | None = None
    verify: bool = True
    entra_scope: str | None = None


@dataclass(frozen=True, slots=True)
class JournalPolicy:
    """Say where records are kept: the last `keep_files` files of `rotate_bytes`, compressed once full."""

    directory: str
    rotate_bytes: int = 10_000_000
    keep_files: int = 200
