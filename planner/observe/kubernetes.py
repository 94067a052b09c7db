"""See the pools of a deployment in a Kubernetes cluster."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from models.errors import ClusterError, ObserveError
from models.observation import Gap, PoolState
from models.target import PoolTarget
from models.values import Role
from planner.cluster.api import Reader
from planner.cluster.scalable import Unresolved
from planner.cluster.sighting import sight


@runtime_checkable
class Ageing(Protocol):
    """Know objects from before, and how old that is; an optional power of a Reader."""

    def remarks(self) -> tuple[str, ...]:
        """Say what is older than it should be."""
        ...


class KubernetesPools:
    """Implement the PoolSource port for targets in a cluster.

    The reader may be the cluster itself, for one look, or watches of it. Nothing is remembered between looks
    but the uid of each target, to say when it was made anew; counts never rest on it.
    """

    def __init__(self, cluster: Reader, targets: Mapping[Role, PoolTarget]) -> None:
        """Bind the targets of each role, their namespaces stated."""
        self._cluster = cluster
        self._targets = dict(targets)
        self._uids: dict[Role, str] = {}
        self._gaps: tuple[Gap, ...] = ()

    def pools(self, now_s: float) -> Mapping[Role, PoolState]:
        """Return the pools per role at `now_s`.

        Raises ObserveError where a target is absent or cannot be counted, and where the server refuses, does
        not answer, or what is known of it is too old: a count is seen or there is none.
        """
        found: dict[Role, PoolState] = {}
        gaps: list[Gap] = []
        for role, target in self._targets.items():
            try:
                seen = sight(self._cluster, role, target, now_s)
            except ClusterError as error:
                raise ObserveError(f"the {role} pool cannot be seen: {error}") from error
            if isinstance(seen, Unresolved):
                raise ObserveError(f"the {role} pool cannot be seen: {seen}")
            found[role] = seen.pool
            gaps += seen.gaps
            before = self._uids.get(role)
            if before is not None and before != seen.pool.uid:
                said = f"{seen.scalable.owner} was deleted and made anew since the last look"
                gaps.append(Gap(f"pool of {role}", said))
            self._uids[role] = seen.pool.uid
        if isinstance(self._cluster, Ageing):
            gaps += [Gap("cluster", said) for said in self._cluster.remarks()]
        self._gaps = tuple(gaps)
        return found

    def gaps(self) -> tuple[Gap, ...]:
        """Return what the last look lacked besides counts."""
        return self._gaps
