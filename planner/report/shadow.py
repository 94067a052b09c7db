"""Follow every decision on a fleet of our own: what would have run, had the advice been taken."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from models.artifact import LayoutProfile
from models.decision import Record
from models.observation import Observation, PoolState, StartingReplica
from models.policy import DecidePolicy, PlanPolicy
from models.values import Role
from planner.decide.pipeline import decide


@dataclass(slots=True)
class _Pool:
    """Hold the replicas of one role; `leaving` are the moments at which draining ones are gone."""

    ready: int
    starting: list[float] = field(default_factory=list)
    leaving: list[float] = field(default_factory=list)


class Shadow:
    """Hold the fleet that follows the decisions of a deployment that does not act.

    Each recorded sizing passes through the same guards as it did, but they see this fleet in place of the
    one that ran. Orders take the planned start-up, releases the drain; nothing ever fails to start. The
    recorded sizing is taken as it is: what runs enters it only as the price of starting a GPU.
    """

    def __init__(self, layouts: Mapping[Role, LayoutProfile], begin: Mapping[Role, int]) -> None:
        """Begin with the fleet that ran at the first record."""
        self._layouts = layouts
        self._pools = {role: _Pool(begin.get(role, 0)) for role in layouts}

    def step(self, record: Record, plan: PlanPolicy, policy: DecidePolicy) -> None:
        """Pass one record's sizing through the guards; `plan` is the one of its moment."""
        now_s = record.observation.at_s
        self._age(now_s, plan)
        seen = self._observed(record.observation)
        decision = decide(seen, record.sizing, plan, policy, self._layouts)
        for role, wanted in decision.final.items():
            self._order(self._pools[role], wanted, now_s, plan.pools[role].drain_s)

    @property
    def ready(self) -> dict[Role, int]:
        """Replicas that serve."""
        return {role: pool.ready for role, pool in self._pools.items()}

    @property
    def billed(self) -> dict[Role, int]:
        """Replicas that are paid: ready, starting and draining."""
        return {r: p.ready + len(p.starting) + len(p.leaving) for r, p in self._pools.items()}

    def _age(self, now_s: float, plan: PlanPolicy) -> None:
        for role, pool in self._pools.items():
            startup_s = plan.pools[role].startup_s
            waiting = [since for since in pool.starting if now_s - since < startup_s]
            pool.ready += len(pool.starting) - len(waiting)
            pool.starting = waiting
            pool.leaving = [gone_s for gone_s in pool.leaving if gone_s > now_s]

    def _observed(self, seen: Observation) -> Observation:
        """Return the observation with this fleet's pools; what a person set on the real ones holds here."""
        pools = {}
        for role, pool in self._pools.items():
            real = seen.pools.get(role, PoolState(0, 0))
            pools[role] = replace(
                real,
                desired=pool.ready + len(pool.starting),
                ready=pool.ready,
                starting=tuple(StartingReplica(since) for since in pool.starting),
                draining=len(pool.leaving),
                rollout_in_progress=False,
            )
        return replace(seen, pools=pools)

    def _order(self, pool: _Pool, wanted: int, now_s: float, drain_s: float) -> None:
        more = wanted - pool.ready - len(pool.starting)
        if more > 0:
            pool.starting += [now_s] * more
            return
        # The youngest starts are taken back first: they serve nobody yet.
        taken = min(-more, len(pool.starting))
        pool.starting = pool.starting[: len(pool.starting) - taken]
        leaving = -more - taken
        pool.ready -= leaving
        pool.leaving += [now_s + drain_s] * leaving
