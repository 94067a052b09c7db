"""Measure the points that tell most, and stop when the surface is known as well as was asked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from models.artifact import MeasuredPoint
from models.monotone import never_falling
from models.scattered import Sampled
from models.surface import Surface
from profiler.fitting import DECIMALS, FEWEST_POINTS
from profiler.measure.backend import Measurement, Replica, SweepPoint
from profiler.sampling.focus import Reading, rows
from profiler.sampling.gaussian import Posterior, best_next, non_negative, posterior, prior, spreads
from profiler.sampling.points import Points
from profiler.sampling.trend import fitted
from profiler.tasks import Ask, Grid, IsLost, Lost

Floats = NDArray[np.float64]
Read = Callable[[Grid, Replica, Surface], tuple[Reading, ...]]
Enough = Callable[[Floats], bool]

# Half-width of a 95 % interval in standard deviations.
TWO_SIDED_95 = NormalDist().inv_cdf(0.975)
# Points measured before the first fit, as a share of the grid and at least.
_SEED_RATIO, _SEED_POINTS = 0.1, 8
# So many points may be measured of any grid, however small.
_ALWAYS_POINTS = 24
# So many more where they decide between layouts.
_DECISIVE_POINTS = 6
# Points chosen between two fits, at least and as a share of those measured: a fit takes some 50 ms.
_POINTS_PER_FIT, _GROWTH_RATIO = 4, 0.2
# Measuring stops at this share of the asked error: the quantile of the true errors lies above the one that
# the posterior foretells. Fitted on the layouts of `tests.bench sampling`.
_STOP_RATIO = 0.95
# Weak enough to move no coefficient that the points determine: shares of the time per point.
_PULL = 1e-3
# Quantiles of the distance from the mean of a normal distribution, evenly spaced in probability.
_LEVELS = np.array([abs(NormalDist().inv_cdf((i + 0.5) / 400)) for i in range(400)])


@dataclass(frozen=True, slots=True)
class Aim:
    """Say how well a surface is to be known: the `quantile` of the relative errors over its grid.

    What decides between layouts is to be known to `reading_error_ratio`, the half-width of its 95 % interval.
    At most `most_points_ratio` of the grid's points are measured (24 of a small grid).
    """

    error_ratio: float = 0.05
    quantile: float = 0.95
    most_points_ratio: float = 0.22
    reading_error_ratio: float = 0.03

    def __post_init__(self) -> None:
        """Refuse aims that no measuring reaches."""
        if not 0.0 < self.error_ratio < 1.0:
            raise ValueError(f"error_ratio must lie between 0 and 1, got {self.error_ratio}")
        if not 0.0 < self.reading_error_ratio < 1.0:
            raise ValueError(f"reading_error_ratio must lie between 0 and 1, got {self.reading_error_ratio}")
        if not 0.0 < self.quantile < 1.0 or not 0.0 < self.most_points_ratio <= 1.0:
            raise ValueError("quantile and most_points_ratio must lie between 0 and 1")


def _nothing(grid: Grid, replica: Replica, surface: Surface) -> tuple[Reading, ...]:
    """Read nothing apart from the grid as a whole."""
    return ()


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Sample a grid where it tells most: a Gaussian process around what times add up from.

    `focus` names the readings that decide between layouts; see `profiler.sampling.focus.Focus`.
    """

    aim: Aim = field(default_factory=Aim)
    focus: Read = _nothing

    def __call__(self, grid: Grid, ask: Ask, replica: Replica, lost: IsLost) -> Sampled | Lost:
        """Measure through `ask` what the surface takes, at each point at most once.

        First until the grid as a whole is known as asked, then until what decides is, in a few points more.
        Points that the replica's KV cache does not hold are not asked for; what is refused is left out.
        `lost` is asked at every fit. Raises ValueError when too few points could be measured.
        """
        run = _Run(grid, ask, replica)
        most = max(int(self.aim.most_points_ratio * grid.size), _ALWAYS_POINTS)
        run.measure(run.seeds(), most)
        while True:
            found = run.fit()
            reason = lost(found.surface)
            if reason is not None:
                return Lost(reason)
            if not self._near(spreads(run.wanted, found.state.covariance)) and run.measure(
                run.next(found.state, run.wanted, self._near), most
            ):
                continue
            decisive = rows(self.focus(grid, replica, found.surface), found.surface)
            if self._sure(spreads(decisive, found.state.covariance)) or not run.measure(
                run.next(found.state, decisive, self._sure), most + _DECISIVE_POINTS
            ):
                return Sampled(found.surface, run.points(found.surface))

    def _sure(self, deviations: Floats) -> bool:
        """Whether readings known with these standard deviations are known well enough."""
        return bool((TWO_SIDED_95 * deviations <= self.aim.reading_error_ratio).all())

    def _near(self, deviations: Floats) -> bool:
        """Whether points known with these standard deviations are known well enough."""
        error = float(np.quantile(np.outer(_LEVELS, deviations), self.aim.quantile))
        return error <= self.aim.error_ratio * _STOP_RATIO


