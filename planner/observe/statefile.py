"""Take the pools from a file that somebody keeps, or from nothing better than their floors."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

from models.errors import ObserveError, StateError
from models.observation import PoolState
from models.values import Role

# Reads the file as of a moment (Unix seconds); the wiring binds path, format and deployment.
ReadPools = Callable[[float], Mapping[Role, PoolState]]


@dataclass(frozen=True, slots=True)
class AtFloors:
    """Take every pool for settled at its floor: enough to say what is needed, not what would change."""

    floors: Mapping[Role, int]

    def pools(self, now_s: float) -> Mapping[Role, PoolState]:
        """Return the pools per role."""
        return {role: PoolState(desired=n, ready=n) for role, n in self.floors.items()}


@dataclass(frozen=True, slots=True)
class StateFile:
    """Return the pools that a file states, read anew at every look and checked against the planned roles."""

    read: ReadPools
    roles: Set[Role]

    def pools(self, now_s: float) -> Mapping[Role, PoolState]:
        """Return the pools per role; raises ObserveError when the file cannot be used."""
        try:
            found = self.read(now_s)
        except StateError as error:
            raise ObserveError(str(error)) from error
        if set(found) != set(self.roles):
            stated, planned = (", ".join(sorted(roles)) or "none" for roles in (found, self.roles))
            raise ObserveError(
                f"the cluster state has the pools {stated}, but the configuration plans {planned}; "
                "make them agree"
            )
        return found
