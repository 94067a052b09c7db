"""Give each deployment what has nodes made for it ahead of need: headroom pods, or agent pools of AKS."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from models.errors import ConfigError
from models.nodes import AgentPoolPolicy, HeadroomPolicy, NodesPolicy
from models.policy import Mode
from models.target import PoolTarget
from models.values import Role
from planner import wiring
from planner.act.agent_pool_state import ResizablePool
from planner.act.empty_nodes import empty_nodes
from planner.act.headroom import Headroom
from planner.act.pool_nodes import AgentPoolNodes, PoolNodes
from planner.cluster.api import Cluster
from planner.ports import NodeKeeper

if TYPE_CHECKING:
    from planner.wiring import Connected, Deployment


@dataclass(frozen=True, slots=True)
class NodesWanted:
    """Say how one deployment has nodes ahead of need.

    `targets` and `gpus_per_node` are those of its roles. One that does not act is told what would be done.
    """

    deployment: str
    acts: bool
    policy: NodesPolicy
    targets: Mapping[Role, PoolTarget]
    gpus_per_node: Mapping[Role, int]
    headroom: HeadroomPolicy | None = None
    agent_pools: tuple[AgentPoolPolicy, ...] = ()


def node_keepers(
    deployments: Sequence["Deployment"], connected: "Connected", dry_run: bool = False
) -> dict[str, NodeKeeper]:
    """Return what has nodes made ahead of need, by the name of each deployment that asks for it.

    In a dry run, and for a deployment whose mode is not act, what would be done is only said. Raises
    ConfigError for what cannot be had.
    """
    wanted = [
        NodesWanted(
            deployment=each.name,
            acts=each.settings.mode is Mode.ACT and not dry_run,
            policy=nodes.to_policy(),
            targets=connected.targets(each),
            gpus_per_node={
                role: each.profile.artifact.machine(layout).gpus_per_node
                for role, layout in each.served.layouts.items()
            },
            headroom=nodes.to_headroom(each.name),
            agent_pools=tuple(pool.to_policy() for pool in nodes.agent_pools),
        )
        for each in deployments
        if (nodes := each.settings.nodes) is not None and each.settings.mode is not Mode.OBSERVE
    ]
    return keepers_of(wanted, connected.cluster, wiring.agent_pool)


def keepers_of(
    wanted: Sequence[NodesWanted], cluster: Cluster, open_pool: Callable[[AgentPoolPolicy], ResizablePool]
) -> dict[str, NodeKeeper]:
    """Return the keeper of each deployment by its name; those that run on one agent pool share it.

    Raises ConfigError for headroom without targets, and for an agent pool of two kinds of nodes.
    """
    shared = {key: _pool(key, wanted, cluster, open_pool) for key in _identities(wanted)}
    keepers: dict[str, NodeKeeper] = {}
    for each in wanted:
        if each.headroom is not None:
            if not each.targets:
                raise ConfigError(
                    f"deployment {each.deployment}: nodes.headroom places pods like the workload's, and no "
                    "`target` says where that is; name one, or use nodes.agent_pools"
                )
            dry_run = not each.acts
            keepers[each.deployment] = Headroom(cluster, each.targets, each.headroom, each.policy, dry_run)
        elif each.agent_pools:
            mine = [(shared[pool.identity], pool.roles) for pool in each.agent_pools]
            keepers[each.deployment] = AgentPoolNodes(each.deployment, mine, each.acts)
    return keepers


def _identities(wanted: Sequence[NodesWanted]) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(pool.identity for each in wanted for pool in each.agent_pools))


def _pool(
    identity: tuple[str, ...],
    wanted: Sequence[NodesWanted],
    cluster: Cluster,
    open_pool: Callable[[AgentPoolPolicy], ResizablePool],
) -> PoolNodes:
    """Open one agent pool for all deployments that name it; the most careful terms count."""
    members = [(each, pool) for each in wanted for pool in each.agent_pools if pool.identity == identity]
    first = members[0][1]
    sizes = {
        each.gpus_per_node[role]
        for each, pool in members
        for role in each.gpus_per_node
        if not pool.roles or role in pool.roles
    }
    names = [each.deployment for each, _ in members]
    if len(sizes) != 1:
        raise ConfigError(
            f"{first}, of {' and '.join(names)}: its roles are profiled on nodes of "
            f"{' and '.join(map(str, sorted(sizes))) or 'no'} GPUs; name the `roles` that run on it"
        )
    terms = NodesPolicy(
        lead_s=max(each.policy.lead_s for each, _ in members),
        hold_s=max(each.policy.hold_s for each, _ in members),
        max_step_down=min(each.policy.max_step_down for each, _ in members),
        retry_s=max(each.policy.retry_s for each, _ in members),
    )
    bounds = [pool.max_nodes for _, pool in members if pool.max_nodes is not None]
    joint = replace(
        first,
        roles=frozenset(),
        min_nodes=max(pool.min_nodes for _, pool in members),
        max_nodes=min(bounds, default=None),
        spare_nodes=max(pool.spare_nodes for _, pool in members),
    )
    empty = partial(empty_nodes, cluster, first.pool)
    return PoolNodes(open_pool(joint), sizes.pop(), names, empty, terms)
