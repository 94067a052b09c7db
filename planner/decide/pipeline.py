"""Run a sizing through every guard, in the order in which they may overrule each other."""

from collections.abc import Mapping

from models.artifact import LayoutProfile
from models.decision import Adjustment, Decision, Sizing
from models.observation import Observation
from models.policy import DecidePolicy, PlanPolicy
from models.values import Role
from planner.decide.freshness import freshness
from planner.decide.guard import Context, Guard, Proposal
from planner.decide.pause import pause
from planner.decide.projection import projection
from planner.decide.rate import rate
from planner.decide.rollout import rollout
from planner.decide.stabilisation import stabilisation
from planner.decide.startup import startup
from planner.decide.tolerance import tolerance
from planner.decide.window import window

GUARDS: tuple[Guard, ...] = (
    pause,  # a person's word stands above every figure, missing ones included
    window,  # and so does the calendar that a person wrote
    freshness,  # without data nothing else moves
    rollout,  # counts mislead while pods are replaced
    startup,  # what was ordered must arrive before it is taken back
    tolerance,  # noise is no surplus
    stabilisation,  # a release must pay
    rate,  # and go in steps
    projection,  # whatever was decided must fit budget, topology and free GPUs
)


def decide(
    observation: Observation,
    sizing: Sizing | None,
    plan: PlanPolicy,
    policy: DecidePolicy,
    layouts: Mapping[Role, LayoutProfile],
) -> Decision:
    """Return the decision for one tick; every replica between proposed and final has its adjustment."""
    context = Context(observation, sizing, plan, policy, layouts)
    current = {role: context.current(role) for role in layouts}
    proposed = current if sizing is None else sizing.replicas()
    final, adjustments = run_guards(Proposal(dict(proposed)), context)
    why = {} if sizing is None else {role: s.sentence for role, s in sizing.roles.items()}
    return Decision(current, dict(proposed), dict(final.counts), adjustments, why)


def run_guards(proposal: Proposal, context: Context) -> tuple[Proposal, tuple[Adjustment, ...]]:
    """Pass a proposal through all guards."""
    adjustments: tuple[Adjustment, ...] = ()
    for guard in GUARDS:
        proposal, made = guard(proposal, context)
        adjustments += made
    return proposal, adjustments
