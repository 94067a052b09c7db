"""Change nothing without the lease: the last word before a decision is carried out, and before each write."""

from collections.abc import Callable

from models.decision import Decision, Outcome, Status
from models.errors import ClusterError
from models.nodes import NodeOrder, NodesAhead
from models.observation import Observation
from models.policy import PlanPolicy
from planner.cluster.api import Cluster
from planner.cluster.around import Answer, ClusterAround
from planner.ports import Actuator, NodeKeeper

Leading = Callable[[], bool]

_CONFLICT = 409
_WRITES = ("create", "patch", "delete")


def alone() -> bool:
    """Lead without an election: where there is no cluster, or only one process can be."""
    return True


class LeasedActuator:
    """Implement the Actuator port with another, which is asked only while this process leads."""

    def __init__(self, actuator: Actuator, leading: Leading) -> None:
        """Bind the actuator and who says whether it may act."""
        self._actuator = actuator
        self._leading = leading

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        """Act, unless another leads by now: what it decides supersedes this."""
        if not self._leading():
            return Outcome(
                Status.SUPERSEDED, "the lease was lost before acting; the next tick of who holds it decides"
            )
        return self._actuator.act(decision, observation)


class LeasedNodes:
    """Implement the NodeKeeper port with another, which is asked only while this process leads."""

    def __init__(self, keeper: NodeKeeper, leading: Leading) -> None:
        """Bind the keeper and who says whether it may act."""
        self._keeper = keeper
        self._leading = leading

    def keep(self, ahead: NodesAhead | None, plan: PlanPolicy, now_s: float) -> tuple[NodeOrder, ...]:
        """Ask for nodes; for none without the lease."""
        return self._keeper.keep(ahead, plan, now_s) if self._leading() else ()


class LeasedCluster(ClusterAround):
    """Implement the Cluster protocol with another: reads always, writes only while this process leads.

    A decision may take several writes. One that loses its lease between them stops there, and leaves the
    rest to its successor.
    """

    def __init__(self, cluster: Cluster, leading: Leading) -> None:
        """Bind the cluster and who says whether it may be changed."""
        super().__init__(cluster)
        self._leading = leading

    def around(self, verb: str, ask: Callable[[], Answer], dry_run: bool = False) -> Answer:
        """Send a request; a write without the lease is a conflict."""
        if verb in _WRITES and not dry_run and not self._leading():
            raise ClusterError("another process leads by now: this one changes nothing more", _CONFLICT)
        return ask()
