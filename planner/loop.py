"""Tick one deployment for months: read back what was missed, outlive failures, stand by for a leader."""

import logging
import math
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FrameType

from models.decision import Outcome, Record, Status
from models.errors import HeadgateError, ObserveError
from models.observation import Gap
from models.policy import TickPolicy
from models.readiness import Readiness
from models.values import Role
from planner.history import SPAN_S
from planner.leader.guard import Leading, LeasedActuator, alone
from planner.ports import Clock, Ports
from planner.recommend import ReadBack, SeededForecaster
from planner.tick import Served, conclude, look

_LOG = logging.getLogger(__name__)

# After a longer pause (a suspended machine, a slow server) the minutes in between are read back.
MISSED_TICKS = 2.5

# Weeks of history are a heavy question to a server that has just failed to answer it.
RETRY_S = 300.0


@dataclass(frozen=True, slots=True)
class Job:
    """One deployment's tick: called with the time in Unix seconds, at every `interval_s`.

    It returns `None` where nothing was decided, as another process leads.
    """

    deployment: str
    interval_s: float
    tick: Callable[[float], Record | None]


class Ticking:
    """Tick one deployment, and read history back at the start and after a pause of our own."""

    def __init__(
        self,
        ports: Ports,
        forecaster: SeededForecaster,
        source: ReadBack,
        check: Callable[[float], tuple[Gap, ...]],
        policy: TickPolicy,
        served: Served,
        leading: Leading = alone,
    ) -> None:
        """Prepare; nothing is asked before the first tick. While `leading` says no, ticks only look."""
        self._ports = replace(ports, actuator=LeasedActuator(ports.actuator, leading))
        self._leading = leading
        self.measured: Mapping[Role, Readiness] = {}
        self._forecaster = forecaster
        self._source = source
        self._check = check
        self._policy = policy
        self._served = served
        self._remembered_s: float | None = None
        self._read_from_s = -math.inf
        self._checked = False

    def __call__(self, now_s: float) -> Record | None:
        """Run the tick at `now_s`; raises what `tick` raises.

        Who stands by remembers demand and learns of start-ups as the leader does, decides nothing, and
        returns `None`.
        """
        self._remember(now_s)
        seen = look(now_s, self._ports, self._policy)
        self.measured = seen.measured
        self._remembered_s = now_s if self._remembered_s is not None else None
        return conclude(seen, self._ports, self._policy, self._served) if self._leading() else None

    def go_on_from(self, before: "Ticking") -> None:
        """Count what was read back as read back: observer and history are the same."""
        self._remembered_s, self._read_from_s = before._remembered_s, before._read_from_s
        self._checked = before._checked

    def _remember(self, now_s: float) -> None:
        """Read back what was missed; a server that did not answer is asked again later."""
        if not self._checked:
            try:
                missing = self._check(now_s)
                self._checked = True
            except ObserveError as error:
                missing = (Gap("prometheus", str(error)),)
            self._log(missing)
        last_s = self._remembered_s
        if last_s is not None and now_s - last_s <= MISSED_TICKS * self._policy.plan.interval_s:
            return
        if now_s < self._read_from_s:
            return
        span_s = SPAN_S if last_s is None else min(now_s - last_s + 600.0, SPAN_S)
        self._forecaster.seed(self._source.history(now_s, span_s))
        self._log(self._source.gaps)
        self._remembered_s = None if self._source.failed else now_s
        self._read_from_s = now_s + RETRY_S if self._source.failed else -math.inf

    def _log(self, gaps: Sequence[Gap]) -> None:
        for gap in gaps:
            fields = {"deployment": self._policy.deployment, "what": gap.what}
            _LOG.warning("%s: %s", gap.what, gap.reason, extra={"fields": fields})


def run_once(job: Job, clock: Clock) -> Outcome | None:
    """Run one tick and log what came of it; whatever it raises becomes a failed Outcome.

    `None` where another process leads, and nothing was to be decided.
    """
    begin_s = clock.now_s()
    fields: dict[str, object] = {"deployment": job.deployment}
    try:
        record = job.tick(begin_s)
        if record is None:
            return None
    except HeadgateError as error:
        outcome = Outcome(Status.FAILED, str(error))
        _LOG.error("tick failed: %s", error, extra={"fields": fields})
    except Exception as error:  # noqa: BLE001 (the one place: a defect in a tick must not end the loop)
        outcome = Outcome(Status.FAILED, f"{type(error).__name__}: {error}")
        _LOG.exception("tick failed by a defect; please report it", extra={"fields": fields})
    else:
        outcome = record.outcome
        fields |= {
            "tick": record.tick_id,
            "status": outcome.status.value,
            "current": {role.value: n for role, n in record.decision.current.items()},
            "final": {role.value: n for role, n in record.decision.final.items()},
            "gaps": len(record.observation.gaps),
            "seconds": round(clock.now_s() - begin_s, 3),
        }
        if record.sizing is not None and record.sizing.reshape is not None:
            fields["other_layouts"] = record.sizing.reshape.sentence
        if record.reshaping is not None:
            fields["reshaping"] = record.reshaping.sentence
        if record.nodes is not None:
            fields["nodes"] = [order.sentence for order in record.nodes.orders]
        _LOG.info("%s", record.decision, extra={"fields": fields})
    return outcome


def stop_on_signals(stop: threading.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT; a second signal ends the process at once, as usual."""

    def handle(number: int, _: FrameType | None) -> None:
        _LOG.info("%s received", signal.Signals(number).name)
        stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, handle)
