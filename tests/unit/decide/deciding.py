"""Decide for tests: a sizing that wants given counts, and pools that a person can follow."""

from models.decision import Adjustment, Decision, Reason, RoleSizing, Sizing
from models.observation import PoolState
from models.policy import DecidePolicy, PlanPolicy
from models.values import Binding, Role
from planner.decide.pipeline import decide
from tests.builders import AT_S, layouts, observation, plan_policy

PREFILL, DECODE = Role.PREFILL, Role.DECODE


def sizing(prefill: int, decode: int, upper: dict[Role, int] | None = None) -> Sizing:
    """Make a sizing that wants these counts, with a band up to `upper`."""
    counts = {PREFILL: prefill, DECODE: decode}
    high = {**counts, **(upper or {})}
    roles = {role: RoleSizing(n, n, high[role], n, Binding.TTFT, f"needs {n}") for role, n in counts.items()}
    return Sizing(roles, {"pages": 0.99}, 0.99, 0.99)


def decided(
    pools: dict[Role, PoolState],
    wanted: Sizing | None,
    plan: PlanPolicy | None = None,
    policy: DecidePolicy | None = None,
    at_s: float = AT_S,
) -> Decision:
    """Decide on fresh demand."""
    seen = observation(pools=pools, at_s=at_s)
    return decide(seen, wanted, plan or plan_policy(), policy or DecidePolicy(), layouts())


def reasons(decision: Decision, role: Role) -> list[Reason]:
    """Return why a role's count is not what was proposed, in order."""
    return [a.reason for a in decision.adjustments if a.role is role]


def said(decision: Decision, role: Role) -> str:
    """Return the last guard's sentence about a role."""
    mine: list[Adjustment] = [a for a in decision.adjustments if a.role is role]
    return mine[-1].sentence
