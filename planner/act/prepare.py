"""Prepare a decision for the cluster: what is patched for each role, and what speaks against it."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.artifact import LayoutProfile
from models.decision import Decision
from models.errors import ClusterError
from models.observation import Observation
from models.target import PoolTarget
from models.values import Role
from planner.act.results import Result, refused
from planner.act.revalidate import Wanted, objection
from planner.cluster.api import Cluster
from planner.cluster.one_look import OneLook
from planner.cluster.owners import resolve
from planner.cluster.patches import Patch, scaling
from planner.cluster.scalable import Scalable


@dataclass(frozen=True, slots=True)
class Prepared:
    """Hold what was found for each role, the roles to patch, and what came of the others already."""

    found: Mapping[Role, Scalable]
    wanted: Mapping[Role, Wanted]
    objections: Mapping[Role, Result]

    @property
    def roles(self) -> list[Role]:
        """Roles to patch, downs before ups: what one gives back the other may need."""
        left = [role for role in self.wanted if role not in self.objections]
        return sorted(left, key=lambda role: self.wanted[role].after - self.wanted[role].before)


def wanted_of(
    decision: Decision, observation: Observation, layouts: Mapping[Role, LayoutProfile]
) -> dict[Role, Wanted]:
    """Return what a decision asks of each role that changes."""
    return {
        role: Wanted(
            decision.current[role],
            after,
            layouts[role].gpus,
            layouts[role].parallelism.name,
            observation.pools[role].uid,
        )
        for role, after in decision.changes.items()
    }


def prepare(cluster: Cluster, targets: Mapping[Role, PoolTarget], wanted: Mapping[Role, Wanted]) -> Prepared:
    """Look at every target as it is now, and check those that are to change; never raises ClusterError."""
    found: dict[Role, Scalable] = {}
    objections: dict[Role, Result] = {}
    look = OneLook(cluster)
    for role, target in targets.items():
        try:
            each = resolve(look, role, target)
        except ClusterError as error:
            if role in wanted:
                objections[role] = refused(error)
            continue
        if isinstance(each, Scalable):
            found[role] = each
        objected = objection(each, wanted[role]) if role in wanted else None
        if objected is not None:
            objections[role] = objected
    return Prepared(found, wanted, objections)


def grouped(prepared: Prepared, roles: list[Role]) -> list[list[Scalable]]:
    """Put the pools of one object together, in the order of the roles: they are patched at once."""
    groups: dict[tuple[object, ...], list[Scalable]] = {}
    for role in roles:
        pool = prepared.found[role]
        groups.setdefault((pool.scaled, pool.subresource), []).append(pool)
    return list(groups.values())


def patches(
    cluster: Cluster,
    targets: Mapping[Role, PoolTarget],
    decision: Decision,
    observation: Observation,
    layouts: Mapping[Role, LayoutProfile],
) -> tuple[tuple[Patch, ...], Mapping[Role, Result]]:
    """Return the exact patches that would apply a decision now, and why a role has none.

    A report shows them with `Patch.command()`. Nothing is sent; nothing that a server refuses is raised.
    """
    prepared = prepare(cluster, targets, wanted_of(decision, observation, layouts))
    return of_groups(prepared), prepared.objections


def of_groups(prepared: Prepared) -> tuple[Patch, ...]:
    """Return one patch for each object, downs before ups."""
    groups = grouped(prepared, prepared.roles)
    return tuple(
        scaling(pools, {pool.role: prepared.wanted[pool.role].after for pool in pools}) for pools in groups
    )
