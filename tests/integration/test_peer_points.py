"""The peers of the benchmark are asked fairly: at the right time, of the right data, without the future."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from models.series import Floats
from tests import components
from tests.demand import diurnal

pytestmark = [pytest.mark.integration, pytest.mark.slow]

BENCH = components.REPOSITORY / "tests" / "bench"
ORIGINS_S = 3600.0 * np.arange(50.0, 60.0)
HORIZONS_S = np.array([3600.0, 7200.0])


def said(folder: Path, python: Path, script: str, name: str, values: Floats, **job: object) -> Floats:
    path, out = folder / "job.npz", folder / "out.npy"
    whole = {"values": values, "step_s": 60.0, "start_s": 0.0, "origins_s": ORIGINS_S, **job}
    np.savez(path, allow_pickle=False, **{key: np.asarray(value) for key, value in whole.items()})
    command = [str(python), str(BENCH / script), str(path), name, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    answer: Floats = np.load(out)
    return answer


@pytest.fixture(scope="module")
def minutes() -> Floats:
    return diurnal(4).values.copy()


def test_dynamos_constant_is_the_mean_of_the_interval_that_ends_at_the_origin(
    minutes: Floats, tmp_path: Path
) -> None:
    intervals_s = np.array([180.0, 3600.0, 7200.0])

    found = said(
        tmp_path, components.dynamo(), "peers_dynamo.py", "constant", minutes, intervals_s=intervals_s
    )

    for i, origin_s in enumerate(ORIGINS_S):
        end = round(origin_s / 60)
        expected = [minutes[end - round(length_s / 60) : end].mean() for length_s in intervals_s]
        assert found[i] == pytest.approx(expected)


@pytest.mark.parametrize("predictor", ["kalman", "prophet"])
def test_dynamos_predictors_know_nothing_of_the_future(
    predictor: str, minutes: Floats, tmp_path: Path
) -> None:
    intervals_s = np.array([3600.0])
    other = minutes.copy()
    other[round(ORIGINS_S[5] / 60) :] *= 5

    as_was, as_might = (
        said(tmp_path, components.dynamo(), "peers_dynamo.py", predictor, values, intervals_s=intervals_s)
        for values in (minutes, other)
    )

    assert np.array_equal(as_was[:6], as_might[:6])
    assert (as_was[6:] != as_might[6:]).all()


@pytest.mark.parametrize("model", ["AutoETS", "MSTL"])
def test_statsforecasts_models_know_nothing_of_the_future(
    model: str, minutes: Floats, tmp_path: Path
) -> None:
    other = minutes.copy()
    other[round(ORIGINS_S[5] / 60) :] *= 5
    job = {"horizons_s": HORIZONS_S, "bin_s": 3600.0}

    as_was, as_might = (
        said(tmp_path, components.peers(), "peers_statsforecast.py", model, values, **job)
        for values in (minutes, other)
    )

    assert np.array_equal(as_was[:6], as_might[:6])
    assert (as_was[6:] != as_might[6:]).all()
    # Smooth traffic that turns once a day: within a third of what came, an hour ahead.
    came = minutes.reshape(-1, 60).mean(axis=1)[50:60]
    assert np.abs(as_was[:, 0] / came - 1).max() < 1 / 3
