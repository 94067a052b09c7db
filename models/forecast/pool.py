"""Blend the calibrated quantiles of all models, weighted by what each has lost lately, horizon by horizon.

Averaging quantiles keeps their spread (Lichtendahl, Grushka-Cockayne & Winkler 2013), and the errors of
models of different kinds partly cancel. The weight of a model is its loss over that of the best to
the power of -POWER: one that loses a tenth more counts for a tenth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.forecast.base import Fitted
from models.forecast.conformal import Calibration
from models.forecast.staged import latest
from models.series import Floats, Series

# At 0 all weigh the same, at infinity the best alone counts. At 0, 4, 8, 16, 24 and 32 the blend lost 1.41,
# 1.00, 0.97, 0.97, 0.97 and 0.98 times what the best model in hindsight did, on 14 horizons of four real
# series, and on the worst of them 2.36, 1.18, 1.06, 1.034, 1.031 and 1.035 times.
POWER = 24.0
NAME = "blend by loss"
# Below this share of the heaviest a model is not asked.
LEAST_WEIGHT = 0.05
# Losses of a model that has been judged so rarely say nothing; until all have been, all weigh the same.
LEAST_JUDGED = 24


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
    """Hold contenders and their weights at the judged horizons, shape (contenders, horizons)."""

    members: tuple[Contender, ...]
    weights: Floats
    horizons_s: Floats
    issued: Floats

    @property
    def name(self) -> str:
        """The name that reports show."""
        return NAME

    @property
    def shares(self) -> str:
        """The heaviest members with their mean weights over the horizons."""
        share = self.weights.mean(axis=1)
        order = [int(i) for i in np.argsort(-share, kind="stable") if share[i] >= LEAST_WEIGHT]
        return ", ".join(f"{self.members[i].name} {100 * share[i]:.0f}%" for i in order)

    def lean(self) -> "Pool":
        """Return what a path is read from: members that count, without what only a backtest needs."""
        counts = np.flatnonzero(self.weights.any(axis=1))
        members = tuple(self.members[int(i)].lean() for i in counts)
        return Pool(members, self.weights[counts], self.horizons_s, self.issued[:0])

    def quantiles(self, recent: Series, origin_s: float, horizons_s: Floats) -> Floats | None:
        """Return the weighted mean of what the members say; `None` where none of them can say."""
        total: Floats | None = None
        mass = np.zeros(len(horizons_s))
        for member, weights in zip(self.members, self.weights, strict=True):
            weight = np.interp(horizons_s, self.horizons_s, weights)
            said = member.quantiles(recent, origin_s, horizons_s) if weight.any() else None
            if said is not None:
                total = weight * said if total is None else total + weight * said
                mass += weight
        return None if total is None or (mass <= 0).any() else np.asarray(total / mass)


def pool(contenders: Sequence[Contender], loss: Floats, every_s: float) -> Pool:
    """Weigh contenders by `loss`, shape (contenders, origins, horizons) for the last origins of the backtest.

    The blend's own past is issued with the weights of its time, known at each origin from what was measured.
    """
    horizons_s = contenders[0].bands.horizons_s
    rows = loss.shape[1]
    lag = np.ceil(horizons_s / every_s - 1e-9).astype(np.intp)
    # Compared only where all could be judged; a model that is young waits.
    judged = np.asarray(~np.isnan(loss).any(axis=0))
    total = _running(np.where(judged, loss, 0.0))
    count = _running(judged[None].astype(np.float64))[0]
    until = np.clip(np.arange(rows)[:, None] - lag + 1, 0, rows)
    columns = np.arange(len(horizons_s))
    weights = _weights(total[:, until, columns], count[until, columns])
    said = np.stack([contender.issued[-rows:] for contender in contenders])
    # A blend of equal parts, before anything was compared, is not what is judged.
    mass = np.where(np.isnan(said) | (count[until, columns] < LEAST_JUDGED), 0.0, weights)
    with np.errstate(invalid="ignore"):
        issued = (mass * np.nan_to_num(said)).sum(axis=0) / mass.sum(axis=0)
    return Pool(tuple(contenders), weights[:, -1], horizons_s, issued)


def _weights(total: Floats, count: Floats) -> Floats:
    """Return weights that add up to 1 over the models, shape (models, rows, horizons)."""
    tiny = 1e-12 + 1e-9 * total.max(axis=0)
    weight = ((total + tiny) / (total.min(axis=0) + tiny)) ** -POWER
    weight = np.where(weight < LEAST_WEIGHT, 0.0, weight)
    weight = np.where(count < LEAST_JUDGED, 1.0, weight)
    return np.asarray(weight / weight.sum(axis=0))


def _running(amounts: Floats) -> Floats:
    zero = np.zeros((amounts.shape[0], 1, amounts.shape[2]))
    return np.concatenate((zero, np.cumsum(amounts, axis=1)), axis=1)
