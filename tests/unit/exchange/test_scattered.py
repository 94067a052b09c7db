"""Points that were measured anywhere become a monotone surface with its errors."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from models.artifact import MeasuredPoint, Phase
from models.scattered import surface
from models.surface import Surface


def itl_s(context: float, batch: float) -> float:
    """Return a decode step that is linear in the batch and in its contexts."""
    return 0.004 + batch * (2e-5 + context * 1e-8)


def scattered(count: int, seed: int, noise: float = 0.0) -> list[MeasuredPoint]:
    generator = np.random.default_rng(seed)
    context = np.exp(generator.uniform(np.log(200), np.log(16_000), count)).round()
    batch = np.exp(generator.uniform(0, np.log(256), count)).round()
    factor = 1 + noise * generator.standard_normal(count)
    return [
        MeasuredPoint(Phase.DECODE, float(c), float(n), itl_s(c, n) * f, repeats=5)
        for c, n, f in zip(context, batch, factor, strict=True)
    ]


def never_falls(fitted: Surface) -> bool:
    rows: Sequence[Sequence[float]] = fitted.values_s
    return all(a <= b for row in rows for a, b in pairwise(row)) and all(
        a <= b for low, high in pairwise(rows) for a, b in zip(low, high, strict=True)
    )


def test_scattered_points_of_a_step_time_give_it_back_between_them() -> None:
    fitted = surface(Phase.DECODE, scattered(60, 1)).surface

    errors = [fitted.at(c, n) / itl_s(c, n) - 1 for c in (300, 1_500, 9_000) for n in (2, 20, 150)]

    # The regression has this form, so that only the grid's own interpolation is left.
    assert max(map(abs, errors)) < 0.01
    assert never_falls(fitted)


def test_noise_is_smoothed_to_a_surface_that_never_falls_and_is_told_as_its_error() -> None:
    found = surface(Phase.DECODE, scattered(80, 2, noise=0.05))

    assert never_falls(found.surface)
    # Held-out points miss by the noise of two points: 5 % * sqrt(2) * 0.8, give or take the sample.
    assert 0.03 < found.surface.relative_error < 0.12
    assert found.surface.band_ratio[0][0] > found.surface.relative_error
    truth = [found.surface.at(c, n) / itl_s(c, n) - 1 for c in (500, 4_000) for n in (4, 60)]
    assert max(map(abs, truth)) < 0.15


def test_each_point_comes_back_with_what_the_fit_leaves_of_it() -> None:
    points = scattered(40, 3, noise=0.05)

    found = surface(Phase.DECODE, points)

    assert len(found.measured) == len(points)
    for p in found.measured:
        assert p.residual_ratio == pytest.approx(found.surface.at(p.tokens, p.batch) / p.seconds - 1)


def test_a_points_own_error_widens_the_band_where_it_lies() -> None:
    sure = [MeasuredPoint(Phase.DECODE, c, n, itl_s(c, n)) for c in (1e3, 4e3) for n in (1.0, 8.0, 64.0)]
    unsure = MeasuredPoint(Phase.DECODE, 4e3, 128.0, itl_s(4e3, 128), error_s=itl_s(4e3, 128) * 0.4)

    fitted = surface(Phase.DECODE, [*sure, unsure]).surface

    assert fitted.band_ratio[1][3] == pytest.approx(0.4)
    assert fitted.band_ratio[0][0] < 0.4


def test_a_computed_grid_comes_back_exactly_and_without_measurements() -> None:
    grid = [
        MeasuredPoint(Phase.DECODE, c, n, itl_s(c, n), repeats=0)
        for c in (128.0, 1_024.0, 16_384.0)
        for n in (1.0, 7.0, 300.0)
    ]

    found = surface(Phase.DECODE, grid)

    assert found.measured == ()
    assert found.surface.relative_error == 0.0
    assert found.surface.band_ratio == ()
    assert found.surface.values_s[2][1] == itl_s(16_384, 7)


def test_prompts_measured_one_at_a_time_take_twice_as_long_for_two() -> None:
    points = [MeasuredPoint(Phase.PREFILL, n, 1.0, 0.01 + n * 1e-5) for n in (500.0, 1_000.0, 4_000.0)]

    found = surface(Phase.PREFILL, points)

    assert found.surface.at(1_000, 4) == pytest.approx(4 * 0.02)
    assert [p.batch for p in found.measured] == [1.0, 1.0, 1.0]


def test_more_distinct_batches_than_lines_are_thinned() -> None:
    points = [
        MeasuredPoint(Phase.DECODE, c, float(n), itl_s(c, n)) for c in (1e3, 9e3) for n in range(1, 201)
    ]

    fitted = surface(Phase.DECODE, points).surface

    assert len(fitted.y) == 64
    assert fitted.at(1e3, 117.5) == pytest.approx(itl_s(1e3, 117.5), rel=0.005)


@pytest.mark.parametrize(
    ("phase", "places", "said"),
    [
        (Phase.PREFILL, [(1e3, 1.0), (1e3, 4.0)], "add at least one other length"),
        (Phase.DECODE, [(1e3, 8.0), (4e3, 8.0)], "add at least one other batch"),
    ],
)
def test_points_that_show_no_dependence_are_refused(
    phase: Phase, places: list[tuple[float, float]], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        surface(phase, [MeasuredPoint(phase, x, y, 0.01) for x, y in places])
