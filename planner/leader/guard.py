"""Change nothing without the lease: the last word before a decision is carried out, and before each write."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from models.decision import Decision, Outcome, Status
from models.errors import ClusterError
from models.nodes import NodeOrder, NodesAhead
from models.observation import Observation
from models.policy import PlanPolicy
from planner.cluster.api import Cluster, Manifest
from planner.ports import Actuator, NodeKeeper

Leading = Callable[[], bool]

_CONFLICT = 409


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


class LeasedCluster:
    """Implement the Cluster protocol with another: reads always, writes only while this process leads.

    A decision may take several writes. One that loses its lease between them stops there, and leaves the
    rest to its successor.
    """

    def __init__(self, cluster: Cluster, leading: Leading) -> None:
        """Bind the cluster and who says whether it may be changed."""
        self._cluster = cluster
        self._leading = leading

    def get(
        self, api_version: str, kind: str, name: str, namespace: str, subresource: str = ""
    ) -> Manifest | None:
        """Return an object."""
        return self._cluster.get(api_version, kind, name, namespace, subresource)

    def find(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Manifest]:
        """Return the objects that carry the labels."""
        return self._cluster.find(api_version, kind, namespace, labels)

    def create(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        """Create an object; a conflict without the lease."""
        self._check(dry_run)
        return self._cluster.create(manifest, dry_run)

    def patch(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        """Merge into an object; a conflict without the lease."""
        self._check(dry_run)
        return self._cluster.patch(manifest, dry_run)

    def patch_json(
        self,
        of: tuple[str, str, str, str],
        operations: Sequence[Mapping[str, Any]],
        dry_run: bool = False,
        subresource: str = "",
    ) -> Manifest:
        """Apply operations to an object; a conflict without the lease."""
        self._check(dry_run)
        return self._cluster.patch_json(of, operations, dry_run, subresource)

    def delete(self, api_version: str, kind: str, name: str, namespace: str) -> bool:
        """Delete an object; a conflict without the lease."""
        self._check(False)
        return self._cluster.delete(api_version, kind, name, namespace)

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        labels: str,
        stopped: Callable[[], bool],
        current: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[str, Manifest]]:
        """Yield changes of objects."""
        return self._cluster.watch(api_version, kind, namespace, labels, stopped, current)

    def _check(self, dry_run: bool) -> None:
        if not dry_run and not self._leading():
            raise ClusterError("another process leads by now: this one changes nothing more", _CONFLICT)
