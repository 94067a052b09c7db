"""Run one tick: look, predict, size, decide, act, record; live, replayed or asked for once."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from models.artifact import LayoutProfile
from models.decision import Decision, Record, Sizing
from models.observation import Observation
from models.plan.sizing import size
from models.policy import TickPolicy
from models.prediction import Forecast
from models.readiness import Readiness, with_readiness
from models.values import Role
from planner.decide.pipeline import decide
from planner.ports import FarSighted, Ports


@dataclass(frozen=True, slots=True)
class Served:
    """Hold what a deployment runs on: the layout of each role, and the profile that it was read from."""

    layouts: Mapping[Role, LayoutProfile]
    profile_digest: str
    version: str


def tick(now_s: float, ports: Ports, policy: TickPolicy, served: Served) -> Record:
    """Run one tick at `now_s` and return its Record, already handed to the recorder.

    Raises ObserveError when not even the pools could be seen; nothing was changed then.
    """
    observation = ports.observer.observe(now_s)
    ports.forecaster.absorb(observation)
    measured = ports.learner.learn(observation)
    if measured and isinstance(ports.forecaster, FarSighted):
        needed = with_readiness(policy.plan, measured)
        ports.forecaster.reach(needed.least_reach_s(), needed.hold_horizon_s())
    forecast = ports.forecaster.forecast(now_s)
    sizing, decision = plan(observation, forecast, policy, served.layouts, measured)
    outcome = ports.actuator.act(decision, observation)
    record = Record(
        tick_id=f"{policy.deployment}@{now_s:.3f}",
        deployment=policy.deployment,
        observation=observation,
        forecast=forecast,
        sizing=sizing,
        decision=decision,
        outcome=outcome,
        config_digest=policy.config_digest,
        profile_digest=served.profile_digest,
        version=served.version,
        readiness=measured,
    )
    ports.recorder.record(record)
    return record


def plan(
    observation: Observation,
    forecast: Forecast,
    policy: TickPolicy,
    layouts: Mapping[Role, LayoutProfile],
    measured: Mapping[Role, Readiness] = MappingProxyType({}),
) -> tuple[Sizing | None, Decision]:
    """Compute the pure middle of a tick; a Record's sizing and decision replay through here.

    `measured` is the Record's `readiness`: start-up times in place of the policy's own.
    """
    known = with_readiness(policy.plan, measured)
    sizing = size(observation, forecast, layouts, known)
    return sizing, decide(observation, sizing, known, policy.decide, layouts)
