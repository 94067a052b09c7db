"""Name a pool of GPUs that deployments share, what each was promised of it, and what each gets for a tick."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from models.artifact import LayoutProfile
from models.observation import Observation
from models.policy import PlanPolicy
from models.topology import Topology
from models.values import Role


@dataclass(frozen=True, slots=True)
class GpuPool:
    """Name GPUs of one kind that several deployments share; `topology` lays them out (`None`: any fit).

    `hardware` is that kind, as the profiles of its deployments name it.
    """

    name: str
    gpus: int
    topology: Topology | None = None
    hardware: str = ""


@dataclass(frozen=True, slots=True)
class Membership:
    """Say how one deployment stands in a pool.

    `guaranteed_gpus` are its own as far as it needs them, a higher `priority` goes first with all others.
    One that does not act (`acts`) is looked at and told what it would get, and keeps what it runs.
    `floor_gpus` is what its smallest fleet takes.
    """

    deployment: str
    guaranteed_gpus: int = 0
    priority: int = 0
    acts: bool = True
    floor_gpus: int = 0


@dataclass(frozen=True, slots=True)
class PoolShare:
    """Say what one deployment gets of a shared pool for one tick, and why.

    `gpus` bounds its fleet like a budget. `room_gpus` is the most that it may occupy at this moment: the pool
    less what the others occupy, drain or have ordered (`others_gpus`, by deployment). `needed_gpus` is what
    it asked for, `held_gpus` what it holds itself; `guaranteed_gpus` and `priority` are its standing.
    """

    pool: str
    pool_gpus: int
    gpus: int
    needed_gpus: int
    room_gpus: int
    sentence: str
    others_gpus: Mapping[str, int] = field(default_factory=dict)
    held_gpus: int = 0
    guaranteed_gpus: int = 0
    priority: int = 0

    @property
    def binds(self) -> bool:
        """Whether the deployment gets less than it needs."""
        return self.gpus < self.needed_gpus


def within_pool(plan: PlanPolicy, pool: GpuPool) -> PlanPolicy:
    """Return the plan inside the whole of a pool: what a deployment can never exceed, whoever else asks."""
    if plan.budget_gpus is not None and plan.budget_gpus <= pool.gpus:
        return replace(plan, topology=pool.topology)
    named = f"pool {pool.name} of {pool.gpus} GPUs"
    return replace(plan, budget_gpus=pool.gpus, budget_name=named, topology=pool.topology)


def with_share(plan: PlanPolicy, share: PoolShare | None) -> PlanPolicy:
    """Return the plan inside a share of a pool: the tighter of it and the deployment's own budget holds."""
    if share is None:
        return plan
    if plan.budget_gpus is not None and plan.budget_gpus <= share.gpus:
        return replace(plan, room_gpus=share.room_gpus)
    said = f"share of pool {share.pool}, {share.gpus} of {share.pool_gpus} GPUs,"
    return replace(plan, budget_gpus=share.gpus, room_gpus=share.room_gpus, budget_name=said)


def occupied_gpus(observation: Observation, layouts: Mapping[Role, LayoutProfile]) -> int:
    """Count the GPUs that a deployment holds: of replicas that serve, start or drain, or are asked for.

    Replicas that are known to wait for GPUs in vain hold none; one that is merely late does.
    """
    total = 0
    for role, layout in layouts.items():
        pool = observation.pools.get(role)
        if pool is None:
            continue
        coming = sum(1 for replica in pool.starting if replica.stuck is None)
        unborn = max(pool.desired - pool.ready - len(pool.starting), 0)
        total += layout.gpus * (pool.ready + coming + pool.draining + unborn)
    return total
