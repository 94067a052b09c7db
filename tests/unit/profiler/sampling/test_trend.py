"""The trend: the longer of what device and host take, and no second side that only noise asks for."""

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from models.values import Parallelism
from profiler.sampling.gaussian import non_negative
from profiler.sampling.points import Points
from profiler.sampling.trend import Trend, fitted
from tests.unit.profiler.sampling.engines import Law, decode_grid, prefill_grid, read_s, replica, step_s

PULL = 1e-3


def trend(points: Points, law: Law, noise_ratio: float = 0.0) -> tuple[Trend, NDArray[np.float64]]:
    """Fit every third point; return the trend and the true times."""
    truth = np.array([law(x, y) for x, y in zip(points.tokens, points.batches, strict=True)])
    measured = np.arange(0, len(truth), 3)
    noise = np.exp(np.random.default_rng(3).normal(0.0, noise_ratio, len(measured)))
    solve = partial(non_negative, pull=PULL)
    return fitted(points.terms(), points.host_terms(), measured, truth[measured] * noise, solve), truth


def hosted(tokens: float, batch: float) -> float:
    return max(0.002 + 2e-9 * batch * tokens, 0.001 + 20e-6 * batch)


def test_a_host_that_is_slower_than_the_device_is_told_apart_from_it() -> None:
    found, truth = trend(Points.of(decode_grid(), replica()), hosted)

    # One sum of terms misses the corner by 10 % and more.
    np.testing.assert_allclose(found.seconds, truth, rtol=0.02)


def test_prompts_longer_than_a_pass_take_several() -> None:
    found, truth = trend(Points.of(prefill_grid(), replica()), read_s)

    # The set-in of the arithmetic lies between two of the sizes at which the trend may bend.
    assert np.median(np.abs(found.seconds / truth - 1.0)) < 0.02


def test_noise_alone_is_no_second_side() -> None:
    def plain(tokens: float, batch: float) -> float:
        return 0.002 + 1e-5 * batch + 2e-9 * batch * tokens

    points = Points.of(decode_grid(), replica())
    found, truth = trend(points, plain, noise_ratio=0.03)

    assert found.coefficients <= points.terms().shape[1]
    assert np.quantile(np.abs(found.seconds / truth - 1.0), 0.95) < 0.06


def test_a_pipeline_works_on_several_passes_at_once() -> None:
    layout = Parallelism(pp=4)
    one, four = (Points.of(prefill_grid(x), replica()) for x in (Parallelism(), layout))

    many = one.passes > 100
    assert four.passes[many] / one.passes[many] == pytest.approx(0.25, rel=0.05)
    assert four.passes.min() == 1.0


def test_a_term_that_hardly_shows_is_not_blown_up_elsewhere() -> None:
    terms = np.array([[1.0, 1e-12], [1.0, 0.0], [1.0, 2e-12]])

    solved = non_negative(terms, np.array([1.0, 0.9, 1.1]), np.array([1.0, 1.0]), PULL)

    assert solved[1] < 1.0
    assert solved[0] == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("held", [1e4, 1e6])
def test_what_the_cache_holds_bounds_the_points(held: float) -> None:
    points = Points.of(decode_grid(), replica(kv_capacity_tokens=held, kv_fixed_tokens=10))

    np.testing.assert_array_equal(points.held, points.batches * (points.tokens + 10) <= held)


def test_step_laws_of_the_tests_bend_where_they_say() -> None:
    assert step_s(16, 31) < step_s(16, 32)
    assert step_s(16, 1024) == pytest.approx(0.001 + 15e-6 * 1024)
