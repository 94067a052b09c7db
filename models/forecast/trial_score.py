"""Score forecasts by what came: pinball loss and coverage of a quantile, WAPE and MASE of its median."""

from dataclasses import dataclass

import numpy as np

from models.forecast.backtest import pinball
from models.forecast.trial_roll import Lived, Said
from models.series import Flags, Floats, Series

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Score:
    """Hold one forecaster's figures at one horizon, over the origins that were scored.

    `pinball` is in the unit of the series. `None` where nothing could be scored, or all demand was zero.
    `answered` is the share of the origins at which the model itself answered, and not the last value for it.
    """

    model: str
    pinball: float | None
    coverage: float | None
    wape: float | None
    mase: float | None
    answered: float
    fit_s: float
    predict_s: float


@dataclass(frozen=True, slots=True)
class Scale:
    """Hold what a MASE of one means: the mean absolute error of a naive forecast, and of which."""

    error: float
    naive: str


def scored(lived: Lived) -> Flags:
    """Return where forecasters are compared: all of them spoke, and the outcome is known.

    After an hour without measurements the season may still speak, where the last value does not.
    """
    spoke = [np.isfinite(said.high) for said in (lived.selected, *lived.models.values())]
    return np.asarray(np.all([*spoke, np.isfinite(lived.actual)], axis=0), dtype=np.bool_)


def score(
    model: str, said: Said, actual: Floats, rows: Flags, column: int, level: float, scale: Scale
) -> Score:
    """Score one horizon on the origins `rows`; `actual` has the shape (origins, horizons)."""
    came, high, middle = actual[rows, column], said.high[rows, column], said.middle[rows, column]
    total = float(np.abs(came).sum())
    missed = np.abs(came - middle)
    return Score(
        model=model,
        pinball=float(pinball(came, high, level).mean()) if came.size else None,
        # The addend forgives binary noise where a forecast is exact.
        coverage=float((came <= high + 1e-9 * np.abs(high)).mean()) if came.size else None,
        wape=float(missed.sum()) / total if total > 0 else None,
        mase=float(missed.mean()) / scale.error if came.size and scale.error > 0 else None,
        answered=float(said.own[rows].mean()) if came.size else 0.0,
        fit_s=said.fit_s,
        predict_s=said.path_s,
    )


def scale_of(train: Series) -> Scale:
    """Return the scale of the MASE (Hyndman & Koehler 2006; Hyndman & Athanasopoulos, FPP3, 5.8).

    The mean absolute error, on the training data, of the value of a day before; of the step before where
    less than two days were measured.
    """
    for lag_s, least, naive in (
        (DAY_S, round(DAY_S / train.step_s), "value of a day before"),
        (train.step_s, 1, "step before"),
    ):
        lag = max(round(lag_s / train.step_s), 1)
        both = train.known[lag:] & train.known[:-lag]
        if both.sum() >= least:
            return Scale(float(np.abs(train.values[lag:] - train.values[:-lag])[both].mean()), naive)
    return Scale(0.0, "step before")
