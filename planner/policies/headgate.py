"""Run Headgate's own tick in a replay: the same function that the cluster runs."""

from collections.abc import Mapping
from dataclasses import replace

from models.policy import TickPolicy
from models.values import Role
from planner.history import History
from planner.learning.error_budget import ErrorBudget
from planner.learning.learned import Learned
from planner.policies.policy import World
from planner.ports import EveryMoment, Forecaster, Ports, Recorder, Spender
from planner.record.memory import Forget
from planner.tick import Served, tick


class Headgate:
    """Forecast, size and decide once an interval, on what the simulated fleet shows."""

    def __init__(
        self,
        policy: TickPolicy,
        served: Served,
        forecaster: Forecaster,
        initial: Mapping[Role, int],
        name: str = "headgate",
        history: History | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Bind the deployment's policy to a forecaster that may have been seeded with history.

        What differs between Headgate and its variants is the forecaster alone, and the `name`. With the
        `history` of demand the promise is kept over the policy's window, without at every moment. Records go
        to the `recorder`, without one nowhere.
        """
        self.name = name
        self._policy = policy
        # The layouts of a simulated fleet stay what they are: to propose others would only cost time.
        self._served = replace(served, alternatives={})
        self._forecaster = forecaster
        self._initial = initial
        self._recorder = recorder or Forget()
        self._learner = Learned(policy.plan, served.layouts)
        self._spender: Spender = EveryMoment() if history is None else ErrorBudget(served.layouts, history)

    @property
    def interval_s(self) -> float | None:
        """Tick at the deployment's interval."""
        return self._policy.plan.interval_s

    @property
    def initial(self) -> Mapping[Role, int]:
        """Replicas per role at the start."""
        return self._initial

    def tick(self, now_s: float, world: World) -> str | None:
        """Run one tick on the simulated world."""
        ports = Ports(
            world.observer,
            self._forecaster,
            world.actuator,
            self._recorder,
            self._learner,
            spender=self._spender,
        )
        record = tick(now_s, ports, self._policy, self._served)
        return str(record.decision) if record.decision.changes else None
