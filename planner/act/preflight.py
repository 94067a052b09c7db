"""Check before the first tick that targets are there, are what the profile describes, and may be changed."""

from collections.abc import Mapping

from models.artifact import LayoutProfile
from models.errors import ClusterError
from models.observation import Gap
from models.target import PoolTarget
from models.values import Role
from planner.act.results import explained
from planner.cluster.api import Cluster
from planner.cluster.needs import missing_verbs, scaling_rules
from planner.cluster.owners import resolve
from planner.cluster.rivals import rivals
from planner.cluster.scalable import Scalable, Unresolved


def preflight(
    cluster: Cluster,
    targets: Mapping[Role, PoolTarget],
    layouts: Mapping[Role, LayoutProfile],
    acts: bool,
) -> tuple[Gap, ...]:
    """Return what would keep a deployment from acting, and what nobody can check; never raises ClusterError.

    A verb that lacks is named with the rule that grants it. `acts` is false for a deployment that only reads.
    """
    gaps = []
    try:
        for rule in missing_verbs(cluster, scaling_rules(targets, acts)):
            named = f" named {', '.join(rule.names)}" if rule.names else ""
            gaps.append(
                Gap(
                    "permission",
                    f"this account may not {'/'.join(rule.verbs)} {rule.resource}{named} "
                    f"({rule.api_group or 'core'}) in namespace {rule.namespace}, needed to {rule.why}; add "
                    f"to its Role: {rule.to_rule()}",
                )
            )
    except ClusterError as error:
        gaps.append(Gap("permission", f"could not be checked: {error}"))
    for role, target in targets.items():
        gaps += [Gap(f"{role} target", said) for said in _of_target(cluster, role, target, layouts[role])]
    return tuple(gaps)


def _of_target(cluster: Cluster, role: Role, target: PoolTarget, layout: LayoutProfile) -> list[str]:
    try:
        found = resolve(cluster, role, target)
        if isinstance(found, Unresolved):
            return [found.sentence]
        others = rivals(cluster, found)
    except ClusterError as error:
        return [explained(error)]
    said = [f"{each} scales {found} too, and the two would undo each other: delete it" for each in others]
    width = _width(found, layout)
    return [*said, width] if width else said


def _width(found: Scalable, layout: LayoutProfile) -> str:
    """Say where a replica's GPUs are not those of its layout, or cannot be told; empty where they agree."""
    if found.gpus.gpus is None:
        return (
            f"the {layout.gpus} GPUs per replica of {layout.parallelism.name} are taken from the profile and "
            f"could not be checked: {found.gpus.why}"
        )
    if found.gpus.gpus != layout.gpus:
        return (
            f"a replica of {found} takes {found.gpus.gpus} GPUs ({found.gpus.why}), one of the profile's "
            f"layout {layout.parallelism.name} {layout.gpus}: it is not scaled before they agree"
        )
    return ""
