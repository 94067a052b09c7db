"""Say in the configuration how nodes are had ahead of need: by headroom pods, or by agent pools of AKS."""

import re
from collections.abc import Sequence
from typing import Annotated, Protocol

from pydantic import AfterValidator, Field, model_validator

from config.quantities import Count, Duration, at_most
from config.section import Problems, Section, refuse
from config.sources import Url
from config.targets import ObjectName
from models.nodes import AgentPoolPolicy, HeadroomPolicy, NodesPolicy
from models.policy import LONGEST_STARTUP_S
from models.values import Role

_NODES = NodesPolicy()
MOST_NODES = 1000
"""Nodes of one agent pool, by the limits of AKS."""


def _subscription(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise ValueError("is no subscription: it wants the id, such as 00000000-0000-0000-0000-000000000000")
    return text


def _https(url: str) -> str:
    if not url.startswith("https://"):
        raise ValueError("is no https address, and a token that may change nodes goes over no other")
    return url


AzureName = Annotated[str, Field(min_length=1, max_length=90, pattern=r"^[-\w.()]*[-\w()]$")]


class HeadroomSettings(Section):
    """Pods of low priority that hold GPUs for replicas to come, which displace them."""

    image: str = Field(
        min_length=1,
        pattern=r"^[^\s]+$",
        description="Image of a container that does nothing, such as the pause image that your nodes have.",
    )
    priority_class: ObjectName = Field(
        default="headgate-headroom",
        description="PriorityClass of the pods, below that of every replica, and not under the cutoff (-10) "
        "below which the cluster autoscaler makes no node. The chart brings the default.",
    )
    name: ObjectName | None = Field(
        default=None,
        description="What the Deployments of headroom pods are called, each with its role at the end. null: "
        "the deployment's name and `-headroom`.",
    )


class AgentPoolSettings(Section):
    """An agent pool of AKS whose nodes are ordered through the Azure API."""

    subscription: Annotated[str, AfterValidator(_subscription)] = Field(
        description="Id of the subscription that the cluster is in."
    )
    resource_group: AzureName = Field(description="Resource group of the cluster.")
    cluster: AzureName = Field(description="Name of the AKS cluster.")
    pool: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,11}$")] = Field(
        description="Name of the agent pool. Its `count` is set where its own autoscaler is off, and its "
        "`minCount` where that is on."
    )
    roles: tuple[Role, ...] | None = Field(
        default=None, description="Roles whose replicas run on the pool. null: all of the deployment."
    )
    min_nodes: Count = Field(
        default=0, alias="min", le=MOST_NODES, description="Fewest nodes that the pool is left with."
    )
    max_nodes: Count | None = Field(
        default=None,
        alias="max",
        ge=1,
        le=MOST_NODES,
        description="Most nodes that are asked for. null: what the budget holds, and the pool's `maxCount`.",
    )
    spare_nodes: Count = Field(
        default=0,
        alias="spare",
        le=MOST_NODES,
        description="Nodes of the pool that others use; they are counted on top of what replicas need.",
    )
    endpoint: Annotated[Url, AfterValidator(_https)] = Field(
        default="https://management.azure.com",
        description="Address of the Azure Resource Manager; sovereign clouds have their own.",
    )

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> "AgentPoolSettings":
        if self.max_nodes is not None and self.max_nodes < self.min_nodes:
            refuse([(("max",), f"is below `min` ({self.min_nodes})")])
        return self

    def to_policy(self) -> AgentPoolPolicy:
        """Return the pool with its bounds."""
        return AgentPoolPolicy(
            self.subscription,
            self.resource_group,
            self.cluster,
            self.pool,
            self.endpoint,
            frozenset(self.roles or ()),
            self.min_nodes,
            self.max_nodes,
            self.spare_nodes,
        )


class NodesSettings(Section):
    """How nodes are had ahead of need: state `headroom` or `agent_pools`."""

    lead_s: Annotated[Duration, at_most(LONGEST_STARTUP_S)] = Field(
        default=_NODES.lead_s,
        alias="lead",
        description="Time from the order of a node until it takes pods, a duration. Forecasts reach so much "
        "further than a replica's start-up.",
    )
    hold_s: Annotated[Duration, at_most(LONGEST_STARTUP_S)] = Field(
        default=_NODES.hold_s,
        alias="hold",
        description="Time for which nothing foreseen may need a node that is given up, a duration.",
    )
    max_step_down: Count = Field(
        default=_NODES.max_step_down,
        ge=1,
        description="Nodes, or replicas' worth of headroom, that are given up in one tick.",
    )
    retry_s: Duration = Field(
        default=_NODES.retry_s,
        alias="retry",
        description="Time after which nodes are asked for again that were refused for want of quota or of "
        "capacity, a duration.",
    )
    headroom: HeadroomSettings | None = Field(
        default=None,
        description="Headroom pods: the cluster autoscaler, or node auto-provisioning, makes nodes for them. "
        "null: none.",
    )
    agent_pools: tuple[AgentPoolSettings, ...] = Field(
        default=(), max_length=20, description="Agent pools of AKS, ordered through the Azure API."
    )

    @model_validator(mode="after")
    def _is_one_way(self) -> "NodesSettings":
        problems: Problems = []
        if self.headroom is None and not self.agent_pools:
            problems.append(((), "orders no nodes: state `headroom`, or `agent_pools`"))
        elif self.headroom is not None and self.agent_pools:
            sentence = "would order the same nodes as `headroom` does; state one of the two"
            problems.append((("agent_pools",), sentence))
        seen: list[tuple[str, ...]] = []
        taken: set[Role] = set()
        for i, each in enumerate(self.agent_pools):
            named = each.to_policy()
            if named.identity in seen:
                problems.append((("agent_pools", i), f"names {named} a second time"))
            roles = set(each.roles or Role)
            if roles & taken:
                both = ", ".join(sorted(roles & taken))
                sentence = f"share {both} with a pool above: their nodes would be ordered twice"
                problems.append((("agent_pools", i, "roles"), sentence))
            seen.append(named.identity)
            taken |= roles
        refuse(problems)
        return self

    def to_policy(self) -> NodesPolicy:
        """Return how far ahead nodes are ordered and how long they are kept."""
        return NodesPolicy(self.lead_s, self.hold_s, self.max_step_down, self.retry_s)

    def to_headroom(self, deployment: str) -> HeadroomPolicy | None:
        """Return the headroom pods of a deployment, None where it has none."""
        if self.headroom is None:
            return None
        name = self.headroom.name or f"{re.sub('[^a-z0-9-]', '-', deployment.lower())}-headroom"
        return HeadroomPolicy(self.headroom.image, self.headroom.priority_class, name)


class WithNodes(Protocol):
    """Be a deployment that may have nodes ahead of need."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def nodes(self) -> NodesSettings | None:
        """How it has them."""
        ...


def nodes_problems(deployments: Sequence[WithNodes]) -> Problems:
    """Return the headroom Deployments that two deployments would share: one count cannot serve both."""
    seen: dict[str, str] = {}
    problems: Problems = []
    for i, each in enumerate(deployments):
        headroom = None if each.nodes is None else each.nodes.to_headroom(each.name)
        if headroom is None:
            continue
        first = seen.setdefault(headroom.name, each.name)
        if first != each.name:
            sentence = f"is that of deployment {first} too, and one count cannot serve both"
            problems.append(((i, "nodes", "headroom", "name"), sentence))
    return problems
