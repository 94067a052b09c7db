"""Keep pods of low priority on GPUs that replicas to come will need; those displace them when they come.

The cluster autoscaler, or node auto-provisioning, makes nodes for the pods. Replicas that are asked for count
against them, so that what a real pod displaces is not asked for again.
"""

from collections.abc import Mapping
from typing import Any

from models.errors import ClusterError
from models.nodes import HeadroomPolicy, NodeOrder, NodesAhead, NodesPolicy, NodeState
from models.plan.nodes_ahead import room
from models.policy import PlanPolicy
from models.target import PoolTarget
from models.units import show_duration
from models.values import Role
from planner.act.headroom_pods import HEADROOM, PLACEMENT, headroom_deployment, waiting
from planner.cluster.api import Cluster, Manifest
from planner.cluster.owners import resolve
from planner.cluster.podforms import PodForm, pod_forms
from planner.cluster.scalable import SCALE, Unresolved

_KIND = ("apps/v1", "Deployment")
# How often the workload's template is read again: placements change with a rollout, if ever.
_PLACED_S = 300.0
_FORBIDDEN = 403


class Headroom:
    """Implement the NodeKeeper port with one Deployment of headroom pods per role."""

    def __init__(
        self,
        cluster: Cluster,
        targets: Mapping[Role, PoolTarget],
        policy: HeadroomPolicy,
        nodes: NodesPolicy,
        dry_run: bool = False,
    ) -> None:
        """Keep headroom beside the targets; `dry_run` has the server check every change and keep none."""
        self._cluster, self._targets = cluster, targets
        self._policy, self._nodes, self._dry_run = policy, nodes, dry_run
        self._wanted: dict[Role, tuple[float, Manifest, int]] = {}

    def keep(self, ahead: NodesAhead | None, plan: PlanPolicy, now_s: float) -> tuple[NodeOrder, ...]:
        """Bring every role's headroom to what the sizing foresees; what is refused is said, never raised."""
        seen: dict[Role, tuple[Manifest, int, Manifest | None]] = {}
        orders = []
        for role, target in self._targets.items():
            try:
                found = self._look(role, target, now_s)
            except ClusterError as error:
                found = self._refused(role, error)
            if isinstance(found, NodeOrder):
                orders.append(found)
            else:
                seen[role] = found
        if ahead is None:
            stay = (self._unasked(role, deployment) for role, (_, _, deployment) in seen.items())
            return (*orders, *stay)
        # What cannot be seen is taken to hold nothing, and is not ordered.
        before = {
            role: ahead.current.get(role, 0) + -(-_replicas(deployment) // pods)
            for role, (_, pods, deployment) in seen.items()
        }
        kept = room(before, ahead, plan, self._nodes.max_step_down)
        for role, (wanted, pods, deployment) in seen.items():
            count = max(kept[role] - ahead.running[role], 0) * pods
            try:
                orders.append(self._bring(role, wanted, deployment, count, now_s))
            except ClusterError as error:
                orders.append(self._refused(role, error, _replicas(deployment), count))
        return tuple(orders)

    def _look(
        self, role: Role, target: PoolTarget, now_s: float
    ) -> tuple[Manifest, int, Manifest | None] | NodeOrder:
        """Return the Deployment as it should be, the pods per replica, and the Deployment that is there."""
        known = self._wanted.get(role)
        if known is None or now_s - known[0] >= _PLACED_S:
            made = self._placed(role, target)
            if isinstance(made, str):
                return self._order(role, None, None, NodeState.REFUSED, made)
            self._wanted[role] = known = (now_s, *made)
        _, wanted, pods = known
        metadata = wanted["metadata"]
        found = self._cluster.get(*_KIND, metadata["name"], metadata["namespace"])
        if found is not None and (found["metadata"].get("labels") or {}).get(HEADROOM) != metadata["name"]:
            sentence = (
                f"Deployment {metadata['namespace']}/{metadata['name']} is not Headgate's: it lacks the "
                f"label {HEADROOM}; state another nodes.headroom.name"
            )
            return self._order(role, None, None, NodeState.REFUSED, sentence)
        return wanted, pods, found

    def _placed(self, role: Role, target: PoolTarget) -> tuple[Manifest, int] | str:
        """Return the role's headroom Deployment, placed like the workload, or why there can be none."""
        scaled = resolve(self._cluster, role, target)
        if isinstance(scaled, Unresolved):
            return scaled.sentence
        owner = self._cluster.get(*scaled.owner.identity)
        forms = "is gone" if owner is None else pod_forms(owner, scaled.component)
        if owner is None or isinstance(forms, str):
            return f"{scaled}: {forms}"
        form: PodForm | None = next((each for each in forms if each.gpus), None)
        if form is None:
            return (
                f"{scaled}: its pods state no limit of GPUs (are they claimed through DRA?), so nothing says "
                "how many a headroom pod is to hold; use nodes.agent_pools instead"
            )
        name = f"{self._policy.name}-{role.value}"
        return headroom_deployment(name, owner, form, self._policy), form.pods

    def _bring(
        self, role: Role, wanted: Manifest, found: Manifest | None, count: int, now_s: float
    ) -> NodeOrder:
        before = _replicas(found)
        if found is None:
            if count == 0:
                return self._order(role, 0, 0, NodeState.SETTLED, "no headroom is needed")
            manifest = {**wanted, "spec": {**wanted["spec"], "replicas": count}}
            self._cluster.create(manifest, dry_run=self._dry_run)
            return self._order(role, 0, count, NodeState.ORDERED, f"{count} headroom pods are created")
        if _placement(found) != _placement(wanted):
            self._place(wanted, found)
        if count != before:
            self._scale(wanted, found, count)
            return self._order(role, before, count, NodeState.ORDERED, f"{before} -> {count} headroom pods")
        return self._standing(role, found, count, now_s)

    def _scale(self, wanted: Manifest, found: Manifest, count: int) -> None:
        metadata = wanted["metadata"]
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": found["metadata"]["uid"]},
            {"op": "add", "path": "/spec/replicas", "value": count},
        ]
        of = (*_KIND, metadata["name"], metadata["namespace"])
        self._cluster.patch_json(of, operations, dry_run=self._dry_run, subresource=SCALE)

    def _place(self, wanted: Manifest, found: Manifest) -> None:
        """Have the headroom pods follow the workload to other nodes."""
        of = (*_KIND, wanted["metadata"]["name"], wanted["metadata"]["namespace"])
        key = PLACEMENT.replace("/", "~1")
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": found["metadata"]["uid"]},
            {"op": "replace", "path": "/spec/template", "value": wanted["spec"]["template"]},
            {"op": "add", "path": f"/metadata/annotations/{key}", "value": _placement(wanted)},
        ]
        self._cluster.patch_json(of, operations, dry_run=self._dry_run)

    def _standing(self, role: Role, found: Manifest, count: int, now_s: float) -> NodeOrder:
        """Say how far the pods that are asked for have got."""
        status = found.get("status") or {}
        refusal = next(
            (
                str(each.get("message", "no reason given"))
                for each in status.get("conditions") or ()
                if each.get("type") == "ReplicaFailure" and each.get("status") == "True"
            ),
            None,
        )
        if refusal is not None:
            state = NodeState.QUOTA if "exceeded quota" in refusal else NodeState.REFUSED
            return self._order(role, count, count, state, f"its pods are refused: {refusal}")
        ready = int(status.get("readyReplicas") or 0)
        if ready >= count:
            return self._order(
                role, count, count, NodeState.SETTLED, f"{count} headroom pods hold their place"
            )
        metadata = found["metadata"]
        pods = self._cluster.find("v1", "Pod", metadata["namespace"], f"{HEADROOM}={metadata['name']}")
        since_s, said = waiting(pods)
        got = f"{ready} of {count} headroom pods have a node"
        if since_s is None or now_s - since_s <= self._nodes.lead_s:
            return self._order(role, count, count, NodeState.UNDER_WAY, f"{got}{f': {said}' if said else ''}")
        waited = show_duration(now_s - since_s)
        sentence = f"{got}, one waits for {waited} ({show_duration(self._nodes.lead_s)} stated): {said}"
        return self._order(role, count, count, NodeState.CAPACITY, sentence)

    def _unasked(self, role: Role, found: Manifest | None) -> NodeOrder:
        n = _replicas(found)
        return self._order(role, n, n, NodeState.SETTLED, f"{n} headroom pods stay: no demand is known")

    def _refused(
        self, role: Role, error: ClusterError, before: int | None = None, wanted: int | None = None
    ) -> NodeOrder:
        state = NodeState.UNREACHABLE if error.status == 0 else NodeState.REFUSED
        said = str(error)
        if error.status == _FORBIDDEN:
            said += "; headroom needs get, create and patch of deployments and deployments/scale, get of the "
            said += "workload, and list of pods"
            if "exceeded quota" in said:
                state = NodeState.QUOTA
        return self._order(role, before, wanted, state, said)

    def _order(
        self, role: Role, before: int | None, wanted: int | None, state: NodeState, sentence: str
    ) -> NodeOrder:
        name = f"{self._policy.name}-{role.value}"
        lead = "dry run: " if self._dry_run and state is NodeState.ORDERED else ""
        return NodeOrder(f"headroom {name}", "pods", before, wanted, state, f"{name}: {lead}{sentence}")


def _replicas(found: Manifest | None) -> int:
    return 0 if found is None else int((found.get("spec") or {}).get("replicas") or 0)


def _placement(manifest: Mapping[str, Any]) -> str:
    return str((manifest["metadata"].get("annotations") or {}).get(PLACEMENT, ""))
