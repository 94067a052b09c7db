"""Measure layouts in a cluster: deploy each as a candidate, and hand its endpoint to another backend."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from models.errors import MeasureError
from models.values import Parallelism, Role
from profiler.measure.backend import Backend, Measurement, Refusal, Replica, SweepPoint
from profiler.measure.deployed.candidate import Setting, Template, candidate
from profiler.measure.deployed.deployer import Deployer
from profiler.measure.deployed.policy import DeployPolicy

Connect = Callable[[Role, Parallelism, str], Backend]
"""Makes the backend that measures a layout at a URL; it does not talk to it before it is asked."""

# A candidate that breaks down at a third point has no good points left to find.
MOST_BREAKDOWNS = 2


class Memory(Protocol):
    """Keep what was learned of a layout from its running replica, beyond this process's life."""

    def recall(self, role: Role, layout: Parallelism) -> Replica | None:
        """Return what was kept."""
        ...

    def keep(self, role: Role, layout: Parallelism, replica: Replica) -> None:
        """Keep it; it is safe when this returns."""
        ...


class Deployed:
    """Deploy a layout when its first point is asked, and measure it at its endpoint.

    Until it ran, a layout is described by the `prior`, an estimator of the same cards. A layout whose
    candidate does not come up is refused point by point, without another try. `deployer` is shared by the
    backends of all roles: a candidate that serves several of them is deployed once.
    """

    def __init__(
        self,
        template: Template,
        setting: Setting,
        policy: DeployPolicy,
        deployer: Deployer | None,
        connect: Connect,
        prior: Backend,
        memory: Memory,
        identity: str,
    ) -> None:
        """Take the parts; without a deployer it plans, and measures nothing."""
        self._template, self._setting, self._policy = template, setting, policy
        self._deployer, self._connect, self._prior, self._memory = deployer, connect, prior, memory
        self._identity = identity
        self._refused: dict[tuple[Role, Parallelism], Refusal] = {}
        self._breakdowns: dict[tuple[Role, Parallelism], int] = {}
        self._open: tuple[Role, Parallelism, Backend] | None = None

    @property
    def name(self) -> str:
        """The backend's name."""
        return "job"

    @property
    def computed(self) -> bool:
        """Whether times are computed: they are measured."""
        return False

    @property
    def identity(self) -> str:
        """What was deployed, and how it is measured."""
        return self._identity

    def describe(self, role: Role, parallelism: Parallelism) -> Replica | Refusal:
        """Return what the running replica said, or before it ran what the prior expects of it."""
        known = self._memory.recall(role, parallelism)
        if known is not None:
            return known
        refused = self._refused.get((role, parallelism))
        if refused is not None:
            return refused
        # Memory is the estimator's guess: a candidate that does not fit says so itself.
        expected = self._prior.describe(role, parallelism)
        if isinstance(expected, Refusal):
            return expected
        return replace(expected, start_s=self._policy.start_s)

    def cost_s(self, point: SweepPoint) -> float:
        """Return for how long the point is expected to hold the replica."""
        asked = self._measuring(point.role, point.parallelism) or self._connect(
            point.role, point.parallelism, "http://planned.invalid"
        )
        return asked.cost_s(point)

    def measure(self, point: SweepPoint) -> Measurement | Refusal:
        """Return the time of a point, deploying its layout first; see `Backend.measure`."""
        served = self._served(point.role, point.parallelism)
        if isinstance(served, Refusal):
            return served
        try:
            return served.measure(point)
        except MeasureError as error:
            trouble = self._deployer.trouble() if self._deployer else None
            if trouble is None:
                raise
            reason = f"the candidate broke down at this point: {trouble} ({error})"
        self._break_down(point.role, point.parallelism, reason)
        return Refusal(reason)

    def release(self, role: Role, parallelism: Parallelism) -> None:
        """Let go of the layout; its candidate stays until another is asked for, or the deployer ends."""
        if self._open is not None and self._open[:2] == (role, parallelism):
            self._open[2].release(role, parallelism)
            self._open = None

    def _measuring(self, role: Role, layout: Parallelism) -> Backend | None:
        if self._open is not None and self._open[:2] == (role, layout):
            return self._open[2]
        return None

    def _served(self, role: Role, layout: Parallelism) -> Backend | Refusal:
        """Return the backend at the layout's endpoint, deploying it where it is not up."""
        if self._deployer is None:
            raise MeasureError("this backend plans, it has no cluster to deploy into")
        refused = self._refused.get((role, layout))
        if refused is not None:
            return refused
        wanted = candidate(self._template, self._setting, role, layout)
        open_already = self._measuring(role, layout)
        if open_already is not None and self._deployer.holds == wanted.name:
            return open_already
        took_s = self._deployer.bring(wanted)
        if isinstance(took_s, Refusal):
            self._refused[role, layout] = took_s
            return took_s
        found = self._connect(role, layout, wanted.endpoint)
        described = found.describe(role, layout)
        if isinstance(described, Refusal):
            self._refused[role, layout] = described
            return described
        if self._memory.recall(role, layout) is None:
            start_s = took_s or self._policy.start_s
            self._memory.keep(role, layout, replace(described, start_s=round(start_s, 1)))
        self._open = role, layout, found
        return found

    def _break_down(self, role: Role, layout: Parallelism, reason: str) -> None:
        """Take a broken candidate away; after a few of them the layout is refused."""
        self._open = None
        if self._deployer:
            self._deployer.give_back()
        self._breakdowns[role, layout] = self._breakdowns.get((role, layout), 0) + 1
        if self._breakdowns[role, layout] > MOST_BREAKDOWNS:
            self._refused[role, layout] = Refusal(
                f"its candidate broke down {MOST_BREAKDOWNS + 1} times, last: {reason}"
            )
