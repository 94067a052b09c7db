"""Bring one candidate at a time into the cluster, wait until it serves, and take it away again."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from models.errors import ClusterError, MeasureError
from models.units import show_duration
from profiler.cluster import Cluster, Manifest, names, passing
from profiler.measure.backend import Refusal
from profiler.measure.deployed.candidate import CANDIDATE, RENDERED, Candidate
from profiler.measure.deployed.handover import HandedOverError
from profiler.measure.deployed.policy import DeployPolicy
from profiler.measure.deployed.readiness import Stage, State, candidate_state

CONFLICT, FORBIDDEN, NOT_FOUND = 409, 403, 404
NOT_STARTED = "the candidate did not start: "
"""Begins every refusal of a layout whose candidate never served: another day it may."""

T = TypeVar("T")
P = ParamSpec("P")
Say = Callable[[str], None]


class Deployer:
    """Hold at most one candidate; leaving the `with` block takes it away.

    A process that is told to stop (SystemExit: eviction, a drained node) or was replaced (HandedOverError)
    leaves it where it is: its successor finds the candidate as it wants it, and loads no weights again.
    """

    def __init__(
        self,
        cluster: Cluster,
        policy: DeployPolicy,
        probe: Callable[[str], str | None],
        say: Say = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Choose the cluster; `probe` says of a URL why it does not serve yet, `say` tells a person."""
        self._cluster, self._policy, self._probe, self._say = cluster, policy, probe, say
        self._clock, self._sleep = clock, sleep
        self._held: Candidate | None = None
        self._since_s = 0.0
        self.held_gpu_s = 0.0
        """GPU-seconds that candidates held so far, those that never served included."""

    def __enter__(self) -> "Deployer":
        """Begin with no candidate."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the candidate away, unless a successor goes on with it."""
        if kind is None or not issubclass(kind, (SystemExit, HandedOverError)):
            self.give_back()

    @property
    def holds(self) -> str:
        """The name of the candidate that is up; empty when there is none."""
        return self._held.name if self._held else ""

    def bring(self, candidate: Candidate) -> float | Refusal:
        """Have the candidate serve; return the seconds that it took, or why it does not.

        Any other candidate is taken away first. Raises MeasureError when the cluster does not let us.
        """
        if self._held is not None and self._held.name == candidate.name:
            return 0.0
        self.give_back()
        self._say(f"deploying {candidate.name} ({candidate.gpus} GPUs)")
        self._held, self._since_s = candidate, self._clock()
        refusal = self._create(candidate) or self._wait_until_serving(candidate)
        if refusal is not None:
            self.give_back()
            held = show_duration(self._clock() - self._since_s)
            return Refusal(f"{NOT_STARTED}{refusal} (given up after {held} with {candidate.gpus} GPUs)")
        took_s = self._clock() - self._since_s
        self._say(f"{candidate.name} serves after {show_duration(took_s)}")
        return took_s

    def trouble(self) -> str | None:
        """Return what broke the candidate that is up, `None` when nothing is seen to."""
        if self._held is None:
            return "it is gone"
        state = self._state(self._held)
        return state.reason if state.stage is not Stage.READY else self._probe(self._held.endpoint)

    def give_back(self) -> None:
        """Take the candidate away, and wait until its pods are gone and their GPUs free."""
        if self._held is None:
            return
        candidate, self._held = self._held, None
        for each in reversed(candidate.objects):
            self._steady(self._cluster.delete, *names(each))
        self._wait_until_gone(candidate)
        self.held_gpu_s += (self._clock() - self._since_s) * candidate.gpus

    def _create(self, candidate: Candidate) -> str | None:
        """Create what is not there as it should be; return why the cluster will not have it."""
        for each in candidate.objects:
            try:
                self._steady(self._ensure, each, candidate)
            except ClusterError as error:
                if error.status == FORBIDDEN and "exceeded quota" in str(error):
                    return f"the namespace's quota is used up: {error}"
                if error.status == FORBIDDEN:
                    raise MeasureError(f"{error}; the sweep's Role lacks it: start the sweep anew") from None
                return str(error)
        return None

    def _ensure(self, wanted: Manifest, candidate: Candidate) -> None:
        """Create an object, or take over the same one of a predecessor; another in its place goes first."""
        deadline_s = self._clock() + self._policy.gone_within_s
        while True:
            try:
                self._cluster.create(wanted)
                return
            except ClusterError as error:
                if error.status != CONFLICT:
                    raise
            found = self._cluster.get(*names(wanted))
            if found is not None and _is_same(found, wanted):
                self._say(f"{candidate.name}: taking over {wanted['kind']} {wanted['metadata']['name']}")
                return
            if found is not None:
                _refuse_strangers(found, wanted)
                self._cluster.delete(*names(wanted))
            if self._clock() > deadline_s:
                kind, name = wanted["kind"], wanted["metadata"]["name"]
                raise MeasureError(f"an older {kind} {name} does not go away; see `kubectl describe`")
            self._sleep(self._policy.poll_s)

    def _wait_until_serving(self, candidate: Candidate) -> str | None:
        """Wait until objects, pods and endpoint are ready; return what held it up for too long."""
        policy = self._policy
        limits_s = {
            Stage.UNSCHEDULED: policy.schedule_within_s,
            Stage.NOT_PULLED: policy.pull_within_s,
            Stage.FAILED: 0.0,
        }
        stuck: tuple[Stage, float] | None = None
        reason = ""
        while True:
            now_s = self._clock()
            state = self._state(candidate)
            if state.stage is Stage.READY:
                why = self._probe(candidate.endpoint)
                if why is None:
                    return None
                state = State(Stage.STARTING, why)
            if state.reason != reason:
                reason = state.reason
                self._say(f"{candidate.name}: {reason}")
            if stuck is None or stuck[0] is not state.stage:
                stuck = state.stage, now_s
            if state.stage in limits_s and now_s - stuck[1] >= limits_s[state.stage]:
                return state.reason
            if now_s - self._since_s >= policy.ready_within_s:
                return f"not ready within {show_duration(policy.ready_within_s)}: {state.reason}"
            self._sleep(policy.poll_s)

    def _state(self, candidate: Candidate) -> State:
        objects = []
        for each in candidate.objects:
            found = self._steady(self._cluster.get, *names(each))
            if found is None:
                what = f"{each['kind']} {each['metadata']['name']}"
                return State(Stage.FAILED, f"{what} was deleted by somebody else")
            objects.append(found)
        return candidate_state(objects, self._pods(candidate))

    def _pods(self, candidate: Candidate) -> list[Manifest]:
        """Return the candidate's pods, by our label and by the one that Dynamo's operator sets."""
        namespace = candidate.objects[0]["metadata"]["namespace"]
        selectors = [f"{CANDIDATE}={candidate.name}"]
        selectors += [
            f"nvidia.com/dynamo-graph-deployment-name={each['metadata']['name']}"
            for each in candidate.objects
            if each["kind"] == "DynamoGraphDeployment"
        ]
        found: dict[str, Manifest] = {}
        for selector in selectors:
            pods = self._steady(self._cluster.find, "v1", "Pod", namespace, selector)
            found |= {pod["metadata"]["name"]: pod for pod in pods}
        return list(found.values())

    def _wait_until_gone(self, candidate: Candidate) -> None:
        deadline_s = self._clock() + self._policy.gone_within_s
        while left := self._left(candidate):
            if self._clock() > deadline_s:
                raise MeasureError(
                    f"{candidate.name} was deleted, but its GPUs are not free: after "
                    f"{show_duration(self._policy.gone_within_s)} there is still {', '.join(left[:3])}"
                )
            self._sleep(min(self._policy.poll_s, 1.0))

    def _left(self, candidate: Candidate) -> list[str]:
        objects = [
            f"{each['kind']} {each['metadata']['name']}"
            for each in candidate.objects
            if self._steady(self._cluster.get, *names(each)) is not None
        ]
        return objects + [f"pod {pod['metadata']['name']}" for pod in self._pods(candidate)]

    def _steady(self, call: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Call the API server, again where it was busy or away: an upgrade of it lasts minutes."""
        deadline_s = self._clock() + self._policy.patience_s
        while True:
            try:
                return call(*given, **named)
            except ClusterError as error:
                if not passing(error.status):
                    raise
                if self._clock() > deadline_s:
                    raise MeasureError(str(error)) from None
            self._sleep(self._policy.poll_s)


def _is_same(found: Manifest, wanted: Manifest) -> bool:
    """Whether an object is the one that we would create, staying for as long as ours would."""
    metadata = found["metadata"]
    owners = {owner["uid"] for owner in metadata.get("ownerReferences") or ()}
    needed = {owner["uid"] for owner in wanted["metadata"].get("ownerReferences") or ()}
    digest = (metadata.get("annotations") or {}).get(RENDERED)
    same = digest == wanted["metadata"]["annotations"][RENDERED]
    return same and owners == needed and "deletionTimestamp" not in metadata


def _refuse_strangers(found: Manifest, wanted: Manifest) -> None:
    """Leave alone what the sweep did not make."""
    if CANDIDATE not in (found["metadata"].get("labels") or {}):
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        raise MeasureError(
            f"there is a {kind} {name} that this sweep did not make; it is left alone: "
            "give the sweep another --name"
        )
