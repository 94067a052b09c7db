"""Give one role of an owner another layout, by one patch of its template, and take it back if it fails.

What is going on stands in an annotation of the owner, written by the same patch: a process that ends between
any two steps leaves nothing half done, and its successor goes on from there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.engine_arguments import EngineArguments
from models.errors import ClusterError
from models.reshaping import ReshapeReport, ReshapeState, Switch
from models.target import PoolTarget
from models.units import show_duration
from models.values import Role
from planner.act.results import CONFLICT, explained
from planner.cluster import dynamo
from planner.cluster.api import Cluster, Manifest
from planner.cluster.owners import resolve
from planner.cluster.pauses import pauses
from planner.cluster.podforms import pod_forms
from planner.cluster.reshape_note import (
    FAILED,
    RESHAPE,
    Phase,
    ReshapeNote,
    failure,
    failure_of,
    note_of,
)
from planner.cluster.scalable import Scalable
from planner.cluster.strategies import Replacing, replacing
from planner.cluster.widths import Operation, holds, rewritten, undone

# A status that names no generation may be older than the patch: it is believed after this time.
_UNTOLD_S = 120.0
# How often owners are looked at for a change that nobody here began.
_LOOK_S = 60.0


def _always() -> bool:
    return True


@dataclass(slots=True)
class ClusterReshaper:
    """Implement the Reshaper port with the owners in a cluster.

    `engine` is how widths are written; `gpus_per_node` those of each role's nodes. Without `acts` the server
    checks what would be done and keeps none of it. `leading` is asked before each patch.
    """

    cluster: Cluster
    targets: Mapping[Role, PoolTarget]
    engine: EngineArguments | None
    gpus_per_node: Mapping[Role, int]
    acts: bool
    leading: Callable[[], bool] = _always
    _active: bool = field(default=True, init=False)
    _looked_s: float | None = field(default=None, init=False)
    _refused: tuple[Switch, ReshapeReport] | None = field(default=None, init=False)

    def step(self, switch: Switch | None, now_s: float) -> ReshapeReport | None:
        """Go on with what is under way, or else begin what is asked for; a refusal is never raised."""
        due = self._looked_s is None or now_s - self._looked_s >= _LOOK_S
        if self._refused is not None and self._refused[0] == switch and not due:
            return self._refused[1]
        if switch is None and not self._active and not due:
            return None
        self._looked_s = now_s
        role = next(iter(self.targets)) if switch is None else switch.role
        try:
            found = self._found()
            begun = [(each, note) for each in found.values() if (note := _note(each)) is not None]
            self._active = bool(begun)
            if begun:
                return self._follow(*begun[0], now_s)
            report = None if switch is None else self._begin(switch, found, now_s)
            settled = report is not None and report.state in (ReshapeState.REFUSED, ReshapeState.PROPOSED)
            # What forbids it now does so for a while: it is not asked for again at each tick.
            self._refused = (
                (switch, report) if switch is not None and report is not None and settled else None
            )
            return report
        except ClusterError as error:
            return ReshapeReport(role, ReshapeState.FAILED, f"{role}: {explained(error)}")

    def _found(self) -> dict[Role, Scalable]:
        seen = {role: resolve(self.cluster, role, target) for role, target in self.targets.items()}
        return {role: each for role, each in seen.items() if isinstance(each, Scalable)}

    def _begin(self, switch: Switch, found: Mapping[Role, Scalable], now_s: float) -> ReshapeReport:
        """Check a switch against what runs now, have the server check it, and send it."""
        scaled = found.get(switch.role)
        if scaled is None:
            return _said(switch, ReshapeState.REFUSED, "its target cannot be read")
        owner = self.cluster.get(*scaled.owner.identity)
        if owner is None:
            return _said(switch, ReshapeState.REFUSED, f"{scaled.owner} is gone")
        why = _not_now(switch, found, now_s)
        if why:
            return _said(switch, ReshapeState.REFUSED, why)
        planned = self._planned(switch, found, owner)
        if isinstance(planned, str):
            return _said(switch, ReshapeState.REFUSED, f"{scaled}: {planned}")
        changes, strategy = planned
        deadline_s = switch.deadline_s(strategy.surge + strategy.unavailable)
        note = ReshapeNote(
            switch.role,
            Phase.FORWARD,
            switch.instead_of.name,
            switch.to.name,
            now_s,
            now_s + deadline_s,
            [*_guards(owner, scaled), *undone(changes)],
        )
        operations = [
            *_locked(owner, scaled),
            *changes,
            *_annotate(owner, {RESHAPE: note.dump(), FAILED: None}),
        ]
        try:
            self.cluster.patch_json(scaled.owner.identity, operations, dry_run=True)
        except ClusterError as error:
            sentence = f"the server would not take it, and nothing was changed: {explained(error)}"
            return _said(switch, ReshapeState.REFUSED, sentence)
        if not self.acts:
            return _said(switch, ReshapeState.PROPOSED, "dry run: the server accepts the patch")
        within = f"to be ready within {show_duration(deadline_s)}"
        return self._send(scaled, operations, switch.role, ReshapeState.STARTED, f"{switch}: begun, {within}")

    def _planned(
        self, switch: Switch, found: Mapping[Role, Scalable], owner: Manifest
    ) -> tuple[Sequence[Operation], Replacing] | str:
        """Return the operations on the owner and how it replaces replicas; or why it must not begin."""
        scaled = found[switch.role]
        strategy = _strategy(owner, scaled)
        if isinstance(strategy, str):
            return strategy
        least = scaled.desired - strategy.unavailable
        if least < switch.needed:
            lacking = (
                f", of which {strategy.named} lets {strategy.unavailable} lack"
                if strategy.unavailable
                else ""
            )
            return (
                f"{switch.needed} replicas of either layout are needed throughout, and there are "
                f"{scaled.desired}{lacking}; it waits for less demand"
            )
        together = self._beside(switch, found, owner)
        if isinstance(together, str):
            return together
        most = switch.most_gpus(strategy.surge) + together
        if switch.left_gpus is not None and most > switch.left_gpus:
            return (
                f"old and new replicas take up to {most} GPUs together, and the {switch.limit} leaves "
                f"{switch.left_gpus} beside the other roles; it waits for fewer replicas or a larger budget"
            )
        forms = pod_forms(owner, scaled.component)
        if isinstance(forms, str):
            return forms
        changes = rewritten(forms, switch.to, self.engine, self.gpus_per_node[switch.role])
        if isinstance(changes, str):
            return changes
        return (changes, strategy) if changes else "its template runs that layout already"

    def _beside(self, switch: Switch, found: Mapping[Role, Scalable], owner: Manifest) -> int | str:
        """Return the GPUs that other roles take besides: an operator may replace all workers of a graph.

        Those of a DynamoGraphDeployment that are Deployments belong to one generation, and a change of one
        makes a new one.
        """
        more = 0
        for role, other in found.items():
            same = other.owner == found[switch.role].owner and other.component is not None
            if role is switch.role or not same or other.status.get("componentKind") != "Deployment":
                continue
            strategy = _strategy(owner, other)
            if isinstance(strategy, str):
                return f"{role} is replaced with it: {strategy}"
            if other.desired - strategy.unavailable < switch.others_needed.get(role, 0):
                return (
                    f"{role} is replaced with it, and {strategy.named} lets {strategy.unavailable} of its "
                    f"{other.desired} replicas lack, of which {switch.others_needed[role]} are needed"
                )
            more += strategy.surge * (other.gpus.gpus or 0)
        return more

    def _follow(self, scaled: Scalable, note: ReshapeNote | str, now_s: float) -> ReshapeReport:
        """Go on with a change that is under way: finish it, wait, or take it back."""
        if isinstance(note, str):
            return ReshapeReport(scaled.role, ReshapeState.FAILED, f"{scaled}: {note}")
        owner = self.cluster.get(*scaled.owner.identity)
        paused = pauses(scaled.annotations, scaled.component, scaled.role).paused
        name = f"{note.role} {note.before} -> {note.after}"
        if owner is None or paused or not self.acts:
            why = "paused" if paused else "left to the process that acts"
            return ReshapeReport(note.role, ReshapeState.UNDER_WAY, f"{name}: {why}")
        lock = _locked(owner, scaled)
        if note.phase is Phase.BACK:
            return self._follow_back(scaled, note, owner, now_s)
        if not holds(owner, note.undo):
            operations = [*lock, *_annotate(owner, {RESHAPE: None})]
            said = f"{name}: somebody changed the template meanwhile; it is left as it is"
            return self._send(scaled, operations, note.role, ReshapeState.SUPERSEDED, said)
        if _complete(scaled, note, now_s):
            operations = [*lock, *_annotate(owner, {RESHAPE: None})]
            took = show_duration(now_s - note.started_s)
            return self._send(scaled, operations, note.role, ReshapeState.DONE, f"{name}: ready after {took}")
        why = _stuck(scaled)
        if not why and now_s < note.deadline_s:
            left = show_duration(note.deadline_s - now_s)
            sentence = f"{name}: {_progress(scaled)}; {left} left"
            return ReshapeReport(note.role, ReshapeState.UNDER_WAY, sentence)
        why = (
            why or f"not ready within {show_duration(note.deadline_s - note.started_s)}: {_progress(scaled)}"
        )
        back = ReshapeNote(
            note.role,
            Phase.BACK,
            note.before,
            note.after,
            now_s,
            now_s + (note.deadline_s - note.started_s),
            [],
        )
        told = {RESHAPE: back.dump(), FAILED: failure(note, now_s, why)}
        operations = [*lock, *note.undo, *_annotate(owner, told)]
        said = f"{name}: {why}; {note.before} is put back"
        return self._send(scaled, operations, note.role, ReshapeState.ROLLING_BACK, said)

    def _follow_back(
        self, scaled: Scalable, note: ReshapeNote, owner: Manifest, now_s: float
    ) -> ReshapeReport:
        if _complete(scaled, note, now_s):
            operations = [*_locked(owner, scaled), *_annotate(owner, {RESHAPE: None})]
            said = f"{note.role} {note.after} was given up: {note.before} serves again"
            return self._send(scaled, operations, note.role, ReshapeState.ROLLED_BACK, said)
        state, said = ReshapeState.ROLLING_BACK, f"{note.role}: back to {note.before}, {_progress(scaled)}"
        if now_s >= note.deadline_s:
            state = ReshapeState.FAILED
            said += f"; since {show_duration(now_s - note.started_s)}: somebody has to look at {scaled.owner}"
        return ReshapeReport(note.role, state, said)

    def _send(
        self, scaled: Scalable, operations: Sequence[Operation], role: Role, state: ReshapeState, said: str
    ) -> ReshapeReport:
        """Send one patch; what was changed in between is looked at again at the next tick."""
        if not self.leading():
            return ReshapeReport(role, ReshapeState.SUPERSEDED, f"{role}: another process leads by now")
        try:
            self.cluster.patch_json(scaled.owner.identity, operations)
        except ClusterError as error:
            if error.status == CONFLICT:
                return ReshapeReport(
                    role, ReshapeState.SUPERSEDED, f"{role}: changed meanwhile, looked at again"
                )
            raise
        self._active = True
        return ReshapeReport(role, state, said)


def _note(scaled: Scalable) -> ReshapeNote | str | None:
    """Return the change that a role's owner carries, where it is one of this role."""
    note = note_of(scaled.annotations)
    return note if not isinstance(note, ReshapeNote) or note.role is scaled.role else None


