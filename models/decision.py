"""Say what is needed, what was decided and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from models.gpu_pool import PoolShare
from models.nodes import NodesReport
from models.observation import Observation
from models.prediction import Forecast
from models.readiness import Readiness
from models.reshaping import ReshapeReport
from models.values import Binding, Role


@dataclass(frozen=True, slots=True)
class Bill:
    """Say what a fleet costs an hour, in `currency`: its GPUs, and the misses that have a price."""

    gpu_per_h: float
    miss_per_h: float
    currency: str = ""

    @property
    def per_h(self) -> float:
        """Both together."""
        return self.gpu_per_h + self.miss_per_h


@dataclass(frozen=True, slots=True)
class Attained:
    """Say which share of arrivals is predicted to keep its promise: per class, and over all classes.

    `bill` is what the fleet costs, where every GPU has a price.
    """

    attainment: Mapping[str, float]
    expected_attainment: float
    bill: Bill | None = None


@dataclass(frozen=True, slots=True)
class RoleSizing:
    """Say how many replicas one role needs.

    `target` is the count to run, inside budget, floor and ceiling. `lower` meets the target at the median
    forecast; above `upper` nothing is gained even if demand takes its upper path over the hold time.
    `uncapped` is what the role needs by itself: no budget, no ceiling, the other role ample.
    `sentence` says why, in figures. `fewer` and `more` are what one replica fewer or more than `target` would
    attain, the other role at its own target (`None`: not known, or no replica is left), and `binding_class`
    the class whose promise lacks most, or has least to spare, with one fewer.
    """

    target: int
    lower: int
    upper: int
    uncapped: int
    binding: Binding
    sentence: str
    fewer: Attained | None = None
    more: Attained | None = None
    binding_class: str | None = None


@dataclass(frozen=True, slots=True)
class Reshape:
    """Propose another layout (TP or EP width) for some roles, and say what the switch costs and saves.

    `layouts` and `instead_of` name the layouts of the roles that change; `replicas` is the whole fleet that
    the highest demand of the forecast would need. `saves_gpus` and `saves_per_h` (`None`: not priced) are
    means over the last day, `saves_ratio` their share of the cost. `switch_gpu_s` are the GPU-seconds while
    old and new replicas are both there. `payback_s` is after how long the saving has paid for them, `None`
    where the layout is proposed because `keeps` names classes whose promise the present one cannot keep.
    `free_gpus` are those within the budget to begin with (`None`: no bound). `allowed` says whether it may be
    put into effect.
    """

    layouts: Mapping[Role, str]
    instead_of: Mapping[Role, str]
    replicas: Mapping[Role, int]
    saves_ratio: float
    saves_gpus: float
    saves_per_h: float | None
    switch_gpu_s: float
    payback_s: float | None
    free_gpus: int | None
    keeps: tuple[str, ...]
    allowed: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Sizing:
    """Say what fleet is needed, per role, and what it would attain.

    `attainment` is the predicted share of arrivals per class that keep their promise with the target fleet;
    `target_attainment` what was aimed at; `extrapolated` whether a surface was read outside its grid.
    `bill` is what the target fleet costs, where every GPU has a price. `demand_quantile` is the quantile of
    the forecast up to which it keeps every promise to its target (0: not even at the lowest level). `aims`
    are the shares per class that this moment was asked for, where the target must hold over a longer time.
    `reshape` proposes other layouts; no count here takes it for granted.
    """

    roles: Mapping[Role, RoleSizing]
    attainment: Mapping[str, float]
    expected_attainment: float
    target_attainment: float
    extrapolated: bool = False
    bill: Bill | None = None
    demand_quantile: float | None = None
    aims: Mapping[str, float] = field(default_factory=dict)
    reshape: Reshape | None = None

    def replicas(self) -> dict[Role, int]:
        """Return the target count per role."""
        return {role: s.target for role, s in self.roles.items()}


class Reason(StrEnum):
    """Token that names the guard's reason; metrics and reports group by it."""

    STALE = "stale"
    NO_DEMAND = "no_demand"
    NO_FORECAST = "no_forecast"
    PAUSED = "paused"
    PAUSED_SCALE_IN = "paused_scale_in"
    PAUSED_SCALE_OUT = "paused_scale_out"
    PINNED = "pinned"
    WINDOW = "window"
    ROLLOUT = "rollout"
    STARTING = "starting"
    WITHIN_BAND = "within_band"
    HOLD = "hold"
    STEP = "step"
    BUDGET = "budget"
    FREEING = "freeing"
    FLOOR = "floor"
    CEILING = "ceiling"
    TOPOLOGY = "topology"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Attribute one change of one role's count to one guard."""

    guard: str
    role: Role
    before: int
    after: int
    reason: Reason
    sentence: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold the counts before, as proposed by sizing, and as the guards left them."""

    current: Mapping[Role, int]
    proposed: Mapping[Role, int]
    final: Mapping[Role, int]
    adjustments: tuple[Adjustment, ...] = ()
    why: Mapping[Role, str] = field(default_factory=dict)

    @property
    def changes(self) -> dict[Role, int]:
        """Return the roles whose count changes, with their new count."""
        return {role: n for role, n in self.final.items() if n != self.current[role]}

    @property
    def held(self) -> bool:
        """Whether missing or stale data kept the counts."""
        return any(a.reason in (Reason.STALE, Reason.NO_DEMAND, Reason.NO_FORECAST) for a in self.adjustments)

    def sentence(self, role: Role) -> str:
        """Say one role's change, why, and what the guards made of it."""
        before, after = self.current[role], self.final[role]
        head = f"{role} {before}" if before == after else f"{role} {before} -> {after}"
        parts = [self.why[role]] if self.why.get(role) else []
        parts += [a.sentence for a in self.adjustments if a.role is role]
        return f"{head}: {'; '.join(parts)}" if parts else head

    def __str__(self) -> str:
        """Say the decision as an operator reads it."""
        return " | ".join(self.sentence(role) for role in self.final)


class Status(StrEnum):
    """What came of a decision."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    HELD = "held"
    SUPERSEDED = "superseded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say what the actuator did."""

    status: Status
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one whole tick.

    `sizing` and `decision` replay from `observation`, `forecast`, `readiness`, `share` and `burn_rate`.

    `readiness` holds the start-up times that were planned with; a role that is absent had its stated ones.
    `share` is what the deployment got of the pool of GPUs that it shares with others (`None`: it has none),
    `burn_rate` how fast the promise's error budget may be spent at this moment, `nodes` what came of having
    nodes ahead of need (`None`: nobody asked for that), `reshaping` how a change of layout stands that is
    under way or was tried (`None`: none).
    """

    tick_id: str
    deployment: str
    observation: Observation
    forecast: Forecast
    sizing: Sizing | None
    decision: Decision
    outcome: Outcome
    config_digest: str
    profile_digest: str
    version: str
    readiness: Mapping[Role, Readiness] = field(default_factory=dict)
    share: PoolShare | None = None
    burn_rate: float = 1.0
    nodes: NodesReport | None = None
    reshaping: ReshapeReport | None = None
