"""Run deployments that share a pool of GPUs, each a fleet that starts and drains, without any request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from models.decision import Decision, Outcome, Record, Status
from models.errors import ObserveError
from models.gpu_pool import GpuPool, Membership
from models.observation import Observation, PoolState, StartingReplica
from models.policy import DecidePolicy, ForecastPolicy, PlanPolicy, TickPolicy
from models.prediction import Forecast
from models.values import Role
from planner.ports import Ports
from planner.record.memory import Memory
from planner.sharing import Seat, SharedPool
from planner.tick import Served, conclude, look
from tests import builders

LAYOUTS = builders.layouts()
STARTUP_S, DRAIN_S, TICK_S = 120.0, 90.0, 60.0
# Requests per second of each class at a moment.
Demand = Callable[[float], Mapping[str, float]]


@dataclass
class ToyPool:
    """Hold the replicas of one role by when they are ready, and by when they are gone."""

    ready: int
    starting: list[float] = field(default_factory=list)
    draining: list[float] = field(default_factory=list)

    def advance(self, now_s: float) -> None:
        self.ready += sum(1 for since in self.starting if now_s >= since + STARTUP_S)
        self.starting = [since for since in self.starting if now_s < since + STARTUP_S]
        self.draining = [since for since in self.draining if now_s < since + DRAIN_S]

    def scale(self, now_s: float, replicas: int) -> None:
        while self.ready + len(self.starting) < replicas:
            self.starting.append(now_s)
        while self.ready + len(self.starting) > replicas and self.starting:
            self.starting.pop()
        while self.ready > replicas:
            self.ready -= 1
            self.draining.append(now_s)

    @property
    def billed(self) -> int:
        return self.ready + len(self.starting) + len(self.draining)


class Deployment:
    """Be the ports of one deployment: its fleet is real enough to hold GPUs, its demand is a function."""

    def __init__(self, name: str, demand: Demand, counts: Mapping[Role, int], plan: PlanPolicy) -> None:
        self.name, self.demand = name, demand
        self.pools = {role: ToyPool(n) for role, n in counts.items()}
        self.policy = TickPolicy(name, ForecastPolicy(), plan, DecidePolicy())
        self.memory, self.blind, self.acts = Memory(), False, True
        self.now_s = 0.0

    @property
    def gpus(self) -> int:
        """The GPUs that are held at this moment, by whatever stands on them."""
        return sum(pool.billed * LAYOUTS[role].gpus for role, pool in self.pools.items())

    @property
    def last(self) -> Record:
        return self.memory.records[-1]

    def join(self, pool: SharedPool, member: Membership) -> None:
        self.acts = member.acts
        seat = Seat(pool, member, LAYOUTS, self.policy.decide)
        self.ports = Ports(self, self, self, self.memory, seat=seat)

    def advance(self, now_s: float) -> None:
        self.now_s = now_s
        for pool in self.pools.values():
            pool.advance(now_s)

    def observe(self, now_s: float) -> Observation:
        if self.blind:
            raise ObserveError("the pools cannot be seen")
        states = {
            role: PoolState(
                desired=pool.ready + len(pool.starting),
                ready=pool.ready,
                starting=tuple(StartingReplica(since) for since in pool.starting),
                draining=len(pool.draining),
            )
            for role, pool in self.pools.items()
        }
        return builders.observation(self.demand(now_s), at_s=now_s, pools=states)

    def absorb(self, observation: Observation) -> None:
        """Remember nothing: demand is known."""

    def forecast(self, now_s: float) -> Forecast:
        return builders.forecast(self.demand(now_s), at_s=now_s)

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        if not self.acts or not decision.changes:
            return Outcome(Status.UNCHANGED)
        for role, count in decision.changes.items():
            self.pools[role].scale(self.now_s, count)
        return Outcome(Status.APPLIED)


def tick_all(deployments: list[Deployment], now_s: float) -> None:
    """Tick deployments together: all look, then all decide; one that cannot be seen is left out."""
    seen = []
    for each in deployments:
        try:
            seen.append((each, look(now_s, each.ports, each.policy)))
        except ObserveError:
            continue
    served = Served(LAYOUTS, "sha256:0", "0")
    for each, found in seen:
        conclude(found, each.ports, each.policy, served)


def pooled(gpus: int, deployments: list[Deployment], members: list[Membership]) -> SharedPool:
    """Put deployments into one pool of GPUs."""
    pool = SharedPool(GpuPool("gb200", gpus), members, TICK_S)
    for each, member in zip(deployments, members, strict=True):
        each.join(pool, member)
    return pool
