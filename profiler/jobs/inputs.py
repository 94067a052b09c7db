"""Hold what a sweep's pods need to know, and deal the layouts out to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from models import codec
from models.errors import InputError
from models.values import Parallelism, Role
from profiler.measure.deployed.policy import DeployPolicy
from profiler.order import Order

SCHEMA = "headgate/sweep-job/v1"

Work = tuple[Role, Parallelism]
"""One layout in one role."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Hold the work of one pod, how many points it has, and the GPU-minutes that it may hold."""

    work: tuple[Work, ...]
    points: int
    gpu_minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Measuring:
    """Say how candidates are measured at their endpoints; `None`: asked of the endpoint, else estimated.

    A point is repeated until the 95 % interval of its mean is within `error_ratio` of it.
    """

    served_model: str | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_capacity_tokens: float | None = None
    error_ratio: float = 0.03
    max_repeats: int = 12
    max_point_s: float = 120.0
    silence_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """Hold everything that a pod of the sweep reads before it starts.

    `template` is the candidate's YAML as it was written, `endpoint` replaces its annotation. `files` holds
    the texts of cards that the order names by path. `identity` says what the times depend on.
    """

    sweep: str
    namespace: str
    order: Order
    template: str
    shards: tuple[Shard, ...]
    identity: str
    endpoint: str | None = None
    measuring: Measuring = Measuring()
    policy: DeployPolicy = field(default_factory=DeployPolicy)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Tell two sweeps apart: the same inputs, the same digest."""
        return codec.digest(codec.to_plain(self))

    def dump(self) -> str:
        """Write the inputs as text."""
        return codec.to_json(self)


def parse_inputs(text: str) -> Inputs:
    """Read inputs back; raises InputError when another version wrote them."""
    try:
        return codec.from_json(Inputs, text)
    except ValueError as error:
        raise InputError(
            f"the sweep's inputs are of another version of headgate ({error}); its image must match"
        ) from None


@dataclass(frozen=True, slots=True)
class Cost:
    """Say what one layout in one role is expected to take."""

    role: Role
    layout: Parallelism
    points: int
    gpu_minutes: float


def deal(costs: Iterable[Cost], shards: int, together: bool, budget: float | None) -> tuple[Shard, ...]:
    """Deal work out evenly by expected GPU-minutes, the dearest first to the pod that has least.

    With `together` all roles of a layout go to one pod: they share a deployment. A budget is divided in
    proportion. There are at most as many shards as there is work.
    """
    groups: dict[object, list[Cost]] = {}
    for cost in costs:
        groups.setdefault(cost.layout if together else (cost.role, cost.layout), []).append(cost)
    hands: list[list[Cost]] = [[] for _ in range(max(1, min(shards, len(groups))))]
    for group in sorted(groups.values(), key=_minutes, reverse=True):
        min(hands, key=_minutes).extend(group)
    total = sum(map(_minutes, hands)) or 1.0
    return tuple(
        Shard(
            tuple((cost.role, cost.layout) for cost in hand),
            sum(cost.points for cost in hand),
            None if budget is None else budget * _minutes(hand) / total,
        )
        for hand in hands
    )


def _minutes(costs: Sequence[Cost]) -> float:
    return sum(cost.gpu_minutes for cost in costs)
