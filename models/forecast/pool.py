"""Blend the points of all models, weighted by what each would have saved, and give the blend its own bands.

Errors of models of different kinds partly cancel, so that the blend misses by less than its best part. Its
bands come from its own past errors, as those of any model do: averaging calibrated quantiles instead keeps a
spread that no longer exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.forecast.backtest import Backtest
from models.forecast.base import Fitted, steps_in
from models.forecast.conformal import Calibration, calibrate
from models.forecast.staged import latest
from models.forecast.weights import Savings, learn
from models.series import Floats, Series

NAME = "blend of all"
# Weights fit the days that they were learned on a little too well: the band over those days would be too
# narrow (0.873-0.909 covered at 0.9 on 13 cells of four real series). So the blend is issued there with
# weights that leave out the six hours around: 0.886-0.911.
APART_S = 21_600.0
# Below this weight at every horizon a model is not named.
LEAST_NAMED = 0.05


@dataclass(frozen=True, slots=True)
class Contender:
    """Pair a fitted model with its bands."""

    name: str
    model: Fitted
    bands: Calibration

    @property
    def issued(self) -> Floats:
        """Quantiles at the operating level as the backtest issued them, shape (origins, horizons)."""
        return self.bands.issued

    def lean(self) -> "Contender":
        """Return what a path is read from, without what only a backtest needs."""
        return Contender(self.name, latest(self.model), self.bands.lean())

    def quantiles(self, recent: Series, origin_s: float, horizons_s: Floats) -> Floats | None:
        """Return quantiles of shape (levels, horizons); `None` where the model cannot say."""
        point = self.model.predict(recent, np.array([origin_s]), horizons_s)[0]
        return self.bands.paths(point, horizons_s) if np.isfinite(point).all() else None


@dataclass(frozen=True, slots=True)
class Pool:
    """Hold models, their weights at the judged horizons, shape (members, horizons), and the blend's bands."""

    members: tuple[Contender, ...]
    weights: Floats
    bands: Calibration

    @property
    def name(self) -> str:
        """The name that reports show."""
        return NAME

    @property
    def issued(self) -> Floats:
        """Quantiles at the operating level as the backtest issued them, shape (origins, horizons)."""
        return self.bands.issued

    @property
    def shares(self) -> str:
        """The heaviest members with their mean weights over the horizons."""
        share = self.weights.mean(axis=1)
        order = [int(i) for i in np.argsort(-share, kind="stable") if share[i] >= LEAST_NAMED]
        return ", ".join(f"{self.members[i].name} {100 * share[i]:.0f}%" for i in order)

    def lean(self) -> "Pool":
        """Return what a path is read from: members that count, without what only a backtest needs."""
        counts = np.flatnonzero(self.weights.any(axis=1))
        members = tuple(self.members[int(i)].lean() for i in counts)
        return Pool(members, self.weights[counts], self.bands.lean())

    def quantiles(self, recent: Series, origin_s: float, horizons_s: Floats) -> Floats | None:
        """Return quantiles of shape (levels, horizons); `None` where none of the members can say."""
        total, mass = np.zeros(len(horizons_s)), np.zeros(len(horizons_s))
        origins_s = np.array([origin_s])
        for member, weights in zip(self.members, self.weights, strict=True):
            if not weights.any():
                continue
            point = member.model.predict(recent, origins_s, horizons_s)[0]
            if np.isfinite(point).all():
                weight = np.interp(horizons_s, self.bands.horizons_s, weights)
                total += weight * point
                mass += weight
        return self.bands.paths(total / mass, horizons_s) if (mass > 0).all() else None


def pool(
    contenders: Sequence[Contender],
    tests: Sequence[Backtest],
    levels: tuple[float, ...],
    operating: float,
    window: int,
) -> Pool:
    """Weigh contenders by the last `window` origins of their backtests, and calibrate what the blend said."""
    last, every_s = tests[0], tests[0].every_s
    lag = np.ceil(last.horizons_s / every_s - 1e-9).astype(np.intp)
    said = np.stack([contender.issued[-window:] for contender in contenders])
    savings = learn(said, last.actual[-window:], lag, operating)
    weights = savings.weights()
    blend = _blended([test.forecast for test in tests], savings, weights, steps_in(APART_S, every_s))
    bands = calibrate([replace(last, forecast=blend)], levels, operating, window)[0]
    return Pool(tuple(contenders), weights, bands)


def _blended(points: Sequence[Floats], savings: Savings, weights: Floats, apart: int) -> Floats:
    """Return the blend at every origin; `apart` origins at a time do not take part in their own weights."""
    every = np.stack(points, axis=1)
    first = len(every) - len(savings.saved)
    said = [_mean(every[:first], weights)]
    for begin in range(0, len(savings.saved), apart):
        rows = slice(begin, begin + apart)
        said.append(_mean(every[first:][rows], savings.weights(leave_out=rows)))
    return np.concatenate(said)


def _mean(points: Floats, weights: Floats) -> Floats:
    """Return the weighted mean over the models that can say, of points of shape (rows, models, horizons)."""
    weight = np.where(np.isfinite(points), weights, 0.0)
    mass = weight.sum(axis=1)
    total = (weight * np.nan_to_num(points)).sum(axis=1)
    return np.where(mass > 0, total / np.where(mass > 0, mass, 1.0), np.nan)
