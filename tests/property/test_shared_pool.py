"""Deployments of one pool never hold more GPUs than it has, and each decision replays from its own line."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from models.gpu_pool import Membership
from models.values import Role
from planner.record.line import from_line, to_line
from planner.tick import plan
from tests.builders import EMAIL, PAGES, plan_policy
from tests.pooled import LAYOUTS, TICK_S, Deployment, pooled, tick_all

STEPS = 4
STEP_S = TICK_S / STEPS
# Twice the start-up and more of each of three levels of demand: orders arrive, drain and cross each other.
TICKS, LEVEL_S = 12, 240.0

levels = st.fixed_dictionaries({"pages": st.floats(0.5, 250.0), "email": st.floats(0.5, 200.0)})


def held(deployments: list[Deployment]) -> int:
    return sum(each.gpus for each in deployments)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Deployment], list[Membership]]:
    """Draw two or three deployments, most of which act, with and without budgets of their own."""
    deployments, members = [], []
    for i in range(draw(st.integers(2, 3))):
        drawn = draw(st.lists(levels, min_size=3, max_size=3))

        def demand(now_s: float, drawn: list[dict[str, float]] = drawn) -> Mapping[str, float]:
            return drawn[min(int(now_s // LEVEL_S), len(drawn) - 1)]

        counts = {Role.PREFILL: draw(st.integers(1, 6)), Role.DECODE: draw(st.integers(1, 2))}
        own = draw(st.one_of(st.none(), st.integers(8, 40)))
        deployments.append(Deployment(f"d{i}", demand, counts, plan_policy((PAGES, EMAIL), own)))
        acts = draw(st.integers(0, 5)) > 0
        members.append(Membership(f"d{i}", draw(st.integers(0, 10)), draw(st.integers(0, 2)), acts, 5))
    return deployments, members


@settings(max_examples=15, deadline=None)
@given(
    fleets(),
    st.integers(0, 20),
    st.lists(st.integers(0, STEPS - 1), min_size=3, max_size=3),
    st.sets(st.integers(0, TICKS - 1), max_size=5),
)
def test_the_pool_is_never_overdrawn_at_any_moment(
    made: tuple[list[Deployment], list[Membership]], spare: int, phases: list[int], blind: set[int]
) -> None:
    """Ticks fall together or apart, and one deployment now and then cannot be seen."""
    deployments, members = made
    gpus = held(deployments) + spare
    pooled(gpus, deployments, members)
    for step in range(TICKS * STEPS):
        now_s = step * STEP_S
        deployments[0].blind = step // STEPS in blind
        for each in deployments:
            each.advance(now_s)
        for phase in sorted(set(phases)):
            if step % STEPS == phase:
                due = zip(deployments, phases, strict=False)
                tick_all([each for each, its in due if its == phase], now_s)
        assert held(deployments) <= gpus
    for each in deployments:
        _replays(each)


def _replays(one: Deployment) -> None:
    for record in one.memory.records[-2:]:
        read = from_line(to_line(record))
        assert read.share is not None
        assert read == record
        again = plan(read.observation, read.forecast, one.policy, LAYOUTS, read.readiness, read.share)
        assert again == (record.sizing, record.decision)
