"""Hold decisions to being final: nothing that the next look would undo, whatever the fleet is in."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from models.observation import PoolState, StartingReplica
from models.plan.sizing import size
from models.policy import DecidePolicy, PlanPolicy
from models.values import Role
from models.window import Allowed, Once, Window
from planner.decide.pipeline import decide
from tests.builders import AT_S, forecast, layouts, observation, plan_policy, pool

ROLES, LAYOUTS = (Role.PREFILL, Role.DECODE), layouts()
TICK_S, STARTUP_S = 60.0, 120.0
OPEN = Once(AT_S - 60.0, AT_S + 1e6)

rates = st.fixed_dictionaries({"pages": st.floats(0.5, 250.0), "email": st.floats(0.5, 350.0)})
budgets = st.one_of(st.none(), st.integers(12, 60))
spreads = st.floats(0.0, 0.3)
windows = st.lists(st.sampled_from(list(Allowed)).map(lambda allowed: Window("w", allowed, OPEN)), max_size=1)
policies = st.builds(
    DecidePolicy,
    max_step_down=st.integers(1, 3),
    step_down_ratio=st.floats(0.0, 0.5),
    tolerance_ratio=st.floats(0.0, 0.3),
    windows=windows.map(tuple),
)


@st.composite
def pools(draw: st.DrawFn) -> dict[Role, PoolState]:
    """Draw pools that a person may hold on one side or both, with replicas that start, pend or drain."""
    drawn = {}
    for role in ROLES:
        ready = draw(st.integers(0, 25))
        young = draw(st.lists(st.floats(0.0, 110.0), max_size=4))
        stuck = draw(st.integers(0, 2))
        starting = (
            *(StartingReplica(AT_S - age_s) for age_s in young),
            *(StartingReplica(AT_S - 900.0, "quota refused"),) * stuck,
        )
        drawn[role] = PoolState(
            max(ready + len(starting), 1),
            ready,
            starting,
            draining=draw(st.integers(0, 2)),
            rollout_in_progress=draw(st.integers(0, 9)) == 0,
            paused=draw(st.integers(0, 9)) == 0,
            pinned_replicas=draw(st.sampled_from([None] * 9 + [3])),
            paused_scale_in=draw(st.integers(0, 5)) == 0,
            paused_scale_out=draw(st.integers(0, 5)) == 0,
        )
    return drawn


def applied(state: PoolState, count: int, now_s: float) -> PoolState:
    """Return the pool at the next look: orders start, what cannot start leaves first, drains are over."""
    starting = sorted(state.starting, key=lambda s: (s.stuck is None, s.since_s), reverse=True)
    ready = state.ready
    for _ in range(max(state.desired - count, 0)):
        if starting and (starting[-1].stuck is not None or ready == 0):
            starting.pop()
        elif ready:
            ready -= 1
    starting += [StartingReplica(now_s)] * max(count - max(state.desired, ready + len(starting)), 0)
    later_s = now_s + TICK_S
    arrived = [s for s in starting if s.stuck is None and later_s - s.since_s >= STARTUP_S]
    left = tuple(s for s in starting if s not in arrived)
    return replace(state, desired=count, ready=ready + len(arrived), starting=left, draining=0)


def ticks(
    load: Mapping[str, float],
    state: dict[Role, PoolState],
    plan: PlanPolicy,
    policy: DecidePolicy,
    spread: float,
    count: int,
) -> list[dict[Role, int]]:
    """Decide `count` times on the same demand; return by how much each role changed each time."""
    moves = []
    for number in range(count):
        now_s = AT_S + TICK_S * number
        seen = observation(load, pools=state, at_s=now_s)
        sizing = size(seen, forecast(load, spread, at_s=now_s), LAYOUTS, plan)
        final = decide(seen, sizing, plan, policy, LAYOUTS).final
        moves.append({role: n - state[role].desired for role, n in final.items()})
        state = {role: applied(state[role], n, now_s) for role, n in final.items()}
    return moves


@settings(max_examples=30)
@given(rates, pools(), budgets, policies, spreads)
def test_no_change_is_taken_back_while_nothing_else_changes(
    load: Mapping[str, float],
    state: dict[Role, PoolState],
    budget: int | None,
    policy: DecidePolicy,
    spread: float,
) -> None:
    moves = ticks(load, state, plan_policy(budget_gpus=budget), policy, spread, 8)
    for role in ROLES:
        went = [move[role] for move in moves if move[role]]
        assert all(n > 0 for n in went) or all(n < 0 for n in went), moves


@settings(max_examples=15)
@given(rates, budgets, policies, spreads, st.integers(1, 30), st.integers(1, 8))
def test_whatever_runs_comes_to_rest(
    load: Mapping[str, float],
    budget: int | None,
    policy: DecidePolicy,
    spread: float,
    prefill: int,
    decode: int,
) -> None:
    plan = plan_policy(budget_gpus=budget)
    running = {Role.PREFILL: pool(prefill), Role.DECODE: pool(decode)}
    moves = ticks(load, running, plan, policy, spread, 45)
    assert not any(n for move in moves[-5:] for n in move.values()), moves


@given(rates, pools(), budgets, policies, spreads)
def test_a_person_s_word_is_kept_whatever_else_is_the_case(
    load: Mapping[str, float],
    state: dict[Role, PoolState],
    budget: int | None,
    policy: DecidePolicy,
    spread: float,
) -> None:
    seen = observation(load, pools=state)
    plan = plan_policy(budget_gpus=budget)
    sizing = size(seen, forecast(load, spread), LAYOUTS, plan)
    final = decide(seen, sizing, plan, policy, LAYOUTS).final
    for role, held in state.items():
        if held.paused:
            assert final[role] == held.desired
        if held.paused_scale_in:
            assert final[role] >= held.desired
        if held.paused_scale_out:
            assert final[role] <= held.desired
        free = held.pinned_replicas is None and not held.paused
        for window in policy.windows if free else ():
            assert window.allowed is Allowed.DOWN or final[role] >= held.desired
            assert window.allowed is Allowed.UP or final[role] <= held.desired
