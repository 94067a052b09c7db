"""The whole grid: every point once, with the band that its measurements have."""

import numpy as np
import pytest

from models.scattered import Sampled
from models.surface import Surface
from profiler.sampling.full import Full
from tests.unit.profiler.sampling.engines import Engine, decode_grid, replica, step_s, times


def never(surface: Surface) -> str | None:
    return None


def test_every_point_is_asked_for_once_and_has_its_own_band() -> None:
    engine, grid = Engine(step_s), decode_grid()

    found = Full(computed=False)(grid, engine, replica(), never)

    assert isinstance(found, Sampled)
    assert len(found.measured) == grid.size == len(set(engine.asked))
    assert np.array(found.surface.band_ratio) == pytest.approx(1.96 * 0.03)
    # Smoothing takes a little off the 5.9 % that a single measurement is off by at most in 95 % of cases.
    off = np.abs(np.array(found.surface.values_s) / times(grid, step_s) - 1.0)
    assert 0.03 < np.quantile(off, 0.95) < 0.07


def test_what_is_filled_in_has_the_band_of_the_fit() -> None:
    found = Full(computed=False)(
        decode_grid(), Engine(step_s, refused=lambda p: p.batch > 500), replica(), never
    )

    assert isinstance(found, Sampled)
    band = np.array(found.surface.band_ratio)
    assert band[:, -1] == pytest.approx(2.457 * found.surface.relative_error)
    assert band[:, 0] == pytest.approx(1.96 * 0.03)


def test_computed_times_are_kept_as_they_are() -> None:
    found = Full(computed=True)(decode_grid(), Engine(step_s, noise_ratio=0.0), replica(), never)

    assert isinstance(found, Sampled)
    assert found.measured == ()
    assert found.surface.band_ratio == ()
    np.testing.assert_allclose(np.array(found.surface.values_s), times(decode_grid(), step_s), atol=1e-9)
