"""Nodes are ordered for what is foreseen past their own making, inside the budget, and do not flap."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import Decision
from models.nodes import NodesAhead, NodesPolicy
from models.plan.nodes_ahead import node_count, nodes_ahead, nodes_of, room, within
from models.policy import PoolPolicy
from models.prediction import Forecast
from models.values import Role
from tests.builders import forecast, layouts, observation, plan_policy

PREFILL, DECODE = Role.PREFILL, Role.DECODE
GPUS = {PREFILL: 1, DECODE: 4}


def rising(at_s: float, factor: float) -> Forecast:
    """Forecast demand that rises by a factor between one minute and the next, `at_s` from now."""
    flat = forecast({"pages": 100.0, "email": 20.0})
    signals = {
        name: {
            signal: replace(
                each,
                paths=tuple(
                    tuple(
                        v * (factor if offset > at_s else 1.0)
                        for v, offset in zip(path, each.offsets_s, strict=True)
                    )
                    for path in each.paths
                ),
            )
            for signal, each in of.items()
        }
        for name, of in flat.signals.items()
    }
    return replace(flat, signals=signals)


def decided(current: dict[Role, int], final: dict[Role, int] | None = None) -> Decision:
    return Decision(current, current, final or current)


def test_what_comes_after_a_start_up_but_before_a_node_could_be_made_is_ordered_now() -> None:
    seen, plan = observation(counts={PREFILL: 12, DECODE: 2}), plan_policy()
    running = decided({PREFILL: 12, DECODE: 2})
    surge = rising(at_s=480.0, factor=2.0)

    late = nodes_ahead(seen, surge, layouts(), plan, NodesPolicy(lead_s=600.0), running)
    early = nodes_ahead(seen, surge, layouts(), plan, NodesPolicy(lead_s=60.0), running)

    assert late is not None
    assert early is not None
    assert early.need[PREFILL] == 12 < 1.4 * 12 < late.need[PREFILL]
    assert early.keep[PREFILL] >= late.need[PREFILL], "what is there is kept for what comes"


def test_room_is_never_for_less_than_what_runs() -> None:
    idle = forecast({"pages": 1.0, "email": 0.1})
    quiet = observation(rates={"pages": 1.0, "email": 0.1}, counts={PREFILL: 12, DECODE: 2})
    down = decided({PREFILL: 12, DECODE: 2}, {PREFILL: 11, DECODE: 2})

    found = nodes_ahead(quiet, idle, layouts(), plan_policy(), NodesPolicy(), down)

    assert found is not None
    assert found.running == {PREFILL: 12, DECODE: 2}, "the replica that goes drains first"
    assert found.need == found.running


def test_without_demand_nothing_is_said() -> None:
    blind = observation(rates={"pages": None, "email": None})
    empty = replace(forecast({}), signals={})
    assert nodes_ahead(blind, empty, layouts(), plan_policy(), NodesPolicy(), decided({PREFILL: 1})) is None


def test_need_and_keep_fit_the_budget() -> None:
    plan = plan_policy(budget_gpus=24)
    surge = rising(at_s=480.0, factor=4.0)
    found = nodes_ahead(
        observation(), surge, layouts(), plan, NodesPolicy(), decided({PREFILL: 12, DECODE: 2})
    )

    assert found is not None
    assert plan.within(found.need, GPUS)
    assert plan.within(found.keep, GPUS)


counts = st.fixed_dictionaries({PREFILL: st.integers(0, 40), DECODE: st.integers(0, 12)})


@given(counts, counts, counts, st.integers(8, 120), st.integers(1, 5))
def test_room_meets_the_need_fits_the_budget_and_settles(
    before: dict[Role, int], need: dict[Role, int], more: dict[Role, int], budget: int, step: int
) -> None:
    plan = plan_policy(budget_gpus=budget, pools={PREFILL: PoolPolicy(), DECODE: PoolPolicy()})
    need = within(need, {PREFILL: 0, DECODE: 0}, GPUS, plan)
    keep = within({role: n + more[role] for role, n in need.items()}, need, GPUS, plan)
    ahead = NodesAhead(need, need, need, keep, GPUS)

    kept = before
    for _ in range(60):
        kept = room(kept, ahead, plan, step)
        assert all(kept[role] >= need[role] for role in need)
        assert plan.within(kept, GPUS)
    assert room(kept, ahead, plan, step) == kept
    assert all(kept[role] <= max(keep[role], need[role]) for role in need)


@pytest.mark.parametrize(
    ("current", "need", "keep", "settled", "wanted"),
    [
        (4, 6, 6, True, 6),  # up at once
        (6, 3, 6, True, 6),  # inside the band
        (9, 3, 5, True, 7),  # down by the step
        (6, 3, 5, True, 5),  # and no further than what is kept
        (9, 3, 5, False, 9),  # not without data
        (4, 6, 6, False, 6),  # up all the same
    ],
)
def test_a_pool_goes_up_at_once_and_down_by_steps(
    current: int, need: int, keep: int, settled: bool, wanted: int
) -> None:
    assert node_count(current, need, keep, 2, settled) == wanted


def test_trays_are_counted_whole_and_shared_by_small_replicas() -> None:
    both: frozenset[Role] = frozenset()
    assert nodes_of({PREFILL: 5, DECODE: 2}, GPUS, both, 4) == 4, (
        "5 of one GPU in two trays, 2 of four in two"
    )
    assert nodes_of({PREFILL: 5, DECODE: 2}, GPUS, frozenset({DECODE}), 4) == 2
    assert nodes_of({DECODE: 3}, {DECODE: 8}, both, 4) == 6, "a replica of eight spans two trays"
