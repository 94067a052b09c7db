"""Run one tick: look, predict, size, decide, act, record; live, replayed or asked for once."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.artifact import LayoutProfile
from models.decision import Decision, Record, Sizing
from models.observation import Observation
from models.plan.sizing import size
from models.policy import TickPolicy
from models.prediction import Forecast
from models.values import Role
from planner.decide.pipeline import decide
from planner.ports import Ports


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
    forecast = ports.forecaster.forecast(now_s)
    sizing, decision = plan(observation, forecast, policy, served.layouts)
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
    )
    ports.recorder.record(record)
    return record


def plan(
    observation: Observation, forecast: Forecast, policy: TickPolicy, layouts: Mapping[Role, LayoutProfile]
) -> tuple[Sizing | None, Decision]:
    """Compute the pure middle of a tick; a Record's sizing and decision replay through here."""
    sizing = size(observation, forecast, layouts, policy.plan)
    return sizing, decide(observation, sizing, policy.plan, policy.decide, layouts)
