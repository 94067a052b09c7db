"""Fit a slow model a few times a day, and answer every origin from the latest fit before it.

A backtest would fit a fast model at each origin; a model that takes a second is fitted at midnight UTC of
each day of the backtest, and at the latest quarter of a day for what comes now. So an origin is never
answered by a fit that has seen its future, a forecast is at most six hours of learning old, and a restart
fits the same models on the same data.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from models.forecast.base import Fitted, Forecaster, NotYet
from models.forecast.threads import one_thread
from models.series import Floats, Series

FRESH_S = 21_600.0
EVERY_S = 86_400.0
# Three weeks: every weekday thrice, and short enough that a history of four weeks holds as much for each day
# of the backtest.
LEARN_S = 21 * 86_400.0


class Memory:
    """Remember fits by what they were fitted to, so that each is made once.

    It changes no result. One per signal and process: it is not shared between threads.
    """

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._now: dict[bytes, Fitted | NotYet] = {}
        self._before: dict[bytes, Fitted | NotYet] = {}
        self.fits = 0

    def recall(self, model: Forecaster, series: Series) -> Fitted | NotYet:
        """Return the fit of a model to a series, made now if it was not made before."""
        key = _digest(model, series)
        made = self._now.get(key) or self._before.get(key)
        if made is None:
            with one_thread():
                made = model.fit(series)
            self.fits += 1
        self._now[key] = made
        return made

    def turn(self) -> None:
        """Forget what was not asked for since the last turn: call it before each fit of the signal."""
        self._before, self._now = self._now, {}


@dataclass(frozen=True, slots=True)
class Staged:
    """Make a forecaster out of a slow one; `back_s` is how far before its end a fit is asked."""

    model: Forecaster
    back_s: float
    memory: Memory
    learn_s: float = LEARN_S

    @property
    def name(self) -> str:
        """The name that reports show."""
        return self.model.name

    def fit(self, series: Series) -> Fitted | NotYet:
        """Fit at each stage to what came before it; refuse what the latest stage refuses."""
        known = np.flatnonzero(series.known)
        if not known.size:
            return NotYet("no demand was measured yet")
        first_s = series.start_s + series.step_s * int(known[0])
        stages, fits = [], []
        for stage_s in _stages(series.end_s, self.back_s):
            made = self.memory.recall(
                self.model, series.window(max(stage_s - self.learn_s, first_s), stage_s)
            )
            if not isinstance(made, NotYet):
                stages.append(stage_s)
                fits.append(made)
            elif not fits:
                return made
            else:
                break
        return _Stages(np.array(stages[::-1]), tuple(fits[::-1]))


@dataclass(frozen=True, slots=True)
class _Stages:
    """Hold fits by the moment up to which each has learned, rising."""

    until_s: Floats
    fits: tuple[Fitted, ...]

    def predict(self, recent: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
        """Ask for each origin the latest fit that has not seen past it; NaN before the first."""
        stage = np.searchsorted(self.until_s, origins_s + 1e-6, side="right") - 1
        out = np.full((len(origins_s), len(horizons_s)), np.nan)
        for i in np.unique(stage[stage >= 0]):
            rows = stage == i
            out[rows] = self.fits[i].predict(recent, origins_s[rows], horizons_s)
        return out


def latest(model: Fitted) -> Fitted:
    """Return a model without the stages that only a backtest asks; the last two answer from now on.

    The one before the last is for origins before a window in which nothing could be measured.
    """
    return _Stages(model.until_s[-2:], model.fits[-2:]) if isinstance(model, _Stages) else model


def _stages(end_s: float, back_s: float) -> list[float]:
    """Return the moments at which models are fitted, latest first."""
    latest = FRESH_S * float(np.floor(end_s / FRESH_S + 1e-9))
    midnight = EVERY_S * float(np.floor((latest - 1.0) / EVERY_S))
    days = int(np.ceil(max(back_s - (end_s - midnight), 0.0) / EVERY_S)) + 1
    return [latest, *(midnight - EVERY_S * i for i in range(days))]


def _digest(model: Forecaster, series: Series) -> bytes:
    said = f"{model!r} {series.start_s!r} {series.step_s!r} {len(series)}".encode()
    return blake2b(said + series.values.tobytes() + series.known.tobytes(), digest_size=16).digest()
