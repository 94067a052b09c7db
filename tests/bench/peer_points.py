"""Have other forecasters say their points in their own environments, and give them bands as ours have.

What a peer says of a series is kept by the question, its script and its environment: the slow ones take an
hour of CPU, and say the same whatever ours say. Remove the folder `components.peer_points()` to ask anew.
"""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import pairwise
from math import gcd
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from models.forecast.backtest import Backtest, look_back, roll
from models.forecast.base import Fitted
from models.forecast.conformal import calibrate
from models.forecast.trial_roll import Lived
from models.policy import ForecastPolicy
from models.series import Floats, Series
from tests import components

HERE = Path(__file__).resolve().parent
# Dynamo's planner looks every three minutes unless told otherwise.
SHIPPED_S = 180.0
DYNAMO = ("constant", "kalman", "arima", "prophet")
STATSFORECAST = ("AutoETS", "AutoARIMA", "MSTL")
# A tenth of a second a forecast and more: asked from as many origins as a cell needs and not from all.
SLOW = frozenset({"arima", "prophet", "MSTL"})
ENOUGH_ORIGINS = 300
AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Peer:
    """Hold what one peer said: origins (m,) and the upper quantile of its band (m, horizons)."""

    name: str
    origins_s: Floats
    high: Floats


def peers(
    series: Series, lived: Lived, policy: ForecastPolicy, level: float, quick: bool = False
) -> list[Peer]:
    """Return every peer's quantiles over the origins that were lived through; those of slow ones over some.

    `quick` leaves the slow ones out.

    Each is asked from one calibration window before the first, so that its bands have errors to rest on.
    """
    every_s = float(lived.origins_s[1] - lived.origins_s[0])
    window = look_back(policy.calibration_s, every_s)
    begin_s = max(float(lived.origins_s[0]) - window * every_s, series.start_s + 4 * every_s)
    count = int((lived.origins_s[-1] - begin_s) / every_s + 1e-9)
    full_s = lived.origins_s[-1] - every_s * np.arange(count, -1, -1, dtype=np.float64)
    thin = max(len(lived.origins_s) // ENOUGH_ORIGINS, 1)
    few_s = full_s[np.rint((full_s - series.start_s) / every_s).astype(np.intp) % thin == 0]
    found = []
    for origins_s, share, slow in ((full_s, 1, False), (few_s, thin, True))[: 1 if quick else 2]:
        points = _points(series, lived.horizons_s, origins_s, slow)
        issued = _banded(points, series, lived, origins_s, window // share, level)
        found += [Peer(name, origins_s, high) for name, high in issued.items()]
    return found


def _points(series: Series, horizons_s: Floats, origins_s: Floats, slow: bool) -> dict[str, Floats]:
    """Return point forecasts (origins, horizons) by name; Dynamo's predictors in both intervals."""
    shipped_s = max(SHIPPED_S, series.step_s)
    jobs = [(n, components.dynamo(), "peers_dynamo.py") for n in DYNAMO if (n in SLOW) == slow]
    jobs += [(n, components.peers(), "peers_statsforecast.py") for n in STATSFORECAST if (n in SLOW) == slow]
    question = {
        "values": _held(series),
        "step_s": np.array(series.step_s),
        "start_s": np.array(series.start_s),
        "origins_s": origins_s,
        "horizons_s": horizons_s,
        "intervals_s": np.array([shipped_s, *horizons_s]),
        "bin_s": np.array(float(gcd(*(round(h) for h in horizons_s)))),
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda j: _answer(j[1], j[2], question, j[0]), jobs))
    found = {}
    for (name, _, script), answer in zip(jobs, answers, strict=True):
        if script == "peers_dynamo.py":
            found[f"{name}, shipped"] = np.repeat(answer[:, :1], len(horizons_s), axis=1)
            found[f"{name}, at horizon"] = answer[:, 1:]
        else:
            found[name] = answer
    return found


def _answer(python: Path, script: str, question: Mapping[str, Floats], name: str) -> Floats:
    """Return what a peer says, kept from the last time that it was asked the same."""
    digest = blake2b((HERE / script).read_bytes() + name.encode(), digest_size=16)
    digest.update((python.parent.parent / "pins.txt").read_bytes())
    for key, value in question.items():
        digest.update(key.encode() + np.asarray(value, dtype=np.float64).tobytes())
    kept = components.peer_points() / f"{name}-{digest.hexdigest()}.npy"
    if not kept.is_file():
        with TemporaryDirectory() as folder:
            job, out = Path(folder) / "job.npz", Path(folder) / "out.npy"
            np.savez(job, allow_pickle=False, **question)
            command = [str(python), str(HERE / script), str(job), name, str(out)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(out, kept)
    answer: Floats = np.load(kept)
    return answer


def _held(series: Series) -> Floats:
    """Return the values with each gap holding the value before it: Dynamo would read it as zero."""
    at = np.maximum.accumulate(np.where(series.known, np.arange(len(series)), -1))
    first = series.values[np.flatnonzero(series.known)[0]]
    return np.where(at >= 0, series.values[np.maximum(at, 0)], first)


def _banded(
    points: Mapping[str, Floats], series: Series, lived: Lived, origins_s: Floats, window: int, level: float
) -> dict[str, Floats]:
    """Return the quantile at `level` of each, with bands renewed when our models were fitted."""
    horizons_s = lived.horizons_s
    high = {name: np.full(said.shape, np.nan) for name, said in points.items()}
    tests = [roll(_Spoken(origins_s, said), series, origins_s, horizons_s) for said in points.values()]
    for at_s, until_s in _stretches(lived):
        seen = np.flatnonzero(origins_s <= at_s)[-2 * window :]
        asked = np.flatnonzero((origins_s >= at_s) & (origins_s < until_s))
        if not asked.size:
            continue
        bands = calibrate([_until(test, seen, at_s) for test in tests], (level,), level, window)
        for (name, said), band in zip(points.items(), bands, strict=True):
            for i in asked[np.isfinite(said[asked]).all(axis=1)]:
                high[name][i] = band.paths(said[i], horizons_s)[0]
    return high


def _stretches(lived: Lived) -> Iterator[tuple[float, float]]:
    return pairwise([*(fit.at_s for fit in lived.fits), np.inf])


def _until(
    test: Backtest, rows: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.intp]], at_s: float
) -> Backtest:
    """Return some rows of a backtest as they were known at a time."""
    origins_s = test.origins_s[rows]
    known = origins_s[:, None] + test.horizons_s <= at_s
    return replace(
        test,
        origins_s=origins_s,
        forecast=test.forecast[rows],
        actual=np.where(known, test.actual[rows], np.nan),
    )


@dataclass(frozen=True, slots=True)
class _Spoken(Fitted):
    """Say what was said elsewhere."""

    origins_s: Floats
    points: Floats

    def predict(self, recent: Series, origins_s: Floats, horizons_s: Floats) -> Floats:
        """Return the points of the origins asked for."""
        return self.points[np.searchsorted(self.origins_s, origins_s)]