@dataclass(frozen=True, slots=True)
class _Fitted:
    surface: Surface
    state: Posterior


class _Run:
    """Hold one grid while it is being measured."""

    def __init__(self, grid: Grid, ask: Ask, replica: Replica) -> None:
        self._grid, self._ask, self._replica = grid, ask, replica
        self._points = Points.of(grid, replica)
        self._coordinates = self._points.coordinates()
        self._open = {int(i) for i in np.flatnonzero(self._points.held)}
        self._results: dict[int, Measurement] = {}
        self._theta: Floats | None = None

    @property
    def wanted(self) -> Floats:
        """The points whose times are to be known, a row each: all that are held, but those refused."""
        return np.eye(self._grid.size)[sorted(self._open | set(self._results))]

    def seeds(self) -> list[int]:
        """Return the first points: as many rows and columns as possible, chosen by the prior alone."""
        count = max(_SEED_POINTS, int(_SEED_RATIO * self._grid.size))
        return self._best(prior(self._coordinates), self.wanted, count)

    def next(self, state: Posterior, readings: Floats, enough: Enough) -> list[int]:
        """Return the points that tell most of readings, no more than are thought to be `enough`."""
        count = max(_POINTS_PER_FIT, int(_GROWTH_RATIO * len(self._results)))
        return self._best(state, readings, count, enough)

    def measure(self, chosen: list[int], most: int) -> bool:
        """Measure points, and others in the place of those refused; say whether any was added."""
        before = len(self._results)
        for index in chosen:
            if len(self._results) >= most:
                break
            self._open.discard(index)
            result = self._ask(self._point(index))
            if isinstance(result, Measurement):
                self._results[index] = result
        if len(self._results) > before or not self._open or len(self._results) >= most:
            return len(self._results) > before
        return self.measure(self._best(prior(self._coordinates), self.wanted, len(chosen)), most)

    def fit(self) -> _Fitted:
        """Fit what was measured; raises ValueError when that is too little."""
        if len(self._results) < FEWEST_POINTS:
            raise ValueError(
                f"{len(self._results)} of {self._grid.size} points could be measured: too few for a surface"
            )
        measured = np.array(list(self._results), dtype=np.intp)
        seconds = np.array([r.seconds for r in self._results.values()])
        errors = np.array([r.error_s for r in self._results.values()]) / seconds / TWO_SIDED_95
        pull = _PULL * float(np.sqrt(len(seconds)))
        trend = fitted(
            self._points.terms(),
            self._points.host_terms(),
            measured,
            seconds,
            partial(non_negative, pull=pull),
        )
        # Residuals of a fitted trend are smaller than its errors elsewhere, by its degrees of freedom.
        freedom = len(seconds) / max(len(seconds) - trend.coefficients, 1)
        state = posterior(
            self._coordinates,
            measured,
            np.log(seconds / trend.seconds[measured]),
            errors**2,
            widening=float(np.sqrt(freedom)),
            start=self._theta,
        )
        self._theta = state.theta
        return _Fitted(self._surface(trend.seconds * np.exp(state.mean), state), state)

    def points(self, surface: Surface) -> tuple[MeasuredPoint, ...]:
        """Return what was measured, with what the surface makes of it."""
        return tuple(
            result.at(self._point(index)).against(surface) for index, result in sorted(self._results.items())
        )

    def _point(self, index: int) -> SweepPoint:
        return self._grid.point(float(self._points.tokens[index]), float(self._points.batches[index]))

    def _best(
        self, state: Posterior, readings: Floats, count: int, enough: Enough | None = None
    ) -> list[int]:
        candidates = np.array(sorted(self._open), dtype=np.intp)
        return best_next(state, candidates, readings, count, enough)

    def _surface(self, seconds: Floats, state: Posterior) -> Surface:
        shape = len(self._grid.tokens), len(self._grid.batches)
        smooth = never_falling(seconds.reshape(shape))
        smooth = np.maximum(np.round(smooth, DECIMALS), 10.0**-DECIMALS)
        band = np.expm1(TWO_SIDED_95 * state.deviation).reshape(shape)
        return Surface(
            self._grid.tokens,
            self._grid.batches,
            tuple(tuple(float(v) for v in row) for row in smooth),
            float(np.mean(np.abs(np.expm1(-state.left_out)))),
            tuple(tuple(round(float(b), 4) for b in row) for row in band),
            dict(self._replica.bounds).get(self._grid.phase),
        )
