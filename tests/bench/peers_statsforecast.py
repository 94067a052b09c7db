"""Ask statsforecast's automatic models for point forecasts; run by the Python of an environment of their own.

    python peers_statsforecast.py JOB.npz MODEL OUT.npy

JOB holds `values` (n,), one per step of `step_s` from `start_s` on, `origins_s` (m,), `horizons_s` (h,) and
`bin_s`, a divisor of every horizon: the model sees means of that length. OUT becomes the forecasts (m, h) of
the bin that ends at each horizon. The model is estimated anew every REFIT_S on the last FIT_S, and between
takes in what was measured since with the same parameters (`forward`).
"""

import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAY_S = 86_400.0
REFIT_S = 2 * DAY_S
FIT_S = 14 * DAY_S
# Exponential smoothing knows no longer season, and a seasonal ARIMA of a longer one takes hours.
LONGEST_SEASON = 24


def main(job_path: str, name: str, out_path: str) -> None:
    """Write the forecasts of one model."""
    warnings.filterwarnings("ignore")
    job = np.load(job_path)
    start_s, bin_s, origins_s = float(job["start_s"]), float(job["bin_s"]), job["origins_s"]
    steps = round(bin_s / float(job["step_s"]))
    # Bins end at origins.
    first = round((origins_s[0] - start_s) / float(job["step_s"])) % steps
    whole = (len(job["values"]) - first) // steps
    means = job["values"][first : first + whole * steps].reshape(whole, steps).mean(axis=1)
    begin_s = start_s + first * float(job["step_s"])
    ahead = np.rint(job["horizons_s"] / bin_s).astype(np.intp)
    said = np.full((len(origins_s), len(ahead)), np.nan)
    model, fitted_at_s = None, -np.inf
    for i, origin_s in enumerate(origins_s):
        end = round((origin_s - begin_s) / bin_s)
        seen = means[max(end - round(FIT_S / bin_s), 0) : end].astype(np.float64)
        if model is None or origin_s - fitted_at_s >= REFIT_S:
            model, fitted_at_s = made(name, bin_s, len(seen)).fit(seen), origin_s
        said[i] = np.maximum(model.forward(seen, h=int(ahead.max()))["mean"][ahead - 1], 0.0)
    np.save(out_path, said)


def made(name: str, bin_s: float, points: int) -> Any:
    """Make a model that knows the day, as far as it can, and the week where two of them were measured."""
    from statsforecast.models import MSTL, AutoARIMA, AutoETS  # type: ignore[import-not-found]

    day = round(DAY_S / bin_s)
    season = day if day <= LONGEST_SEASON and points >= 2 * day else 1
    if name == "AutoETS":
        return AutoETS(season_length=season)
    if name == "AutoARIMA":
        return AutoARIMA(season_length=season, approximation=True)
    if points < 2 * day + 1:
        return AutoETS(season_length=1)
    seasons = [day, 7 * day] if points >= 14 * day else [day]
    return MSTL(season_length=seasons, trend_forecaster=AutoETS(model="ZZN"))


if __name__ == "__main__":
    main(*sys.argv[1:])
