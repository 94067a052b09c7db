"""Write a record of every tick of a policy that is not ours, so that its track can be scored beside ours."""

from collections.abc import Mapping

from models.decision import Decision, Outcome, Record, Status
from models.policy import TickPolicy
from models.prediction import Forecast
from models.values import Role
from planner.policies.policy import Policy, World
from planner.ports import Recorder
from planner.tick import Served


class Recorded:
    """Run another policy, and record what was seen and what it ordered; it forecasts and sizes nothing.

    A policy that never ticks is recorded at the deployment's interval.
    """

    def __init__(self, policy: Policy, recorder: Recorder, settings: TickPolicy, served: Served) -> None:
        """Bind a policy that does not read the world's observer, which is read here."""
        self._policy, self._recorder = policy, recorder
        self._settings, self._served = settings, served

    @property
    def name(self) -> str:
        """The policy's own name."""
        return self._policy.name

    @property
    def interval_s(self) -> float | None:
        """The policy's interval, else the deployment's."""
        return self._policy.interval_s or self._settings.plan.interval_s

    @property
    def initial(self) -> Mapping[Role, int]:
        """The policy's own begin."""
        return self._policy.initial

    def tick(self, now_s: float, world: World) -> str | None:
        """Let the policy tick where it does, and record it."""
        seen = world.observer.observe(now_s)
        before = {role: pool.desired for role, pool in seen.pools.items()}
        said = None if self._policy.interval_s is None else self._policy.tick(now_s, world)
        after = world.fleet.desired()
        changed = any(after[role] != n for role, n in before.items())
        self._recorder.record(
            Record(
                tick_id=f"{self._settings.deployment}@{now_s:.3f}",
                deployment=self._settings.deployment,
                observation=seen,
                forecast=Forecast(now_s, reasons=(f"{self.name} forecasts nothing",)),
                sizing=None,
                decision=Decision(before, before, dict(after)),
                outcome=Outcome(Status.APPLIED if changed else Status.UNCHANGED, said or ""),
                config_digest=self._settings.config_digest,
                profile_digest=self._served.profile_digest,
                version=self._served.version,
            )
        )
        return said
