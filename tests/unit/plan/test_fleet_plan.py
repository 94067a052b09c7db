"""One pool, several deployments: nothing that fits is left out, and nothing better exists."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.plan.fleet_plan import MOVE_RATIO, WORTH_RATIO, Claim, FleetPlan, Rung, plan_fleet


def ladder(*rungs: tuple[int, float]) -> tuple[Rung, ...]:
    return tuple(Rung(gpus, kept) for gpus, kept in rungs)


def gpus(plan: FleetPlan) -> dict[str, int]:
    return {name: rung.gpus for name, rung in plan.chosen.items()}


STEEP = ladder((2, 0.0), (4, 50.0), (6, 90.0), (8, 100.0))
GENTLE = ladder((2, 10.0), (4, 20.0), (6, 30.0), (8, 40.0))


def test_where_all_fits_each_gets_what_it_needs() -> None:
    plan = plan_fleet([Claim("a", STEEP), Claim("b", GENTLE)], 16)

    assert gpus(plan) == {"a": 8, "b": 8}
    assert plan.short == ()
    assert plan.used_gpus == 16


def test_gpus_go_where_they_keep_most_promises() -> None:
    plan = plan_fleet([Claim("a", STEEP), Claim("b", GENTLE)], 10)

    # 6 + 4 keeps 110 requests/s; 8 + 2 keeps as many for a start-up more, and 4 + 6 keeps 80.
    assert gpus(plan) == {"a": 6, "b": 4} or gpus(plan) == {"a": 8, "b": 2}
    assert sum(r.kept_rps for r in plan.chosen.values()) == pytest.approx(110.0)
    assert set(plan.short) <= {"a", "b"}


def test_a_higher_priority_is_served_before_a_better_use_of_lower_priority() -> None:
    plan = plan_fleet([Claim("a", STEEP), Claim("b", GENTLE, priority=1)], 10)

    assert gpus(plan) == {"a": 2, "b": 8}
    assert plan.short == ("a",)


def test_a_guarantee_holds_against_a_higher_priority_as_far_as_it_is_needed() -> None:
    needy = plan_fleet([Claim("a", STEEP, guaranteed_gpus=5), Claim("b", GENTLE, priority=1)], 10)
    modest = plan_fleet(
        [Claim("a", ladder((2, 30.0)), guaranteed_gpus=6), Claim("b", GENTLE, priority=1)], 10
    )

    assert gpus(needy) == {"a": 4, "b": 6}
    assert gpus(modest) == {"a": 2, "b": 8}


def test_floors_that_exceed_the_pool_are_kept_and_told() -> None:
    plan = plan_fleet([Claim("a", STEEP), Claim("b", GENTLE)], 3)

    assert gpus(plan) == {"a": 2, "b": 2}
    assert plan.overdrawn_gpus == 1
    assert plan.short == ("a", "b")


def test_equal_claims_do_not_take_turns() -> None:
    pair = ladder((2, 10.0), (4, 20.0))
    first = plan_fleet([Claim("a", pair, running_gpus=4), Claim("b", pair, running_gpus=2)], 6)
    other = plan_fleet([Claim("a", pair, running_gpus=2), Claim("b", pair, running_gpus=4)], 6)

    assert gpus(first) == {"a": 4, "b": 2}
    assert gpus(other) == {"a": 2, "b": 4}


def test_gpus_that_keep_next_to_nothing_are_not_bought_when_gpus_lack() -> None:
    flat = ladder((2, 10.0), (10, 10.001))
    plan = plan_fleet([Claim("a", flat, running_gpus=2), Claim("b", GENTLE, running_gpus=2)], 12)

    assert gpus(plan) == {"a": 2, "b": 8}


@pytest.mark.parametrize("rungs", [(), ((4, 1.0), (4, 2.0)), ((4, 1.0), (2, 2.0))])
def test_a_ladder_that_does_not_rise_is_refused(rungs: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(ValueError, match="claim"):
        Claim("a", ladder(*rungs))


@st.composite
def claims(draw: st.DrawFn, priorities: int = 1) -> list[Claim]:
    made = []
    for i in range(draw(st.integers(1, 4))):
        steps = draw(st.lists(st.tuples(st.integers(1, 5), st.floats(0.0, 50.0)), min_size=1, max_size=4))
        at, rungs = 0, []
        for more, kept in steps:
            at += more
            rungs.append(Rung(at, kept))
        made.append(
            Claim(
                f"d{i}",
                tuple(rungs),
                draw(st.integers(0, priorities - 1)),
                draw(st.integers(0, 8)),
                draw(st.integers(0, 8)),
            )
        )
    return made


@settings(max_examples=150, deadline=None)
@given(claims(), st.integers(1, 30))
def test_no_other_choice_is_worth_more(asked: list[Claim], pool_gpus: int) -> None:
    """Held against trying every choice."""
    plan = plan_fleet(asked, pool_gpus)
    if plan.overdrawn_gpus:
        return
    total_gpus = sum(c.ladder[-1].gpus for c in asked)
    each = sum(c.ladder[-1].kept_rps for c in asked) / total_gpus

    def worth(claim: Claim, rung: Rung) -> float:
        return rung.kept_rps - each * (
            WORTH_RATIO * rung.gpus + MOVE_RATIO * abs(rung.gpus - claim.running_gpus)
        )

    if total_gpus <= pool_gpus:
        assert plan.short == ()
        return
    best = max(
        sum(worth(c, r) for c, r in zip(asked, rungs, strict=True))
        for rungs in product(*(c.ladder[c.least :] for c in asked))
        if sum(r.gpus for r in rungs) <= pool_gpus
    )
    mine = sum(worth(c, plan.chosen[c.deployment]) for c in asked)
    assert mine == pytest.approx(best, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(claims(priorities=3), st.integers(1, 30))
def test_the_pool_and_every_guarantee_are_kept(asked: list[Claim], pool_gpus: int) -> None:
    plan = plan_fleet(asked, pool_gpus)

    assert set(plan.chosen) == {c.deployment for c in asked}
    for claim in asked:
        assert plan.chosen[claim.deployment].gpus >= claim.ladder[claim.least].gpus
    assert plan.used_gpus <= pool_gpus + plan.overdrawn_gpus


def test_two_hundred_deployments_fill_two_thousand_gpus() -> None:
    """As large as it gets; the last GPU is used, because somebody always gains by it."""
    draw = np.random.default_rng(1)
    asked = []
    for i in range(200):
        kept = np.cumsum(draw.uniform(1.0, 9.0, 20))
        asked.append(Claim(f"d{i}", tuple(Rung(n + 1, float(k)) for n, k in enumerate(kept)), i % 3, i % 5))

    plan = plan_fleet(asked, 2000)

    assert plan.used_gpus == 2000
    top = [c for c in asked if c.priority == 2]
    assert all(plan.chosen[c.deployment].gpus == 20 for c in top)
