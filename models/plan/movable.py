"""Say between which counts each role of a deployment can move now: what its claim may offer and ask."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.observation import Observation, PoolState
from models.policy import DecidePolicy, PlanPolicy, PoolPolicy
from models.values import Role
from models.window import Allowed


@dataclass(frozen=True, slots=True)
class Span:
    """Hold the least and the most replicas of a role (`None`: no end), both included."""

    low: int
    high: int | None

    def inside(self, count: int) -> int:
        """Return the nearest count that the role can have."""
        return max(self.low, count if self.high is None else min(count, self.high))


def spans(observation: Observation, plan: PlanPolicy, decide: DecidePolicy) -> Mapping[Role, Span]:
    """Return each role's span: floor and ceiling, narrowed by what holds it.

    A person's word, a rollout and an open maintenance window hold a role, and late or partial demand lowers
    none. What only delays a change (steps, replicas that start) narrows nothing: the GPUs will come.
    """
    age_s = observation.demand_age_s or 0.0
    late = age_s > plan.interval_s + plan.observation_lag_s
    held_down, held_up = late or observation.partial is not None, False
    for each in decide.windows:
        if each.when.end_s(observation.at_s) is not None:
            held_down = held_down or each.allowed is not Allowed.DOWN
            held_up = held_up or each.allowed is not Allowed.UP
    return {
        role: _span(observation.pools[role], pool, held_down, held_up) for role, pool in plan.pools.items()
    }


def _span(pool: PoolState, policy: PoolPolicy, held_down: bool, held_up: bool) -> Span:
    if pool.paused or (pool.pinned_replicas is None and pool.rollout_in_progress):
        return Span(pool.desired, pool.desired)
    low, high = policy.min_replicas, policy.max_replicas
    if pool.pinned_replicas is not None:
        low = high = pool.pinned_replicas
        held_down = held_up = False
    if held_down or pool.paused_scale_in:
        low = max(low, pool.desired)
    if held_up or pool.paused_scale_out:
        high = pool.desired if high is None else min(high, pool.desired)
    return Span(low, None if high is None else max(low, high))
