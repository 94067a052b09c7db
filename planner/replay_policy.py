"""Run Headgate's own tick as a scaling policy of Dynamo's replay (ai-dynamo 1.4.2, prefill and decode apart).

`scaling_policy(config)` is the factory. Nothing of Dynamo is imported: its replay calls, and hands over plain
dictionaries. What lets this run inside Dynamo's interpreter: numpy, pydantic, PyYAML, scipy, and
prometheus-api-client, which Dynamo's planner needs too.
"""

import logging
from collections.abc import Mapping
from typing import Any

from models.decision import Decision, Outcome, Record, Status
from models.errors import ObserveError
from models.observation import Observation
from models.policy import TickPolicy
from models.values import Role
from planner.history import History
from planner.learning.error_budget import ErrorBudget
from planner.observe.replay_passes import number
from planner.observe.replay_ticks import ReplayTicks
from planner.ports import EveryMoment, Forecaster, Ports
from planner.record.memory import Forget
from planner.replay_setting import ORIGIN_S, read_setting
from planner.tick import Served, tick

_LOG = logging.getLogger(__name__)


def scaling_policy(config: dict[str, Any]) -> "ReplayPolicy":
    """Make the policy that a replay asks for; see `planner.replay_setting.read_setting` for the keys.

    Raises ConfigError or InputError that names what is missing or wrong.
    """
    setting = read_setting(config)
    return ReplayPolicy(setting.policy, setting.served, setting.forecaster, setting.forecaster.history)


class ReplayPolicy:
    """Answer the replay's ticks with absolute replica counts.

    The replay's time 0 counts as `ORIGIN_S`. Every answer names both counts, changed or not: a replay that
    moved them itself is then told what Headgate makes of it. `record` is the latest tick's, `None` before.
    """

    def __init__(
        self, policy: TickPolicy, served: Served, forecaster: Forecaster, history: History | None = None
    ) -> None:
        """Begin before the first tick; the forecaster may have been seeded with history.

        With the `history` of demand the promise is kept over the policy's window, without at every moment.
        """
        self._policy = policy
        self._served = served
        self._ticks = ReplayTicks(policy.plan.classes[0].name, ORIGIN_S)
        self._answer = _Answer()
        # Start-up times are the replay's own and exact: there is nothing to learn about them.
        spender = EveryMoment() if history is None else ErrorBudget(served.layouts, history)
        self._ports = Ports(self._ticks, forecaster, self._answer, Forget(), spender=spender)
        self.record: Record | None = None

    def initial_tick_ms(self) -> float:
        """Return the simulated time of the first tick: one interval after the beginning."""
        return self._policy.plan.interval_s * 1e3

    def on_tick(self, told: Mapping[str, Any]) -> dict[str, int | float | None]:
        """Run one tick on the replay's snapshot, and say what to run and when to ask again."""
        now_s = self._ticks.take(told)
        self._answer.counts = {}
        try:
            self.record = tick(now_s, self._ports, self._policy, self._served)
        except ObserveError:
            raise  # a snapshot that cannot be read now never will be
        except Exception:  # noqa: BLE001 (a defect in one tick holds the fleet, as it does in a cluster)
            _LOG.exception("the tick at %.0f s failed; the fleet is held", now_s - ORIGIN_S)
        return {
            "target_prefill": self._answer.counts.get(Role.PREFILL),
            "target_decode": self._answer.counts.get(Role.DECODE),
            "next_tick_ms": number(told, "now_ms") + self._policy.plan.interval_s * 1e3,
        }


class _Answer:
    """Keep a decision's counts until the replay is given them."""

    def __init__(self) -> None:
        self.counts: Mapping[Role, int] = {}

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        """Take the counts; the replay applies them at once."""
        self.counts = decision.final
        if decision.changes:
            return Outcome(Status.APPLIED)
        return Outcome(Status.HELD if decision.held else Status.UNCHANGED)
