"""Say what a proposed change of layouts takes, one role at a time, while demand goes on."""

from collections.abc import Mapping, Sequence

from models.artifact import LayoutProfile
from models.decision import Decision, Reshape
from models.observation import Observation
from models.plan.sizing import ask, find_need
from models.policy import PlanPolicy
from models.prediction import Forecast
from models.reshaping import Switch
from models.values import Role

# Further than this no forecast is asked: a rollout of hours is watched, and rolled back if need be.
_LONGEST_S = 4 * 3600.0


def switch(
    observation: Observation,
    forecast: Forecast,
    layouts: Mapping[Role, LayoutProfile],
    others: Mapping[Role, Sequence[LayoutProfile]],
    plan: PlanPolicy,
    proposal: Reshape,
    decision: Decision,
) -> Switch | None:
    """Return the first step of a proposal: the role whose change asks least of what runs.

    For as long as the replicas take to be replaced one by one, what is needed of the role with its old and
    with its new layout counts, the greater: any mixture of both then keeps the promise, since each replica
    does at least what the weaker of the two does. None without demand to judge by.
    """
    steps: list[tuple[int, Switch]] = []
    for role, name in proposal.layouts.items():
        to = next(each for each in others[role] if each.parallelism.name == name)
        needs = _needs(observation, forecast, layouts, {**layouts, role: to}, plan, role, decision)
        if needs is None:
            return None
        mine = max(each[role] for each in needs)
        left, limit = _left(layouts, plan, role, decision)
        pool, current = plan.pools[role], decision.final[role]
        step = Switch(
            role,
            to.parallelism,
            layouts[role].parallelism,
            mine,
            current,
            left,
            limit,
            {other: max(each[other] for each in needs) for other in layouts if other is not role},
            pool.startup_p99_s,
            pool.drain_s,
            plan.reshape.retry_s,
        )
        steps.append((mine - current, step))
    return min(steps, key=lambda each: each[0])[1] if steps else None


def _needs(
    observation: Observation,
    forecast: Forecast,
    now: Mapping[Role, LayoutProfile],
    then: Mapping[Role, LayoutProfile],
    plan: PlanPolicy,
    role: Role,
    decision: Decision,
) -> list[Mapping[Role, int]] | None:
    pool = plan.pools[role]
    lasts_s = min(decision.final[role] * (pool.startup_p99_s + pool.drain_s), _LONGEST_S)
    counts: list[Mapping[Role, int]] = []
    for layouts in (now, then):
        asked = ask(observation, forecast, layouts, plan.with_nodes_first(lasts_s))
        if asked is None:
            return None
        counts.append(find_need(asked.search, plan).wanted)
    return counts


def _left(
    layouts: Mapping[Role, LayoutProfile], plan: PlanPolicy, role: Role, decision: Decision
) -> tuple[int | None, str]:
    """Return the GPUs that bounds leave to a role beside the others, and the name of the tightest."""
    gpus = {each: layout.gpus for each, layout in layouts.items()}
    others = {each: max(n, decision.current[each]) for each, n in decision.final.items() if each is not role}
    rooms = [(limit.left(others, gpus), limit.name) for limit in plan.rooms() if role in limit.roles]
    return min(rooms, default=(None, ""))
