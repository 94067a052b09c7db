"""Learn how a deployment really behaves: what its start-ups take, and how fast its replicas are."""

from collections.abc import Mapping
from dataclasses import replace

from models.artifact import LayoutProfile
from models.observation import Observation
from models.policy import PlanPolicy
from models.readiness import Readiness
from models.values import Role
from planner.learning.surface import SurfaceWatch
from planner.learning.time_to_ready import TimeToReady


class Learned:
    """Implement the Learner port; surfaces are corrected where the plan asks for it."""

    def __init__(self, plan: PlanPolicy, layouts: Mapping[Role, LayoutProfile]) -> None:
        """Begin with what was stated and profiled."""
        self._ready = TimeToReady(plan)
        self._speed = None if plan.surface is None else SurfaceWatch(plan, layouts, plan.surface)

    def seed(self, earlier: Mapping[Role, Readiness]) -> None:
        """Go on from what the last record before a restart had learned."""
        self._ready.seed(earlier)
        if self._speed is not None:
            known = {role: each.speed for role, each in earlier.items() if each.speed is not None}
            self._speed.seed(known)

    def learn(self, observation: Observation) -> Mapping[Role, Readiness]:
        """Take in one look and return what to plan each role with."""
        ready = self._ready.learn(observation)
        if self._speed is None:
            return ready
        speed = self._speed.learn(observation)
        return {role: replace(each, speed=speed.get(role)) for role, each in ready.items()}
