"""Keep a constant fleet."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.values import Role
from planner.policies.policy import World


@dataclass(frozen=True, slots=True)
class Static:
    """Hold the same replicas from the first to the last arrival."""

    name: str
    initial: Mapping[Role, int]

    @property
    def interval_s(self) -> float | None:
        """Never tick."""
        return None

    def tick(self, now_s: float, world: World) -> str | None:
        """Change nothing."""
        return None
