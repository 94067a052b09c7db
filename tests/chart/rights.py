"""Compare what Roles grant with what the code says that it needs, verb by verb."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from config.schema import DeploymentSettings, Settings
from models.policy import Mode
from models.target import ObjectRef, PoolTarget
from models.values import Role
from planner.cluster.needs import Rule, plural, scaling_rules, telling_rules
from planner.cluster.sighting import kinds_read
from tests.chart.helm import Object

ACCOUNT = "headgate"


class Right(NamedTuple):
    """One verb on one resource in a namespace; an empty name stands for any object."""

    namespace: str
    group: str
    resource: str
    verb: str
    name: str = ""


def granted(objects: Iterable[Object]) -> set[Right]:
    """Return what the scaler's account is granted by Roles that are bound to it."""
    objects = list(objects)
    roles = {_place(each): each["rules"] for each in objects if each["kind"] == "Role"}
    found: set[Right] = set()
    for binding in objects:
        if binding["kind"] != "RoleBinding":
            continue
        if [subject["name"] for subject in binding["subjects"]] != [ACCOUNT]:
            continue
        namespace = binding["metadata"]["namespace"]
        for rule in roles[namespace, binding["roleRef"]["name"]]:
            found |= set(_spread(namespace, rule))
    return _without_repeats(found)


def needed(config: Mapping[str, Any], release: str) -> set[Right]:
    """Return what serving a configuration needs in the namespaces of its targets."""
    found: set[Right] = set()
    for deployment in Settings.model_validate(config).deployments:
        targets = {role: each.placed(release) for role, each in deployment.targets().items()}
        acts = deployment.mode is not Mode.OBSERVE
        if targets:
            for rule in (*scaling_rules(targets, acts), *telling_rules(targets)):
                found |= set(_of_rule(rule))
        for api_version, kind, namespace in kinds_read(targets.values()):
            group = api_version.partition("/")[0] if "/" in api_version else ""
            found |= {Right(namespace, group, plural(kind), verb) for verb in ("list", "watch")}
        for target in targets.values():
            # What happens to a target is told there; what was told before is counted up.
            place = target.owner.namespace, "", "events"
            found |= {Right(*place, verb) for verb in ("get", "create", "patch")}
            if acts and deployment.reshape.allowed:
                # A change of layout is a patch of the owner's template.
                found |= set(_patched(target.owner))
        if deployment.nodes is not None and acts:
            found |= _headroom(deployment, targets)
    return _without_repeats(found)


def _patched(owner: ObjectRef) -> Iterator[Right]:
    group = owner.api_version.partition("/")[0] if "/" in owner.api_version else ""
    yield Right(owner.namespace, group, plural(owner.kind), "patch", owner.name)


def _headroom(deployment: DeploymentSettings, targets: Mapping[Role, PoolTarget]) -> set[Right]:
    """Return what keeping headroom pods needs: one Deployment per role, beside the workload."""
    policy = deployment.nodes.to_headroom(deployment.name) if deployment.nodes else None
    found: set[Right] = set()
    for role, target in targets.items() if policy else ():
        place, name = (target.owner.namespace, "apps"), f"{policy.name}-{role.value}" if policy else ""
        found.add(Right(*place, "deployments", "create"))
        found |= {Right(*place, "deployments", verb, name) for verb in ("get", "patch")}
        found.add(Right(*place, "deployments/scale", "patch", name))
    return found


def leading(release: str) -> set[Right]:
    """Return what an election needs: to create cannot be bound to a name."""
    place = release, "coordination.k8s.io", "leases"
    return {Right(*place, "create"), *(Right(*place, verb, ACCOUNT) for verb in ("get", "patch"))}


def _of_rule(rule: Rule) -> Iterator[Right]:
    for verb in rule.verbs:
        for name in rule.names or ("",):
            yield Right(rule.namespace, rule.api_group, rule.resource, verb, name)


def _spread(namespace: str, rule: Mapping[str, Sequence[str]]) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames") or ("",):
                    yield Right(namespace, group, resource, verb, name)


def _without_repeats(rights: set[Right]) -> set[Right]:
    """Leave out what is granted for one object where it is granted for any."""
    return {each for each in rights if not each.name or each._replace(name="") not in rights}


def _place(manifest: Object) -> tuple[str, str]:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]
