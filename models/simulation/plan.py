"""Describe a fleet to simulate."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.artifact import LayoutProfile
from models.simulation.failures import Failures
from models.values import Role, Router


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Describe a fleet to simulate: layout, replicas ready at the start and start-up time per role.

    Roles are {prefill, decode} or {aggregated}. Without `failures` no replica ever dies.
    """

    layouts: Mapping[Role, LayoutProfile]
    replicas: Mapping[Role, int]
    startup_s: Mapping[Role, float]
    router: Router = Router.LOAD
    seed: int = 0
    failures: Failures | None = None

    def __post_init__(self) -> None:
        """Refuse a set of roles that cannot serve."""
        roles = set(self.layouts)
        if roles not in ({Role.PREFILL, Role.DECODE}, {Role.AGGREGATED}):
            raise ValueError(f"a fleet serves by prefill and decode, or aggregated; got {sorted(roles)}")
        if set(self.replicas) != roles or set(self.startup_s) != roles:
            raise ValueError(f"replicas and start-up times must be given for {sorted(roles)}")
