"""Say in the configuration which pools of GPUs deployments share, and what each of them was promised."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Protocol

from pydantic import Field, model_validator

from config.classes import Name
from config.quantities import Count, Whole
from config.section import Problems, Section, refuse
from models.gpu_pool import GpuPool
from models.policy import MOST_GPUS
from models.topology import Topology


class GpuPoolSettings(Section):
    """GPUs of one kind that several deployments share."""

    name: Name = Field(description="Name of the pool, by which deployments join it.")
    gpus: Count = Field(
        ge=1,
        le=MOST_GPUS,
        description="GPUs of the pool. All replicas of its deployments together never take more, those that "
        "start or drain included.",
    )
    gpus_per_node: Count | None = Field(
        default=None,
        ge=1,
        description="GPUs of one node; a replica smaller than a node never straddles two. null: as in the "
        "hardware that the deployments were profiled on.",
    )
    clique_gpus: Count | None = Field(
        default=None,
        ge=1,
        description="GPUs that share one NVLink domain, whole nodes. null: as in the profiled hardware.",
    )

    @model_validator(mode="after")
    def _is_whole_nodes(self) -> "GpuPoolSettings":
        node, clique = self.gpus_per_node, self.clique_gpus
        problems: Problems = []
        if node is not None and node > self.gpus:
            problems.append((("gpus_per_node",), f"is above the {self.gpus} GPUs of the pool"))
        if node is not None and clique is not None and clique % node:
            problems.append((("clique_gpus",), f"is not whole nodes of {node} GPUs"))
        refuse(problems)
        return self

    def to_pool(self, hardware: str, gpus_per_node: int, clique_gpus: int) -> GpuPool:
        """Return the pool laid out in nodes: its own figures, or else those of the profiled hardware."""
        node, clique = self.gpus_per_node or gpus_per_node, self.clique_gpus or clique_gpus
        return GpuPool(self.name, self.gpus, Topology.lay_out(node, max(clique, node), self.gpus), hardware)


class ShareSettings(Section):
    """How a deployment stands in a pool of GPUs that it shares with others."""

    pool: Name = Field(description="The pool, one of `gpu_pools`.")
    guaranteed_gpus: Count = Field(
        default=0,
        ge=0,
        le=MOST_GPUS,
        description="GPUs that are the deployment's own as far as it needs them, whoever else asks. What it "
        "does not need of them others may use meanwhile. 0: none but its pools' `min`.",
    )
    priority: Whole = Field(
        default=0,
        ge=-1_000_000,
        le=1_000_000,
        description="When the pool is too small, the deployment of the higher number gets what it needs "
        "first; equals share where most promises are kept.",
    )


class Sharing(Protocol):
    """What is asked of a deployment here."""

    @property
    def name(self) -> str:
        """Return its name."""
        ...

    @property
    def share(self) -> ShareSettings | None:
        """Return how it stands in a pool, if it is in one."""
        ...

    @property
    def own_gpus(self) -> int | None:
        """Return its own GPU budget."""
        ...

    @property
    def least_gpus(self) -> int | None:
        """Return the GPUs of its smallest fleet; `None` while a layout is left to the profile."""
        ...


def sharing_problems(pools: Sequence[GpuPoolSettings], deployments: Sequence[Sharing]) -> Problems:
    """Return what is wrong between pools and deployments: unknown pools, more promised than there is."""
    known = {pool.name: (i, pool) for i, pool in enumerate(pools)}
    problems: Problems = []
    members: dict[str, list[Sharing]] = {name: [] for name in known}
    for i, each in enumerate(deployments):
        share = each.share
        if share is None:
            continue
        if share.pool not in known:
            problems.append((("deployments", i, "share", "pool"), _unknown(share.pool, known)))
            continue
        members[share.pool].append(each)
        if each.own_gpus is not None and share.guaranteed_gpus > each.own_gpus:
            sentence = f"is above the {each.own_gpus} GPUs of the deployment's own budget"
            problems.append((("deployments", i, "share", "guaranteed_gpus"), sentence))
    for name, (i, pool) in known.items():
        too_small = _promised(pool, members[name])
        if too_small is not None:
            problems.append((("gpu_pools", i, "gpus"), too_small))
    return problems


def _unknown(name: str, known: Mapping[str, object]) -> str:
    if not known:
        return "names a pool, but the file has no `gpu_pools`"
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"is no pool; did you mean {near[0]!r}?" if near else f"is no pool; known are {', '.join(known)}"


def _promised(pool: GpuPoolSettings, members: Sequence[Sharing]) -> str | None:
    """Say in what way a pool is too small for what was promised of it, the plainer way first."""
    floors = {m.name: m.least_gpus or 0 for m in members}
    guaranteed = {m.name: m.share.guaranteed_gpus if m.share else 0 for m in members}
    both = {name: max(floors[name], guaranteed[name]) for name in floors}
    for said, gpus in (
        ("that the `min` of its deployments take", floors),
        ("that are guaranteed", guaranteed),
        ("that guarantees and `min` take together", both),
    ):
        if sum(gpus.values()) > pool.gpus:
            return f"is below the {sum(gpus.values())} GPUs {said}: {_listed(gpus)}"
    return None


def _listed(gpus: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in gpus.items() if n)
