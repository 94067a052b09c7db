"""Fitting: surfaces never fall, keep what is clean, fill what is missing and say their error."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.monotone import never_falling
from profiler.fitting import fit

X, Y = (128.0, 1024.0, 4096.0, 16384.0), (1.0, 8.0, 64.0, 256.0)


def step_s(tokens: float, batch: float) -> float:
    """Return a decode step as METHODS says it behaves: linear in the batch and in batch times context."""
    return 0.002 + 5e-6 * batch + 3e-9 * batch * tokens


def rows(scale: float = 1.0) -> list[list[float | None]]:
    return [[step_s(x, y) * scale for y in Y] for x in X]


def test_clean_measurements_are_kept_to_the_nanosecond() -> None:
    surface = fit(X, Y, rows(), computed=True)

    assert surface.at(4096, 64) == pytest.approx(step_s(4096, 64), abs=1e-9)
    assert surface.relative_error == 0.0


def test_a_dent_is_smoothed_by_at_most_its_own_depth() -> None:
    dented = rows()
    dented[2][2] = step_s(4096, 64) * 0.5

    surface = fit(X, Y, dented, computed=False)

    values = np.array(surface.values_s)
    assert (np.diff(values, axis=0) >= 0).all()
    assert (np.diff(values, axis=1) >= 0).all()
    assert step_s(4096, 64) * 0.5 <= surface.at(4096, 64) <= step_s(4096, 64)
    assert surface.relative_error > 0.0


def test_points_beyond_memory_are_filled_along_the_law_of_the_others() -> None:
    partial = rows()
    partial[3][2] = partial[3][3] = partial[2][3] = None

    surface = fit(X, Y, partial, computed=True)

    assert surface.at(16384, 256) == pytest.approx(step_s(16384, 256), rel=0.01)
    assert surface.at(1024, 8) == pytest.approx(step_s(1024, 8), abs=1e-9)


@pytest.mark.parametrize("junk", [None, math.nan, 0.0, -1.0])
def test_too_few_points_are_no_surface(junk: float | None) -> None:
    almost_none: list[list[float | None]] = [[junk] * 4 for _ in X]
    almost_none[0][0] = almost_none[1][0] = 0.002

    with pytest.raises(ValueError, match="2 of 16 points could be measured: too few"):
        fit(X, Y, almost_none, computed=False)


def test_the_error_of_noisy_points_is_about_the_noise() -> None:
    noise = np.random.default_rng(7).lognormal(0.0, 0.05, size=(len(X), len(Y)))
    noisy: list[list[float | None]] = [
        [step_s(x, y) * float(noise[i, j]) for j, y in enumerate(Y)] for i, x in enumerate(X)
    ]

    surface = fit(X, Y, noisy, computed=False)

    assert 0.01 < surface.relative_error < 0.15


@given(arrays.arrays(np.float64, (4, 5), elements=st.floats(1e-4, 1e2)))
def test_smoothing_never_falls_never_leaves_the_range_and_changes_nothing_twice(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> None:
    smooth = never_falling(values)

    assert (np.diff(smooth, axis=0) >= -1e-12).all()
    assert (np.diff(smooth, axis=1) >= -1e-12).all()
    assert smooth.min() >= values.min() * (1 - 1e-9)
    assert smooth.max() <= values.max() * (1 + 1e-9)
    np.testing.assert_allclose(never_falling(smooth), smooth, rtol=1e-9)
