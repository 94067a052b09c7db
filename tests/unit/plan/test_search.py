"""Check the search over replica counts against trying every count."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.plan.search import Bounds, FleetSearch
from models.plan.smallest import LIMIT, smallest
from models.topology import Topology
from models.values import RequestClass, Role, Router, Slo
from tests.builders import PAGES_MIX, layouts, loads

PREFILL, DECODE = Role.PREFILL, Role.DECODE
TARGETS = {"pages": 0.99, "email": 0.99}


def search(pages_rps: float, email_rps: float) -> FleetSearch:
    model = FleetModel(layouts(), [loads(pages_rps, email_rps)], Router.LOAD)
    return FleetSearch(model, np.ones(1), TARGETS)


@given(st.integers(1, 80_000), st.integers(1, 5_000), st.integers(1, 200))
def test_the_smallest_count_that_suffices_is_found_from_any_start(
    answer: int, first: int, width: int
) -> None:
    asked: list[int] = []

    def suffices(counts: Sequence[int]) -> list[bool]:
        asked.append(len(counts))
        return [n >= answer for n in counts]

    assert smallest(suffices, range(first, first + width)) == min(answer, LIMIT)
    # Each question but those that double the reach narrows the answer down sixteenfold.
    assert len(asked) <= 25


@pytest.mark.parametrize(("pages", "email"), [(40, 10), (120, 20), (30, 300), (180, 100)])
def test_the_cheapest_fleet_is_the_cheapest_of_all(pages: float, email: float) -> None:
    found = search(pages, email)
    counts = found.cheapest({role: found.alone(role) for role in found.roles})
    cost = counts[PREFILL] + 4 * counts[DECODE]
    assert found.reaches(counts)
    for prefill in range(1, cost + 1):
        for decode in range(1, (cost - 1 - prefill) // 4 + 1):
            assert not found.reaches({PREFILL: prefill, DECODE: decode}), (prefill, decode, counts)


def test_one_replica_fewer_of_either_role_breaks_the_promise() -> None:
    found = search(150, 60)
    counts = found.cheapest({role: found.alone(role) for role in found.roles})
    for role in (PREFILL, DECODE):
        if counts[role] > 1:
            assert not found.reaches({**counts, role: counts[role] - 1})


def test_a_binding_budget_serves_the_higher_priority_first() -> None:
    found = search(150, 300)
    bounds = {PREFILL: Bounds(1, 60), DECODE: Bounds(1, 20)}
    split = found.best_split(28, bounds, {"pages": 10, "email": 0}, lambda counts, gpus: True)
    assert split is not None
    assert split[PREFILL] + 4 * split[DECODE] <= 28
    kept = found.model.expected(split, np.ones(1))[1]["pages"]
    others = [
        found.model.expected({PREFILL: p, DECODE: (28 - p) // 4}, np.ones(1))[1]["pages"]
        for p in range(1, 25)
    ]
    assert kept == pytest.approx(max(others), abs=0.001)


def test_a_budget_under_the_floors_has_no_split() -> None:
    bounds = {PREFILL: Bounds(4, 60), DECODE: Bounds(2, 20)}
    assert search(100, 20).best_split(11, bounds, {}, lambda counts, gpus: True) is None


def test_a_promise_that_one_request_breaks_is_a_layout_problem() -> None:
    model = FleetModel(layouts(), [loads(10, 1)], Router.LOAD)
    easy = FleetSearch(model, np.ones(1), TARGETS)
    assert not easy.by_layout
    hopeless = RequestClass("pages", Slo(ttft_s=0.01), 10)
    model = FleetModel(layouts(), [[ClassLoad.steady(hopeless, 10, PAGES_MIX)]], Router.LOAD)
    assert FleetSearch(model, np.ones(1), {"pages": 0.99}).by_layout


def test_the_fullest_fleet_that_the_nodes_hold_is_found_far_below_the_budget() -> None:
    # A budget of 60 GPUs on nodes for 28: the split is chosen among what fits, not given up.
    bounds = {PREFILL: Bounds(1, 60), DECODE: Bounds(1, 20)}
    nodes = Topology(4, 28, 1)

    def placeable(counts: Mapping[Role, int], gpus: Mapping[Role, int]) -> bool:
        return nodes.fits({gpus[role]: n for role, n in counts.items()})

    split = search(300, 20).best_split(60, bounds, {"pages": 10, "email": 0}, placeable)
    assert split is not None
    assert split[PREFILL] + 4 * split[DECODE] == 28
