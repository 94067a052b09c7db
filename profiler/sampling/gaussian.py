"""Fit a Gaussian process to the logarithms of times: alone in importing scikit-learn and scipy."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# A length scale that takes a coordinate out of a kernel.
_OFF = 1e5
# The whole surface may lie this much above or below its trend.
_LEVEL = 0.2
# What the surface is made of, as deviations from its trend: per part the standard deviation that is expected
# before anything is measured, its length scales in (length, sequences, tokens of a rank's pass) in natural
# logarithms, and whether it is smooth. Fitted values may leave them: a factor of 2 (size) or 1.6 (length)
# costs as much as one standard deviation of a measurement.
_PARTS = (
    # What the trend's few terms miss over the whole grid.
    (0.05, (4.0, 3.0, _OFF), True),
    # Kernels change with the tokens of a pass, whatever their lengths: tiles, experts reached.
    (0.035, (_OFF, _OFF, 0.4), False),
    # Attention kernels change with the length.
    (0.01, (1.5, _OFF, _OFF), False),
    # Everything else.
    (0.015, (1.2, 0.9, _OFF), False),
)
# What a repetition of a measurement differs by beyond the error that was told, before anything is measured.
_JITTER = 0.003
# Standard deviations of the logarithms of sizes (variances) and of length scales.
_SIZE_SPREAD, _LENGTH_SPREAD = 1.4, 0.5
_STEPS = 40
# Before anything is measured, as measurements of 3 % are.
_ASSUMED_NOISE = 0.03
# The band is widened at most this much when left-out points lie further away than it says.
_WIDEST = 3.0


@dataclass(frozen=True, slots=True)
class Posterior:
    """Hold what is known of log(time / trend) at every point of a grid, given the measured ones.

    `mean` and `covariance` have shapes (points,) and (points, points); `noise` is the variance of one more
    measurement. `left_out` holds, per measured point, measured minus foretold without it. `theta` are the
    fitted sizes and length scales.
    """

    mean: Floats
    covariance: Floats
    noise: float
    left_out: Floats
    theta: Floats

    @property
    def deviation(self) -> Floats:
        """Standard deviation at each point."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))


def prior(coordinates: Floats) -> Posterior:
    """Return what is believed before anything is measured, at coordinates of shape (points, 3)."""
    kernel = _kernel()
    nothing = np.zeros(len(coordinates))
    return Posterior(
        nothing, kernel.k1(coordinates), _ASSUMED_NOISE**2, np.zeros(0), np.asarray(kernel.theta)
    )


def posterior(
    coordinates: Floats,
    measured: Indices,
    values: Floats,
    noise: Floats,
    widening: float = 1.0,
    start: Floats | None = None,
) -> Posterior:
    """Condition on values at the measured points, shape (measured,), whose noise has these variances.

    Sizes and length scales maximise likelihood times their prior, searched from `start`. Deviations are
    multiplied by `widening`, and by more where left-out points lie further away than they say.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor

    kernel = _kernel()
    middle = np.asarray(kernel.theta)
    if start is not None:
        kernel = kernel.clone_with_theta(start)
    model = GaussianProcessRegressor(kernel, alpha=noise, optimizer=_most_probable(middle))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(coordinates[measured], values)
    surface, jitter = model.kernel_.k1, float(model.kernel_.k2.noise_level)
    spread = surface(coordinates)
    inverse = np.linalg.inv(spread[np.ix_(measured, measured)] + np.diag(noise + jitter))
    weighed = inverse @ values
    known = spread[:, measured]
    # Without point i: its residual is [A^-1 z]_i / [A^-1]_ii and has the variance 1 / [A^-1]_ii.
    precision = np.diag(inverse)
    off = weighed / np.sqrt(precision)
    widening *= float(np.clip(np.sqrt(np.mean(off**2)), 1.0, _WIDEST))
    return Posterior(
        mean=known @ weighed,
        covariance=(spread - known @ inverse @ known.T) * widening**2,
        noise=float(np.median(noise)) + jitter,
        left_out=weighed / precision,
        theta=np.asarray(model.kernel_.theta),
    )


def best_next(
    state: Posterior,
    candidates: Indices,
    readings: Floats,
    count: int,
    enough: Callable[[Floats], bool] | None = None,
) -> list[int]:
    """Return up to `count` points to measure: each takes the most variance off the readings in all.

    A reading is a weighted sum of points, shape (readings, points). Where a point lies counts, not what it
    will say, so several can be chosen at once (Cohn 1996). Fewer are returned when `enough` says so of the
    deviations that they would leave in the readings.
    """
    covariance = state.covariance.copy()
    chosen: list[int] = []
    for _ in range(min(count, len(candidates))):
        gain = ((readings @ covariance[:, candidates]) ** 2).sum(axis=0)
        gain /= np.diag(covariance)[candidates] + state.noise
        gain[np.isin(candidates, chosen)] = -1.0
        best = int(candidates[int(np.argmax(gain))])
        chosen.append(best)
        taken = covariance[:, best] / (covariance[best, best] + state.noise)
        covariance = covariance - np.outer(taken, covariance[best])
        if enough is not None and enough(spreads(readings, covariance)):
            break
    return chosen


def spreads(readings: Floats, covariance: Floats) -> Floats:
    """Return the standard deviation of each reading, a weighted sum of points, shape (readings,)."""
    variance = ((readings @ covariance) * readings).sum(axis=1)
    deviations: Floats = np.sqrt(np.maximum(variance, 0.0))
    return deviations


def non_negative(terms: Floats, target: Floats, scale: Floats, pull: float) -> Floats:
    """Solve least squares with coefficients of at least 0, each in its term's `scale` drawn to 0 by `pull`.

    A term that hardly shows in these rows is thereby not blown up where it does.
    """
    from scipy.optimize import nnls

    rows = np.vstack([terms / scale, np.eye(len(scale)) * pull])
    solved = nnls(rows, np.concatenate([target, np.zeros(len(scale))]))[0]
    result: Floats = solved / scale
    return result


def _kernel() -> Any:
    """Return the sum of the surface's parts (`k1`) and the jitter of its measurements (`k2`)."""
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

    bounds = (1e-9, 1e9)
    surface: Any = ConstantKernel(_LEVEL**2, "fixed")
    for size, lengths, smooth in _PARTS:
        shape = RBF(lengths, bounds) if smooth else Matern(lengths, bounds, nu=1.5)
        surface = surface + ConstantKernel(size**2, bounds) * shape
    return surface + WhiteKernel(_JITTER**2, bounds)


def _most_probable(middle: Floats) -> Callable[..., tuple[Floats, float]]:
    """Return an optimizer that adds log-normal priors around `middle` to the likelihood."""
    per_part = [_SIZE_SPREAD] + [_LENGTH_SPREAD] * 3
    spread = np.array(per_part * len(_PARTS) + [_SIZE_SPREAD])

    def run(loss: Callable[..., tuple[float, Floats]], start: Floats, bounds: Floats) -> tuple[Floats, float]:
        from scipy.optimize import minimize

        def penalised(theta: Floats) -> tuple[float, Floats]:
            value, slope = loss(theta, eval_gradient=True)
            away = (theta - middle) / spread
            return value + 0.5 * float(away @ away), slope + away / spread

        found = minimize(
            penalised, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS}
        )
        return found.x, float(found.fun)

    return run
