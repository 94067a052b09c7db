"""Turn measured points into a surface: fill what is missing, never falling, with its error."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.monotone import never_falling
from models.surface import Surface

Floats = NDArray[np.float64]

# A surface is written with this many decimals: a nanosecond is far below any measurement.
DECIMALS = 9
# The regression of the missing points has four terms; fewer points cannot carry it.
FEWEST_POINTS = 4


def fit(
    x: Sequence[float], y: Sequence[float], rows: Sequence[Sequence[float | None]], computed: bool
) -> Surface:
    """Fit seconds at x by y; `None` is a point that could not be measured.

    Raises ValueError when too few points were measured to say anything about the rest.
    """
    values = np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=float)
    known = np.isfinite(values) & (values > 0)
    if not known.all():
        if known.sum() < FEWEST_POINTS:
            raise ValueError(
                f"{int(known.sum())} of {known.size} points could be measured: too few for a surface"
            )
        values = filled(np.asarray(x), np.asarray(y), values, known)
    smooth = np.maximum(np.round(never_falling(values), DECIMALS), 10.0**-DECIMALS)
    error = 0.0 if computed else cross_validated_error(np.asarray(x), np.asarray(y), smooth, values)
    return Surface(
        tuple(float(v) for v in x),
        tuple(float(v) for v in y),
        tuple(tuple(float(v) for v in row) for row in smooth),
        error,
    )


def filled(x: Floats, y: Floats, values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Fill unknown points from a regression of the known ones, shape (x, y).

    Iteration times are near-linear in the batch n and in n times the tokens: t = a + b*n + c*x + d*n*x,
    fitted to relative errors with no term below zero, so that what is filled in rises as well.
    """
    xs, ys = np.meshgrid(x, y, indexing="ij")
    terms = np.stack([np.ones_like(xs), ys, xs, xs * ys], axis=-1)
    weights = 1.0 / values[known]
    coefficients = _non_negative(terms[known] * weights[:, None], np.ones(int(known.sum())))
    out = values.copy()
    out[~known] = np.maximum(terms[~known] @ coefficients, values[known].min())
    return out


def cross_validated_error(x: Floats, y: Floats, smooth: Floats, measured: Floats) -> float:
    """Return the mean relative error when each inner line of the grid is read from its neighbours."""
    errors = []
    for axis, points in ((0, x), (1, y)):
        grid, truth = np.moveaxis(smooth, axis, 0), np.moveaxis(measured, axis, 0)
        for i in range(1, len(points) - 1):
            share = (points[i] - points[i - 1]) / (points[i + 1] - points[i - 1])
            read = grid[i - 1] + (grid[i + 1] - grid[i - 1]) * share
            errors.append(np.abs(read / truth[i] - 1.0))
    return float(np.mean(np.concatenate(errors))) if errors else float(np.mean(np.abs(smooth / measured - 1)))


def _non_negative(terms: Floats, target: Floats) -> Floats:
    """Solve least squares with coefficients of at least 0, dropping the most negative term until none is."""
    scale = np.maximum(np.abs(terms).max(axis=0), 1e-300)
    active = np.ones(terms.shape[1], dtype=bool)
    out = np.zeros(terms.shape[1])
    while active.any():
        solved = np.linalg.lstsq(terms[:, active] / scale[active], target, rcond=None)[0]
        if (solved >= 0).all():
            out[active] = solved / scale[active]
            break
        active[np.flatnonzero(active)[int(np.argmin(solved))]] = False
    return out
