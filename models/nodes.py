"""Say how nodes are had ahead of need: by what policy, how many, and what came of asking for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from models.values import Role


@dataclass(frozen=True, slots=True)
class NodesPolicy:
    """Say how far ahead nodes are ordered and how long they are kept; times in seconds.

    `lead_s` passes from the order of a node until it takes pods. A node goes when nothing foreseen for
    `hold_s` needs it, at most `max_step_down` in one tick. After a refusal for want of quota or capacity the
    same is asked for again in `retry_s`.
    """

    lead_s: float = 600.0
    hold_s: float = 1800.0
    max_step_down: int = 1
    retry_s: float = 600.0


@dataclass(frozen=True, slots=True)
class HeadroomPolicy:
    """Say what pods keep room for replicas to come: their image, priority class, and how they are named."""

    image: str
    priority_class: str
    name: str


@dataclass(frozen=True, slots=True)
class AgentPoolPolicy:
    """Name an agent pool of AKS and bound its nodes; `roles` run on it (empty: all of the deployment).

    `spare_nodes` are those that others than Headgate's deployments use. `endpoint` is the resource manager's
    address.
    """

    subscription: str
    resource_group: str
    cluster: str
    pool: str
    endpoint: str
    roles: frozenset[Role] = frozenset()
    min_nodes: int = 0
    max_nodes: int | None = None
    spare_nodes: int = 0

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What tells it from other pools; Azure's names are case insensitive."""
        named = (self.subscription, self.resource_group, self.cluster, self.pool)
        return tuple(part.casefold() for part in named)  # type: ignore[return-value]

    def __str__(self) -> str:
        """Say it as a person would."""
        return f"agent pool {self.pool} of {self.cluster}"


@dataclass(frozen=True, slots=True)
class NodesAhead:
    """Say for how many replicas per role there is to be room, now and when a node ordered now takes pods.

    `current` was asked for before this tick and `running` is now, a step down not yet counted. `need` is
    needed by then; `keep` is what is not given up, as the upper demand over the time that nodes are held may
    need it. Neither is below `running`. `gpus` is what a replica takes. `settled` is false where missing or
    stale data forbids that anything goes.
    """

    current: Mapping[Role, int]
    running: Mapping[Role, int]
    need: Mapping[Role, int]
    keep: Mapping[Role, int]
    gpus: Mapping[Role, int]
    settled: bool = True


class NodeState(StrEnum):
    """What there is to say of nodes that are kept ahead."""

    SETTLED = "settled"
    ORDERED = "ordered"
    UNDER_WAY = "under_way"
    QUOTA = "quota"
    CAPACITY = "capacity"
    BUSY = "busy"
    THROTTLED = "throttled"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class NodeOrder:
    """Say what one place of nodes or headroom pods had, what was wanted, and what came of it.

    `unit` names what is counted; `before` is `None` where it could not be seen. `sentence` says it all.
    """

    place: str
    unit: str
    before: int | None
    wanted: int | None
    state: NodeState
    sentence: str


@dataclass(frozen=True, slots=True)
class NodesReport:
    """Hold what one tick made of nodes ahead of need; `ahead` is `None` where no demand is known."""

    ahead: NodesAhead | None
    orders: tuple[NodeOrder, ...] = ()
