"""Keep the claims of deployments that share a pool of GPUs, and tell each what it may take at its tick.

Each deployment looks and claims at its own tick; the others count as they were last seen. Nothing waits for
another, so that one that hangs or fails holds up nobody, and what was granted counts as held until the next
look shows what became of it.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from models.artifact import LayoutProfile
from models.decision import Decision
from models.errors import ConfigError
from models.gpu_pool import GpuPool, Membership, PoolShare, occupied_gpus
from models.observation import Observation
from models.plan.claims import make_claim
from models.plan.fleet_plan import Claim
from models.plan.shares import Division, Member, divide, unseen
from models.policy import DecidePolicy, PlanPolicy, TickPolicy
from models.prediction import Forecast
from models.units import show_duration
from models.values import Role
from planner.tick import Served

# Ticks after which a deployment that was not looked at counts as unseen: it keeps its GPUs and asks for none.
UNSEEN_TICKS = 2.5


@dataclass(frozen=True, slots=True)
class _Seen:
    """Hold the last look at a deployment: when, its claim, what it occupied then and what it holds now."""

    at_s: float
    claim: Claim
    occupied_gpus: int
    held_gpus: int


class SharedPool:
    """Divide one pool among the deployments that were seen; safe to be asked from several threads."""

    def __init__(self, pool: GpuPool, members: Sequence[Membership], interval_s: float) -> None:
        """Begin with no deployment seen."""
        self.pool = pool
        self._members = {m.deployment: m for m in members}
        self._limit_s = UNSEEN_TICKS * interval_s
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._opened_s: float | None = None
        self._last: dict[bool, tuple[list[Claim], Division]] = {}

    def claim(self, claim: Claim, occupied_gpus: int, now_s: float) -> None:
        """Take the claim of a deployment that was looked at; what it holds is known anew."""
        with self._lock:
            self._opened_s = now_s if self._opened_s is None else self._opened_s
            self._seen[claim.deployment] = _Seen(now_s, claim, occupied_gpus, occupied_gpus)

    def share(self, deployment: str, now_s: float) -> PoolShare:
        """Return what a deployment that has claimed may take now; that much is its own until it settles.

        While a deployment of the pool was never looked at, nobody knows what it runs: for the first ticks
        no other takes a GPU more.
        """
        with self._lock:
            members = [self._member(m, now_s) for m in self._members.values()]
            share = self._division(members, self._members[deployment].acts).share(deployment)
            waits_for = [name for name in self._members if name not in self._seen]
            if waits_for and self._opened_s is not None and now_s - self._opened_s < self._limit_s:
                share = replace(share, room_gpus=0)
            seen = self._seen[deployment]
            granted = max(seen.occupied_gpus, min(share.gpus, share.room_gpus))
            self._seen[deployment] = replace(seen, held_gpus=granted)
            return share

    def settle(self, deployment: str, ordered_gpus: int) -> None:
        """Take note of what a deployment ordered within its share; the rest of it is free again."""
        with self._lock:
            seen = self._seen[deployment]
            self._seen[deployment] = replace(seen, held_gpus=seen.occupied_gpus + ordered_gpus)

    def division(self, now_s: float, acting: bool) -> Division:
        """Return how the pool is divided at this moment; see `divide`."""
        with self._lock:
            return self._division([self._member(m, now_s) for m in self._members.values()], acting)

    def _member(self, membership: Membership, now_s: float) -> Member:
        seen = self._seen.get(membership.deployment)
        if seen is None:
            return unseen(membership, None, "was not looked at yet")
        if now_s - seen.at_s > self._limit_s:
            why = f"was last looked at {show_duration(now_s - seen.at_s)} ago"
            return unseen(membership, seen.held_gpus, why)
        return Member(membership, seen.claim, seen.held_gpus)

    def _division(self, members: Sequence[Member], acting: bool) -> Division:
        """Divide anew where a claim changed; what the others hold is always as it is now."""
        claims = [m.claim for m in members]
        fixed = acting and not all(m.membership.acts for m in members)
        known = self._last.get(acting)
        if known is None or fixed or known[0] != claims:
            self._last[acting] = (claims, divide(self.pool, members, acting))
        return replace(self._last[acting][1], members={m.membership.deployment: m for m in members})


def seats(members: Sequence[tuple[GpuPool, Membership, Served, TickPolicy]], where: str) -> dict[str, "Seat"]:
    """Put deployments that share pools into them; return the seat of each by its name.

    Raises ConfigError, which begins with `where`, for a pool of two kinds of hardware, and for one that does
    not hold the smallest fleets of its deployments in their profiles' layouts.
    """
    by_pool: dict[str, list[tuple[GpuPool, Membership, Served, TickPolicy]]] = {}
    for each in members:
        by_pool.setdefault(each[0].name, []).append(each)
    found = {}
    for name, some in by_pool.items():
        kinds = {pool.hardware: member.deployment for pool, member, _, _ in some}
        if len(kinds) > 1:
            said = " and ".join(f"{who} is profiled on {hardware}" for hardware, who in kinds.items())
            raise ConfigError(f"{where}: pool {name}: {said}; GPUs of two kinds are two pools")
        pool, least = some[0][0], sum(member.floor_gpus for _, member, _, _ in some)
        if least > pool.gpus:
            raise ConfigError(
                f"{where}: pool {name} has {pool.gpus} GPUs, and the smallest fleets of its deployments take "
                f"{least} in the profiles' layouts; raise its gpus, or state narrower layouts"
            )
        shared = SharedPool(pool, [member for _, member, _, _ in some], some[0][3].plan.interval_s)
        for _, member, served, policy in some:
            found[member.deployment] = Seat(shared, member, served.layouts, policy.decide)
    return found


class Seat:
    """Be one deployment's place in a shared pool: the port that a tick claims and shares through."""

    def __init__(
        self,
        pool: SharedPool,
        membership: Membership,
        layouts: Mapping[Role, LayoutProfile],
        decide: DecidePolicy,
    ) -> None:
        """Bind a pool to one of its deployments."""
        self.pool = pool
        self._membership = membership
        self._layouts = layouts
        self._decide = decide

    def follow(self, layouts: Mapping[Role, LayoutProfile]) -> None:
        """Claim and count with the layouts that run by now."""
        self._layouts = layouts

    def claim(self, observation: Observation, forecast: Forecast, plan: PlanPolicy) -> None:
        """Claim what the deployment needs from what was just seen and is expected."""
        claim = make_claim(
            self._membership, observation, forecast, self._layouts, plan, self._decide, self.pool.pool.gpus
        )
        held = occupied_gpus(observation, self._layouts)
        self.pool.claim(claim, held, observation.at_s)

    def share(self, now_s: float) -> PoolShare:
        """Return what the deployment may take at this tick."""
        return self.pool.share(self._membership.deployment, now_s)

    def settle(self, decision: Decision) -> None:
        """Say what was decided, so that nobody else takes the GPUs that were ordered."""
        ordered = sum(
            self._layouts[role].gpus * max(count - decision.current[role], 0)
            for role, count in decision.final.items()
        )
        self.pool.settle(self._membership.deployment, ordered)