def _said(switch: Switch, state: ReshapeState, sentence: str) -> ReshapeReport:
    return ReshapeReport(switch.role, state, f"{switch}: {sentence}")


def _not_now(switch: Switch, found: Mapping[Role, Scalable], now_s: float) -> str:
    """Say why no switch may begin at this moment, whatever it is; empty where one may."""
    scaled = found[switch.role]
    for role, each in found.items():
        if pauses(each.annotations, each.component, role).paused:
            return f"{role} is paused"
        if each.rolling:
            return f"{role} is in a rollout: {each.rolling}"
    failed = failure_of(scaled.annotations, switch.role, switch.to.name)
    if failed is not None and now_s - failed[0] < switch.retry_s:
        ago, again = show_duration(now_s - failed[0]), show_duration(switch.retry_s - (now_s - failed[0]))
        return f"it failed {ago} ago ({failed[1]}) and is tried again in {again}"
    if scaled.desired != switch.current:
        return f"{scaled.desired} replicas are asked for, and {switch.current} were decided; it waits"
    ready = _ready(scaled)
    if ready is not None and ready < scaled.desired:
        return f"{ready} of {scaled.desired} replicas are ready; it waits for all"
    return ""


def _strategy(owner: Manifest, scaled: Scalable) -> Replacing | str:
    component = None
    if scaled.component is not None:
        listed = dynamo.components(owner) or ()
        component = next((each.spec for each in listed if each.name == scaled.component), None)
    return replacing(owner, scaled.status, component, scaled.desired)


