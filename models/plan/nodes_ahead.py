"""Say how many replicas there is to be room for when a node that is ordered now takes pods."""

from collections.abc import Mapping

from models.artifact import LayoutProfile
from models.decision import Decision
from models.nodes import NodesAhead, NodesPolicy
from models.observation import Observation
from models.plan.hold import wandered
from models.plan.sizing import ask, bind, find_need
from models.policy import PlanPolicy
from models.prediction import Forecast
from models.stock import by_width
from models.topology import packed_nodes
from models.values import Role


def nodes_ahead(
    observation: Observation,
    forecast: Forecast,
    layouts: Mapping[Role, LayoutProfile],
    plan: PlanPolicy,
    nodes: NodesPolicy,
    decision: Decision,
) -> NodesAhead | None:
    """Say what fleet is needed when a node ordered now could serve, and what fleet is not given up.

    Up to the need room is made, above `keep` it is given up: what the upper demand over `hold_s`, past and to
    come, needs, so that a node is not given back for noise and nothing has to be remembered. Both lie within
    the budget. None without demand to size for.
    """
    needed = _fleet(observation, forecast, layouts, plan, nodes.lead_s, kept=False)
    if needed is None:
        return None
    start_s = max(pool.startup_s for pool in plan.pools.values())
    hold_s = max(nodes.lead_s, nodes.hold_s - start_s)
    kept = _fleet(observation, forecast, layouts, plan, hold_s, kept=True) or needed
    current = dict(decision.current)
    # A step down is no order to give up the node: the replica that goes drains first.
    running = {role: max(n, current[role]) for role, n in decision.final.items()}
    gpus = {role: layout.gpus for role, layout in layouts.items()}
    # What runs and is no longer needed frees its GPUs before those of the next need a node.
    need = within({role: max(needed[role], n) for role, n in running.items()}, running, gpus, plan)
    keep = within({role: max(kept[role], n) for role, n in need.items()}, need, gpus, plan)
    return NodesAhead(current, running, need, keep, gpus, not decision.held)


def _fleet(
    observation: Observation,
    forecast: Forecast,
    layouts: Mapping[Role, LayoutProfile],
    plan: PlanPolicy,
    lead_s: float,
    kept: bool,
) -> Mapping[Role, int] | None:
    """Return the fleet for the highest demand until a replica serves whose node is made first, in `lead_s`.

    `kept`: for what the demand may rise to by chance besides, and for that of the recent past.
    """
    asked = ask(observation, forecast, layouts, plan.with_nodes_first(lead_s))
    if asked is None:
        return None
    if not kept:
        return find_need(asked.search, plan).affordable
    foreseen = asked.deferred.forecast
    return find_need(
        bind(wandered(asked.ahead.at_least_recent(foreseen), foreseen), layouts, plan), plan
    ).affordable


def within(
    wanted: Mapping[Role, int], least: Mapping[Role, int], gpus: Mapping[Role, int], plan: PlanPolicy
) -> dict[Role, int]:
    """Lower counts to what the bounds on GPUs hold, never below `least`; the widest surplus goes first."""
    counts = dict(wanted)
    for limit in plan.limits():
        while limit.left(counts, gpus) < 0:
            surplus = {r: (counts[r] - least[r]) * gpus[r] for r in limit.roles if counts[r] > least[r]}
            if not surplus:
                break
            counts[max(surplus, key=lambda role: surplus[role])] -= 1
    return counts


def room(
    before: Mapping[Role, int], ahead: NodesAhead, plan: PlanPolicy, max_step_down: int
) -> dict[Role, int]:
    """Return for how many replicas of each role room is kept, from that which is there `before`.

    Up at once to what is needed, down a step at a time to what is kept, within the budget.
    """
    counts = {}
    for role, need in ahead.need.items():
        had = before.get(role, 0)
        step = max(had - max_step_down, ahead.keep[role]) if ahead.settled else had
        counts[role] = need if had <= need else min(max(step, need), had)
    return within(counts, ahead.need, ahead.gpus, plan)


def nodes_of(
    counts: Mapping[Role, int], gpus: Mapping[Role, int], roles: frozenset[Role], gpus_per_node: int
) -> int:
    """Return the whole nodes that replicas of some roles take when they are packed; no roles: of all."""
    chosen = tuple(role for role in counts if not roles or role in roles)
    return packed_nodes(by_width(counts, gpus, chosen), gpus_per_node)


def node_count(current: int, need: int, keep: int, max_step_down: int, settled: bool) -> int:
    """Return how many nodes to ask for: up at once to the need, down by steps to what is kept."""
    if current <= need:
        return need
    if current <= keep or not settled:
        return current
    return max(current - max_step_down, keep)
