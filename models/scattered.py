"""Fit a monotone surface to points that were measured elsewhere, on a grid or scattered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.artifact import MeasuredPoint, Phase
from models.monotone import never_falling
from models.surface import Surface

Floats = NDArray[np.float64]

# Lines of the grid each way. Dynamo's files have about 40 different batches; a computed grid has fewer.
MOST_LINES = 64
# Held-out shares of the points: one in ten is read from the other nine.
FOLDS = 10
# A point's own surroundings decide; beyond so many neighbours only the solving time grows.
NEIGHBOURS = 64
SAME = 1e-9
# A band is written to a hundredth of a per cent.
BAND_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class Sampled:
    """Hold a fitted surface and the points that were measured for it; empty where it is the whole grid."""

    surface: Surface
    measured: tuple[MeasuredPoint, ...] = ()


def surface(phase: Phase, points: Sequence[MeasuredPoint]) -> Sampled:
    """Fit seconds over tokens by batch; the points come back with what the fit leaves of them.

    Points with no repeats are a computed surface's own values: they are its grid, without error, and are not
    returned as measurements. Raises ValueError, saying what to add, when the points do not show how time
    depends on prompt length (prefill) or on the batch (decode).
    """
    x = _axis([p.tokens for p in points])
    y = _axis([p.batch for p in points])
    if phase is Phase.PREFILL and len(x) < 2:
        raise ValueError(f"all prefill points have {x[0]:g} prompt tokens; add at least one other length")
    if phase is Phase.DECODE and len(y) < 2:
        raise ValueError(f"all decode points have a batch of {y[0]:g}; add at least one other batch")
    if len(y) < 2:
        # One prompt at a time says nothing of iterations that hold several: n prompts take n times as long.
        y = np.array([y[0], 2 * y[0]])
        points = [*points, *(replace(p, batch=2 * p.batch, seconds=2 * p.seconds) for p in points)]
        single = True
    else:
        single = False
    at, seconds = _arrays(points)
    values = _values(phase, at, seconds, x, y)
    fitted = Surface(_floats(x), _floats(y), tuple(_floats(row) for row in never_falling(values)))
    measured = [p for p in points if p.repeats > 0]
    if not measured:
        return Sampled(fitted)
    held_out = _held_out_errors(phase, at, seconds)
    own = np.array([p.error_s / p.seconds for p in points])
    band = _bands(at, own, x, y, float(np.quantile(held_out, 0.95)))
    fitted = replace(fitted, relative_error=float(held_out.mean()), band_ratio=tuple(map(_floats, band)))
    real = measured[: len(measured) // 2] if single else measured
    return Sampled(fitted, tuple(point.against(fitted) for point in real))


def _values(phase: Phase, at: Floats, seconds: Floats, x: Floats, y: Floats) -> Floats:
    """Return seconds at every node, shape (x, y): a point's own where one lies there."""
    read = np.full((len(x), len(y)), np.nan)
    for (tokens, batch), value in zip(at, seconds, strict=True):
        i, j = int(np.abs(x - tokens).argmin()), int(np.abs(y - batch).argmin())
        if np.isclose([x[i], y[j]], [tokens, batch], rtol=SAME).all():
            read[i, j] = value
    missing = np.isnan(read)
    if missing.any():
        nodes = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
        read[missing] = _read(phase, at, seconds, nodes[missing])
    return read


def _read(phase: Phase, at: Floats, seconds: Floats, wanted: Floats) -> Floats:
    """Read points, shape (n, 2), at other places: a regression times what it leaves of the points around.

    The regression carries the reading where there is no point: its terms are those of an iteration's time,
    none below zero. The rest is interpolated in logarithms by a linear radial kernel, exact at the points.
    """
    from scipy.interpolate import RBFInterpolator
    from scipy.optimize import nnls

    terms = _terms(phase, at) / seconds[:, None]
    scale = np.maximum(np.abs(terms).max(axis=0), 1e-300)
    weights = nnls(terms / scale, np.ones(len(seconds)))[0] / scale
    base = np.maximum(_terms(phase, at) @ weights, seconds.min() * 1e-3)
    there = np.maximum(_terms(phase, wanted) @ weights, seconds.min() * 1e-3)
    if len(seconds) == 1:
        return np.asarray(there * (seconds / base), dtype=float)
    near = min(NEIGHBOURS, len(seconds))
    rest = RBFInterpolator(np.log(at), np.log(seconds / base), neighbors=near, kernel="linear", degree=0)
    return np.asarray(there * np.exp(rest(np.log(wanted))), dtype=float)


def _terms(phase: Phase, at: Floats) -> Floats:
    """Return the terms of an iteration's time: attention is quadratic in a prompt, linear in a context."""
    tokens, batch = at[:, 0], at[:, 1]
    last = batch * tokens**2 if phase is Phase.PREFILL else tokens
    terms: Floats = np.stack([np.ones_like(tokens), batch, batch * tokens, last], axis=-1)
    return terms


def _held_out_errors(phase: Phase, at: Floats, seconds: Floats) -> Floats:
    """Return each point's relative error when it is read from the others, fold by fold."""
    if len(seconds) < 3:
        return np.zeros(1)
    fold = np.arange(len(seconds)) % min(FOLDS, len(seconds))
    errors = np.empty(len(seconds))
    for each in range(int(fold.max()) + 1):
        out = fold == each
        errors[out] = np.abs(_read(phase, at[~out], seconds[~out], at[out]) / seconds[out] - 1.0)
    return errors


def _bands(at: Floats, own: Floats, x: Floats, y: Floats, elsewhere: float) -> Floats:
    """Return the 95 % half-width per node: what held-out points miss by, or a point's own error."""
    band = np.full((len(x), len(y)), elsewhere)
    for (tokens, batch), error in zip(at, own, strict=True):
        i, j = int(np.abs(x - tokens).argmin()), int(np.abs(y - batch).argmin())
        band[i, j] = max(band[i, j], error)
    return np.round(band, BAND_DECIMALS)


def _arrays(points: Sequence[MeasuredPoint]) -> tuple[Floats, Floats]:
    at = np.array([(p.tokens, p.batch) for p in points], dtype=float)
    return at, np.array([p.seconds for p in points], dtype=float)


def _axis(values: Sequence[float]) -> Floats:
    """Return the distinct values, rising; evenly spread in ratio where they are too many for a grid."""
    distinct: Floats = np.unique(np.asarray(values, dtype=float))
    distinct = distinct[np.concatenate([[True], np.diff(distinct) > SAME * distinct[1:]])]
    if len(distinct) <= MOST_LINES:
        return distinct
    return np.geomspace(distinct[0], distinct[-1], MOST_LINES)


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
