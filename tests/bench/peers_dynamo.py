"""Ask Dynamo's load predictors for point forecasts; run by the Python of Dynamo's environment.

    python peers_dynamo.py JOB.npz PREDICTOR OUT.npy

JOB holds `values` (n,), one per step of `step_s` from `start_s` on, `origins_s` (m,), and `intervals_s` (h,):
the throughput adjustment interval that each column is made with. OUT becomes the predictions (m, h): what
`predict_next()` says after the interval that ends at the origin. Intervals that are equal are computed once.

As shipped, but for one thing: ARIMA estimates its parameters anew once a day, not at every prediction, which
takes 0.3 s with a thousand points. In between it takes in what was measured with the parameters that it has.
"""

import logging
import sys
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAY_S = 86_400.0
# What a deployment is warmed with before its first prediction. As shipped ARIMA chooses its order on five
# points; on 200 that takes seconds, on 700 a minute, and each phase of an interval has a planner of its own.
MOST_WARM_POINTS = 200


def main(job_path: str, predictor: str, out_path: str) -> None:
    """Write the predictions of one predictor."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    job = np.load(job_path)
    step_s, start_s, origins_s = float(job["step_s"]), float(job["start_s"]), job["origins_s"]
    columns: dict[float, Floats] = {}
    for interval_s in sorted(set(job["intervals_s"].tolist())):
        column = np.full(len(origins_s), np.nan)
        # An interval ends at each origin: origins in another phase of it need a planner of their own.
        phases = np.round((origins_s - start_s) % interval_s, 6)
        for phase_s in np.unique(phases):
            mine = np.flatnonzero(phases == phase_s)
            points, ends_s = binned(job["values"], start_s, step_s, interval_s, start_s + float(phase_s))
            wanted = np.searchsorted(ends_s, origins_s[mine] - 1e-6)
            column[mine] = lived(predictor, interval_s, points, wanted)
        columns[interval_s] = column
    np.save(out_path, np.stack([columns[i] for i in job["intervals_s"].tolist()], axis=1))


def binned(
    values: Floats, start_s: float, step_s: float, interval_s: float, phase_s: float
) -> tuple[Floats, Floats]:
    """Return the means of consecutive intervals and the moments at which they end."""
    steps = round(interval_s / step_s)
    first = round((phase_s - start_s) / step_s) % steps
    whole = (len(values) - first) // steps
    means = values[first : first + whole * steps].reshape(whole, steps).mean(axis=1)
    ends_s = start_s + (first + steps * np.arange(1, whole + 1, dtype=np.float64)) * step_s
    return np.asarray(means, dtype=np.float64), ends_s


def lived(predictor: str, interval_s: float, points: Floats, wanted: NDArray[np.intp]) -> Floats:
    """Feed every point in turn, and predict after those that are wanted; warmed with what came before."""
    from dynamo.planner.config.defaults import SLAPlannerDefaults  # type: ignore[import-not-found]
    from dynamo.planner.core.load.predictors import LOAD_PREDICTORS  # type: ignore[import-not-found]

    # The settings that the predictors read, as shipped but for the interval.
    shipped: Any = SLAPlannerDefaults
    config: Any = SimpleNamespace(
        load_predictor_log1p=shipped.load_predictor_log1p,
        prophet_window_size=shipped.prophet_window_size,
        throughput_adjustment_interval_seconds=interval_s,
        kalman_q_level=shipped.kalman_q_level,
        kalman_q_trend=shipped.kalman_q_trend,
        kalman_r=shipped.kalman_r,
        kalman_min_points=shipped.kalman_min_points,
    )
    model = LOAD_PREDICTORS[predictor](config)
    said = np.full(len(wanted), np.nan)
    a_day = max(round(DAY_S / interval_s), 1)
    asked = {int(point): i for i, point in enumerate(wanted) if point < len(points)}
    first = max(min(asked, default=0) - MOST_WARM_POINTS, 0)
    for point in range(first, max(asked, default=-1) + 1):
        model.add_data_point(float(points[point]))
        if point in asked:
            said[asked[point]] = model.predict_next()
            if predictor == "arima" and model.model is not None and not hasattr(model.model, "is_thrifty"):
                _estimate_every(model.model, a_day)
    return said


def _estimate_every(arima: Any, points: int) -> None:
    """Let a fitted pmdarima model estimate its parameters only once in so many new points."""
    estimate, taken = arima.update, 0

    def update(new: list[float]) -> Any:
        nonlocal taken
        taken += len(new)
        if taken >= points:
            taken = 0
            return estimate(new)
        arima.arima_res_ = arima.arima_res_.append(np.asarray(new), refit=False)
        return arima

    arima.update, arima.is_thrifty = update, True


if __name__ == "__main__":
    main(*sys.argv[1:])
