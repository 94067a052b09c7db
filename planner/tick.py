"""Run one tick: look, predict, size, decide, act, record; live, replayed or asked for once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from models.artifact import LayoutProfile
from models.decision import Decision, Record, Sizing
from models.gpu_pool import PoolShare, with_share
from models.nodes import NodesReport
from models.observation import Observation
from models.plan.alternatives import propose
from models.plan.nodes_ahead import nodes_ahead
from models.plan.sizing import size
from models.plan.switching import switch
from models.policy import PlanPolicy, TickPolicy
from models.prediction import Forecast
from models.readiness import Readiness, with_readiness
from models.reshaping import ReshapeReport
from models.speed import corrected
from models.values import Role
from planner.decide.pipeline import decide
from planner.ports import FarSighted, Ports


@dataclass(frozen=True, slots=True)
class Served:
    """Hold what a deployment runs on: the layout of each role, and the profile that it was read from.

    `alternatives` are the layouts that could run in its place, per role.
    """

    layouts: Mapping[Role, LayoutProfile]
    profile_digest: str
    version: str
    alternatives: Mapping[Role, tuple[LayoutProfile, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """Hold the first half of a tick: what was seen, what start-ups take, and what is expected."""

    now_s: float
    observation: Observation
    measured: Mapping[Role, Readiness]
    forecast: Forecast
    burn_rate: float = 1.0


def tick(now_s: float, ports: Ports, policy: TickPolicy, served: Served) -> Record:
    """Run one tick at `now_s` and return its Record, already handed to the recorder.

    Raises ObserveError when not even the pools could be seen; nothing was changed then.
    """
    return conclude(look(now_s, ports, policy), ports, policy, served)


def look(now_s: float, ports: Ports, policy: TickPolicy) -> Look:
    """Run the first half of a tick: look and predict, and claim GPUs of a shared pool where there is one.

    Raises ObserveError when not even the pools could be seen.
    """
    observation = ports.observer.observe(now_s)
    ports.forecaster.absorb(observation)
    measured = ports.learner.learn(observation)
    needed = with_readiness(policy.plan, measured)
    if measured and isinstance(ports.forecaster, FarSighted):
        first = needed.with_nodes_first(policy.nodes.lead_s) if policy.nodes else needed
        ports.forecaster.reach(first.least_reach_s(), needed.hold_horizon_s())
    forecast = ports.forecaster.forecast(now_s)
    burn_rate = ports.spender.burn_rate(observation, forecast, needed)
    if ports.seat is not None:
        ports.seat.claim(observation, forecast, replace(needed, burn_rate=burn_rate))
    return Look(now_s, observation, measured, forecast, burn_rate)


def conclude(seen: Look, ports: Ports, policy: TickPolicy, served: Served) -> Record:
    """Run the second half of a tick: size, decide, act and record, inside the share of a shared pool."""
    share = None if ports.seat is None else ports.seat.share(seen.now_s)
    sizing, decision = plan(
        seen.observation,
        seen.forecast,
        policy,
        served.layouts,
        seen.measured,
        share,
        seen.burn_rate,
        served.alternatives,
    )
    if ports.seat is not None:
        ports.seat.settle(decision)
    outcome = ports.actuator.act(decision, seen.observation)
    reshaping = _reshape(seen, ports, policy, served, share, sizing, decision)
    nodes = _keep_nodes(seen, ports, policy, served, share, decision)
    record = Record(
        tick_id=f"{policy.deployment}@{seen.now_s:.3f}",
        deployment=policy.deployment,
        observation=seen.observation,
        forecast=seen.forecast,
        sizing=sizing,
        decision=decision,
        outcome=outcome,
        config_digest=policy.config_digest,
        profile_digest=served.profile_digest,
        version=served.version,
        readiness=seen.measured,
        share=share,
        burn_rate=seen.burn_rate,
        nodes=nodes,
        reshaping=reshaping,
    )
    ports.recorder.record(record)
    return record


def _keep_nodes(
    seen: Look, ports: Ports, policy: TickPolicy, served: Served, share: PoolShare | None, decision: Decision
) -> NodesReport | None:
    """Have nodes made for what is foreseen beyond the replicas' start-up, where that is asked for."""
    if ports.nodes is None or policy.nodes is None:
        return None
    known = planned_with(policy.plan, seen.measured, share, seen.burn_rate)
    as_seen = corrected(served.layouts, known.pools)
    ahead = nodes_ahead(seen.observation, seen.forecast, as_seen, known, policy.nodes, decision)
    return NodesReport(ahead, ports.nodes.keep(ahead, known, seen.now_s))


def _reshape(
    seen: Look,
    ports: Ports,
    policy: TickPolicy,
    served: Served,
    share: PoolShare | None,
    sizing: Sizing | None,
    decision: Decision,
) -> ReshapeReport | None:
    """Go on with a change of layout, or begin the one that is proposed where that is allowed.

    None begins at a tick that changes a count, or that was held for want of data.
    """
    if ports.reshaper is None:
        return None
    proposal = None if sizing is None else sizing.reshape
    wanted = None
    if proposal is not None and proposal.allowed and not decision.changes and not decision.held:
        known = planned_with(policy.plan, seen.measured, share, seen.burn_rate)
        as_seen, others = corrected(served.layouts, known.pools), served.alternatives
        wanted = switch(seen.observation, seen.forecast, as_seen, others, known, proposal, decision)
    return ports.reshaper.step(wanted, seen.now_s)


def plan(
    observation: Observation,
    forecast: Forecast,
    policy: TickPolicy,
    layouts: Mapping[Role, LayoutProfile],
    measured: Mapping[Role, Readiness] = MappingProxyType({}),
    share: PoolShare | None = None,
    burn_rate: float = 1.0,
    alternatives: Mapping[Role, tuple[LayoutProfile, ...]] = MappingProxyType({}),
) -> tuple[Sizing | None, Decision]:
    """Compute the pure middle of a tick; a Record's sizing and decision replay through here.

    `measured` is the Record's `readiness`: start-up times in place of the policy's own. `share` is the
    Record's `share` of a pool, `burn_rate` how fast its error budget may be spent.
    `alternatives` are the layouts that may be proposed; they change no count.
    """
    known = planned_with(policy.plan, measured, share, burn_rate)
    as_seen = corrected(layouts, known.pools)
    sizing = size(observation, forecast, as_seen, known)
    if sizing is not None and alternatives:
        sizing = replace(sizing, reshape=propose(observation, forecast, as_seen, alternatives, known))
    return sizing, decide(observation, sizing, known, policy.decide, layouts)


def planned_with(
    stated: PlanPolicy,
    measured: Mapping[Role, Readiness] = MappingProxyType({}),
    share: PoolShare | None = None,
    burn_rate: float = 1.0,
) -> PlanPolicy:
    """Return the plan of one moment: as stated, with what was measured, shared and spent until then."""
    return with_share(with_readiness(replace(stated, burn_rate=burn_rate), measured), share)
