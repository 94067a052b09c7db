"""The Gaussian process: it averages noise, knows what it does not know, and asks where that is most."""

import numpy as np
import pytest

from profiler.sampling.gaussian import best_next, posterior, prior, spreads

LINE = np.column_stack([np.linspace(0.0, 8.0, 41), np.zeros(41), np.zeros(41)])
ALL = np.arange(41)
EACH = np.eye(41)


def test_repeated_measurements_of_a_flat_surface_average_out() -> None:
    noise = np.random.default_rng(5).normal(0.0, 0.03, 41)

    found = posterior(LINE, ALL, 0.1 + noise, np.full(41, 0.03**2))

    # 41 measurements of one level: its error is a sixth of theirs.
    assert np.abs(found.mean - 0.1).max() < 0.02
    assert found.deviation.max() < 0.02


def test_away_from_what_was_measured_less_is_known() -> None:
    near = np.arange(10)

    found = posterior(LINE, near, np.zeros(10), np.full(10, 1e-4))

    assert found.deviation[-1] > 2.0 * found.deviation[5]
    assert (np.diff(found.deviation[10:]) > -1e-9).all()


def test_what_is_left_out_is_foretold_by_the_others() -> None:
    values = 0.05 * LINE[:, 0]

    found = posterior(LINE, ALL, values, np.full(41, 1e-6))

    assert np.abs(found.left_out).max() < 0.02
    assert np.abs(found.left_out[1:-1]).max() < np.abs(values[1:-1]).max() / 10


def test_deviations_grow_by_the_widening_that_the_caller_knows_of() -> None:
    values = np.where(ALL % 2 == 0, 0.05, -0.05)

    honest = posterior(LINE, ALL, values, np.full(41, 0.05**2))
    too_sure = posterior(LINE, ALL, values, np.full(41, 0.05**2), widening=2.0)

    assert too_sure.deviation == pytest.approx(2.0 * honest.deviation)


def test_the_next_points_lie_apart_and_stop_when_enough_is_known() -> None:
    chosen = best_next(prior(LINE), ALL, EACH, 4)

    assert len(set(chosen)) == 4
    assert np.diff(np.sort(LINE[chosen, 0])).min() > 1.0
    assert best_next(prior(LINE), ALL, EACH, 4, lambda left: True) == chosen[:1]
    assert best_next(prior(LINE), np.array([7]), EACH, 4) == [7]


def test_a_point_far_from_what_is_wanted_is_not_asked_for() -> None:
    chosen = best_next(prior(LINE), ALL, EACH[:5], 1)

    assert chosen[0] <= 5


def test_a_reading_between_points_is_known_as_well_as_their_sum() -> None:
    state = posterior(LINE, np.array([10, 12]), np.zeros(2), np.full(2, 0.03**2))
    halves = np.zeros((1, 41))
    halves[0, [10, 12]] = 0.5

    (between,) = spreads(halves, state.covariance)

    # Both points vary together, but for what each of them was measured wrong by.
    assert between < state.deviation[10]
    assert between**2 == pytest.approx(state.covariance[np.ix_([10, 12], [10, 12])].mean())
    assert spreads(EACH, state.covariance) == pytest.approx(state.deviation)
