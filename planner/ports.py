"""Name what the tick needs from the world; every driver brings its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from models.decision import Decision, Outcome, Record
from models.gpu_pool import PoolShare
from models.nodes import NodeOrder, NodesAhead
from models.observation import Observation
from models.policy import PlanPolicy
from models.prediction import Forecast
from models.readiness import Readiness
from models.reshaping import ReshapeReport, Switch
from models.series import Series
from models.values import Role, Signal


class Clock(Protocol):
    """Tell the time; the one place where it is read."""

    def now_s(self) -> float:
        """Return Unix seconds, UTC."""
        ...


class Observer(Protocol):
    """Look at the world."""

    def observe(self, now_s: float) -> Observation:
        """Return what is true at `now_s`; what cannot be known is a Gap.

        Raises ObserveError only when not even the pools can be seen.
        """
        ...


class HistorySource(Protocol):
    """Remember demand from before this process began; an optional power of an observer."""

    def history(self, until_s: float, span_s: float) -> Mapping[str, Mapping[Signal, Series]]:
        """Return per class and signal what was measured in the `span_s` seconds before `until_s`."""
        ...


class Forecaster(Protocol):
    """Keep the demand seen so far and say what comes."""

    def absorb(self, observation: Observation) -> None:
        """Remember the demand of one observation; a gap stays a gap."""
        ...

    def forecast(self, now_s: float) -> Forecast:
        """Return quantile paths from `now_s` on; without enough history an empty Forecast with reasons."""
        ...


@runtime_checkable
class FarSighted(Protocol):
    """Forecast further than was stated; an optional power of a forecaster."""

    def reach(self, ahead_s: float, back_s: float) -> None:
        """Extend paths to at least `ahead_s`, and take the recent peak over `back_s`."""
        ...


class Learner(Protocol):
    """Learn how long replicas take to get ready."""

    def learn(self, observation: Observation) -> Mapping[Role, Readiness]:
        """Take in one look and return the start-up times to plan with; a role that is absent is as stated."""
        ...


class AsStated:
    """Learn nothing: every role starts as its pool states."""

    def learn(self, observation: Observation) -> Mapping[Role, Readiness]:
        """Return nothing."""
        return {}


class Spender(Protocol):
    """Say how fast a promise's error budget may be spent at this moment."""

    def burn_rate(self, observation: Observation, forecast: Forecast, plan: PlanPolicy) -> float:
        """Return the burn rate to plan with; 1 keeps the promise at every moment."""
        ...


class EveryMoment:
    """Keep the promise at every moment."""

    def burn_rate(self, observation: Observation, forecast: Forecast, plan: PlanPolicy) -> float:
        """Return 1."""
        return 1.0


class Actuator(Protocol):
    """Carry a decision out, or pretend to."""

    def act(self, decision: Decision, observation: Observation) -> Outcome:
        """Apply the changes of a decision; never raises for an expected refusal."""
        ...


class NodeKeeper(Protocol):
    """Have nodes ready for the replicas that are foreseen."""

    def keep(self, ahead: NodesAhead | None, plan: PlanPolicy, now_s: float) -> tuple[NodeOrder, ...]:
        """Ask for the nodes that are foreseen, for none without `ahead`; what is refused is never raised."""
        ...


class Reshaper(Protocol):
    """Put another layout of a role into effect, and take it back where it does not get ready."""

    def step(self, switch: Switch | None, now_s: float) -> ReshapeReport | None:
        """Go on with a change that is under way, or begin one; None: neither. Never raises a refusal."""
        ...


class PoolSeat(Protocol):
    """Stand for one deployment in a pool of GPUs that it shares; a deployment on its own has none."""

    def claim(self, observation: Observation, forecast: Forecast, plan: PlanPolicy) -> None:
        """Say what was seen, and what the deployment needs."""
        ...

    def share(self, now_s: float) -> PoolShare:
        """Return what it may take at this tick."""
        ...

    def settle(self, decision: Decision) -> None:
        """Say what was decided within the share, before it is carried out."""
        ...


class Recorder(Protocol):
    """Keep what happened."""

    def record(self, record: Record) -> None:
        """Store one tick."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Gather one deployment's ports."""

    observer: Observer
    forecaster: Forecaster
    actuator: Actuator
    recorder: Recorder
    learner: Learner = field(default_factory=AsStated)
    seat: PoolSeat | None = None
    spender: Spender = field(default_factory=EveryMoment)
    nodes: NodeKeeper | None = None
    reshaper: Reshaper | None = None
