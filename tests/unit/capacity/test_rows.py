"""Check that many replica counts are answered at once, and each evaluated once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.capacity.fleet import FleetModel
from models.capacity.rows import Rows
from models.capacity.waiting import erlang_c
from models.surface import Surface
from models.values import Role, Router
from tests.builders import aggregated_layout, decode_layout, layouts, loads

counts = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(st.lists(counts, min_size=1, max_size=5))
def test_each_count_is_evaluated_once_whatever_is_asked(questions: list[list[int]]) -> None:
    evaluated: list[int] = []

    def squares(asked: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        evaluated.extend(asked.tolist())
        return [asked**2, -asked]

    rows = Rows(squares)
    for question in questions:
        square, minus = rows.of(question)
        assert square.tolist() == [n * n for n in question]
        assert minus.tolist() == [-n for n in question]
    assert int(rows.of(7)[0]) == 49
    assert len(evaluated) == len(set(evaluated))


def test_a_given_row_stands_and_one_that_was_evaluated_is_not_replaced() -> None:
    rows = Rows(lambda asked: [asked.astype(float)])
    rows.put(3, [np.array(0.5)])
    assert rows.of([3, 4])[0].tolist() == [0.5, 4.0]
    with pytest.raises(ValueError, match="4 replicas were evaluated already"):
        rows.put(4, [np.array(0.5)])


@pytest.mark.parametrize("router", list(Router))
@pytest.mark.parametrize("aggregated", [False, True])
def test_many_fleets_attain_what_each_attains_by_itself(router: Router, aggregated: bool) -> None:
    served = {Role.AGGREGATED: aggregated_layout()} if aggregated else layouts()
    demand = [loads(80 * level, 30 * level) for level in (0.2, 0.5, 1.1)]
    asked = np.arange(1, 25)
    together = FleetModel(served, demand, router).attainment(dict.fromkeys(served, asked))
    for i, n in enumerate(asked.tolist()):
        alone = FleetModel(served, demand, router).attainment(dict.fromkeys(served, n))
        # The same sums in another order: the last digits may differ.
        assert np.allclose(together[i], alone, rtol=0, atol=1e-12)


@given(st.integers(1, 400), st.floats(0.01, 0.999))
def test_erlang_c_equals_its_recursion(servers: int, load: float) -> None:
    offered, blocking = load * servers, 1.0
    for i in range(1, servers + 1):
        blocking = offered * blocking / (i + offered * blocking)
    expected = blocking / (1.0 - load * (1.0 - blocking))
    # Rounding of k ln a, up to 2,400 here, is what the closed form loses.
    assert float(erlang_c(servers, offered)) == pytest.approx(expected, rel=1e-10, abs=1e-250)


@given(st.lists(st.tuples(st.floats(1, 50_000), st.floats(0.5, 5_000)), min_size=1, max_size=20))
def test_a_surface_is_read_alike_for_one_and_for_many(points: list[tuple[float, float]]) -> None:
    surface = decode_layout().decode
    assert surface is not None
    x, y = np.array(points).T
    one_by_one = [surface.at(a, b) for a, b in points]
    assert surface.over(x, y).tolist() == pytest.approx(one_by_one, rel=1e-12)
    for a, _ in points:
        assert surface.across(a) == pytest.approx([surface.at(a, n) for n in surface.y], rel=1e-12)


def test_a_surface_of_one_line_is_read_for_many() -> None:
    flat = Surface((100.0,), (1.0, 4.0), ((0.01, 0.02),))
    assert flat.over(np.array([5.0, 500.0]), np.array([1.0, 2.5])).tolist() == pytest.approx([0.01, 0.015])
