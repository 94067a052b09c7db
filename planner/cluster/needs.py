"""Say what an account must be allowed to do to scale a target, as data for Roles and for a check at start."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from models.errors import ClusterError
from models.target import ObjectRef, PoolTarget
from models.values import Role
from planner.cluster import dynamo
from planner.cluster.api import Cluster
from planner.cluster.dynamo import ADAPTER, GRAPH

_REVIEW = "authorization.k8s.io/v1"
_PLURALS = {
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "LeaderWorkerSet": "leaderworkersets",
    GRAPH: "dynamographdeployments",
    ADAPTER: "dynamographdeploymentscalingadapters",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Allow verbs on a resource (`deployments`, `deployments/scale`) of an API group in a namespace.

    `names` restricts it to objects of these names; empty: any. `why` says what is done with it.
    """

    namespace: str
    api_group: str
    resource: str
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    why: str = ""

    def to_rule(self) -> dict[str, list[str]]:
        """Write it as a rule of a Role."""
        rule = {"apiGroups": [self.api_group], "resources": [self.resource], "verbs": list(self.verbs)}
        return rule | ({"resourceNames": list(self.names)} if self.names else {})


def plural(kind: str) -> str:
    """Return the resource of a kind: known ones by name, others as the API's conventions make it."""
    if kind in _PLURALS:
        return _PLURALS[kind]
    lower = kind.lower()
    if lower.endswith(("s", "x", "ch", "sh")):
        return f"{lower}es"
    return f"{lower[:-1]}ies" if lower.endswith("y") and lower[-2:-1] not in "aeiou" else f"{lower}s"


def scaling_rules(targets: Mapping[Role, PoolTarget], acts: bool = True) -> tuple[Rule, ...]:
    """Return what scaling these targets needs, and not a verb more; without `acts` what reading them needs.

    A pair of roles needs `patch` on the owner of the first one: the intent is annotated there.
    """
    rules: list[Rule] = []
    for role, target in sorted(targets.items()):
        rules += _of_target(role, target, acts)
    if acts and len(targets) > 1:
        rules.append(_rule(intent_owner(targets), "", ("patch",), "annotate a change of two roles"))
    return _merged(rules)


def telling_rules(targets: Mapping[Role, PoolTarget]) -> tuple[Rule, ...]:
    """Return what the check at the start looks at beside the targets; without it less is told, no more."""
    spaces = dict.fromkeys(target.owner.namespace for target in targets.values())
    why = "tell of an autoscaler that is set on the same pool"
    return tuple(
        Rule(space, "autoscaling", "horizontalpodautoscalers", ("list",), (), why) for space in spaces
    )


def reshaping_rules(targets: Mapping[Role, PoolTarget]) -> tuple[Rule, ...]:
    """Return what a change of layout needs besides `scaling_rules`: to patch the owners' templates."""
    why = "give a role another layout"
    return _merged([_rule(each.owner, "", ("get", "patch"), why) for _, each in sorted(targets.items())])


def intent_owner(targets: Mapping[Role, PoolTarget]) -> ObjectRef:
    """Return the owner that carries the intent of a change of several roles: the same one for everybody."""
    order = list(Role)
    return targets[min(targets, key=order.index)].owner


def missing_verbs(cluster: Cluster, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Ask the server which of the rules this account lacks, and return these with the verbs that lack.

    Raises ClusterError where the server does not answer; one that lets nobody ask finds nothing missing.
    """
    lacking = []
    for rule in rules:
        verbs = tuple(verb for verb in rule.verbs if not _may(cluster, rule, verb))
        if verbs:
            lacking.append(replace(rule, verbs=verbs))
    return tuple(lacking)


def _of_target(role: Role, target: PoolTarget, acts: bool) -> Iterator[Rule]:
    owner = target.owner
    scale = ("get", "patch") if acts else ("get",)
    yield _rule(owner, "", ("get",), f"read the {role} pool's owner")
    if owner.kind != GRAPH:
        yield _rule(owner, "/scale", scale, f"scale {role}")
        return
    # Whether a component has an adapter may change while the scaler runs.
    names = () if target.component is None else (dynamo.adapter_name(owner.name, target.component),)
    adapter = replace(owner, kind=ADAPTER)
    yield replace(_rule(adapter, "", ("get",), f"find the {role} component's adapter"), names=names)
    yield replace(_rule(adapter, "/scale", scale, f"scale {role} through its adapter"), names=names)
    if acts:
        yield _rule(owner, "", ("patch",), f"scale {role} where it has no adapter")


def _rule(of: ObjectRef, part: str, verbs: tuple[str, ...], why: str) -> Rule:
    group = of.api_version.partition("/")[0] if "/" in of.api_version else ""
    return Rule(of.namespace, group, f"{plural(of.kind)}{part}", verbs, (of.name,), why)


def _merged(rules: list[Rule]) -> tuple[Rule, ...]:
    """Join rules on the same objects."""
    found: dict[tuple[str, str, str, tuple[str, ...]], Rule] = {}
    for rule in rules:
        key = (rule.namespace, rule.api_group, rule.resource, rule.names)
        before = found.get(key)
        if before is None:
            found[key] = rule
            continue
        verbs = tuple(dict.fromkeys((*before.verbs, *rule.verbs)))
        reasons = tuple(dict.fromkeys((*before.why.split("; "), rule.why)))
        found[key] = replace(before, verbs=verbs, why="; ".join(reasons))
    return tuple(found.values())


def _may(cluster: Cluster, rule: Rule, verb: str) -> bool:
    resource, _, part = rule.resource.partition("/")
    asked = {
        "namespace": rule.namespace,
        "group": rule.api_group,
        "resource": resource,
        "verb": verb,
        **({"subresource": part} if part else {}),
    }
    for name in rule.names or ("",):
        review = {
            "apiVersion": _REVIEW,
            "kind": "SelfSubjectAccessReview",
            "metadata": {"name": ""},
            "spec": {"resourceAttributes": asked | ({"name": name} if name else {})},
        }
        try:
            answer = cluster.create(review)
        except ClusterError as error:
            if error.status in (403, 404):
                return True
            raise
        if not (answer.get("status") or {}).get("allowed"):
            return False
    return True