def _ready(scaled: Scalable) -> int | None:
    status = scaled.status
    said = status.get("readyReplicas", status.get("availableReplicas"))
    return int(said) if isinstance(said, int) else None


def _complete(scaled: Scalable, note: ReshapeNote, now_s: float) -> bool:
    """Say whether every replica is of the template that was written, and ready."""
    if scaled.observed_generation is None and now_s - note.started_s < _UNTOLD_S:
        return False
    behind = scaled.observed_generation is not None and scaled.observed_generation < scaled.generation
    updated = scaled.status.get("updatedReplicas", scaled.desired)
    return (
        not behind
        and not scaled.rolling
        and updated >= scaled.desired
        and (_ready(scaled) or 0) >= scaled.desired
    )


def _stuck(scaled: Scalable) -> str:
    """Return what the owner says of a rollout that it has given up; empty where it has not."""
    for each in scaled.status.get("conditions") or ():
        if each.get("reason") == "ProgressDeadlineExceeded" and each.get("status") == "False":
            return str(each.get("message") or each["reason"])
    return ""


def _progress(scaled: Scalable) -> str:
    ready = _ready(scaled)
    count = "nobody says how many" if ready is None else f"{ready} of {scaled.desired}"
    return f"{count} replicas are ready{f', {scaled.rolling}' if scaled.rolling else ''}"


def _guards(owner: Manifest, scaled: Scalable) -> list[Operation]:
    """Return the tests that a component stands where it stood: lists may be sorted anew."""
    listed = (dynamo.components(owner) or ()) if scaled.component is not None else ()
    guards = next((each.guards for each in listed if each.name == scaled.component), {})
    return [{"op": "test", "path": path, "value": value} for path, value in guards.items()]


def _locked(owner: Manifest, scaled: Scalable) -> list[Operation]:
    """Return what makes a patch one of the very object, in the very version, that was read."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": scaled.owner_uid},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": scaled.owner_version},
        *_guards(owner, scaled),
    ]


def _annotate(owner: Manifest, values: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Return the operations that set annotations, and remove those without a value."""
    there = owner["metadata"].get("annotations") or {}
    operations: list[dict[str, Any]] = []
    if not there and any(value is not None for value in values.values()):
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    for key, value in values.items():
        path = f"/metadata/annotations/{key.replace('/', '~1')}"
        if value is not None:
            operations.append({"op": "add", "path": path, "value": value})
        elif key in there:
            operations.append({"op": "remove", "path": path})
    return operations
