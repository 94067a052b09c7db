"""Let the API server check what a decision would do, and change nothing."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.artifact import LayoutProfile
from models.decision import Decision, Outcome, Status
from models.errors import ClusterError
from models.observation import Observation
from models.target import PoolTarget
from models.values import Role
from planner.act.patience import PatientCluster
from planner.act.prepare import patches
from planner.act.results import FORBIDDEN, explained
from planner.cluster.api import Cluster
from planner.cluster.patches import Patch
from planner.ports import Clock

PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Checked:
    """Hold the patches that would apply a decision, each with what the server says to a dry run of it."""

    patches: tuple[tuple[Patch, str], ...]
    objections: Mapping[Role, str]

    def __str__(self) -> str:
        """Say what would be changed, and what was found."""
        said = [f"would change {patch} ({verdict})" for patch, verdict in self.patches]
        said += [f"would leave {role}: {sentence}" for role, sentence in self.objections.items()]
        return "; ".join(said) or "nothing to change"


@dataclass(frozen=True, slots=True)
class ServerDryRun:
    """Implement the Actuator port with server-side dry runs: admission, quota and schema are checked.

    The fleet stays as it is, so the outcome is `unchanged` whatever the server says; its detail says that.
    """

    cluster: Cluster
    targets: Mapping[Role, PoolTarget]
    layouts: Mapping[Role, LayoutProfile]
    clock: Clock
    sleep: Callable[[float], None] = time.sleep

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        """Return what would have been done, and whether the server would have let it."""
        if not decision.changes:
            held = decision.held
            why = "counts are held for want of data" if held else "nothing to change"
            return Outcome(Status.HELD if held else Status.UNCHANGED, f"dry run: {why}")
        return Outcome(Status.UNCHANGED, f"dry run: {self.check(decision, observation)}")

    def check(self, decision: Decision, observation: Observation) -> Checked:
        """Send a dry run of each patch that would apply the decision; never raises ClusterError."""
        cluster = PatientCluster(self.cluster, self.clock, self.sleep, PATIENCE_S)
        planned, objections = patches(cluster, self.targets, decision, observation, self.layouts)
        checked = tuple((patch, _verdict(cluster, patch)) for patch in planned)
        return Checked(checked, {role: result.sentence for role, result in objections.items()})


def _verdict(cluster: Cluster, patch: Patch) -> str:
    try:
        cluster.patch_json(patch.of.identity, patch.operations, True, patch.subresource)
    except ClusterError as error:
        if error.status == FORBIDDEN and "cannot patch resource" in str(error):
            return "not checked by the server, as this account may not patch"
        return f"the server would refuse: {explained(error)}"
    return "the server accepts it"
