"""Hold Prophet to silence, to leaving no files behind, and to an answer where its optimiser cannot run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.calendar import Calendar
from models.forecast.base import NotYet
from models.forecast.prophet import ProphetModel
from tests.components import REPOSITORY
from tests.demand import DAY_S, diurnal

FIT = """
from models.forecast.prophet import ProphetModel
from models.calendar import Calendar
from tests.demand import diurnal
import os, tempfile
made = ProphetModel(Calendar("Europe/Berlin", ("DE",))).fit(diurnal(10).resample(900.0))
left = [name for _, _, names in os.walk(tempfile.gettempdir()) for name in names]
assert not left, left
assert made.shape.values.min() > 0
"""


def test_a_fit_says_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FIT],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        timeout=90,
        check=False,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert list(tmp_path.rglob("*")) == []


def test_where_no_file_can_be_written_the_model_is_refused_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cmdstanpy.stanfit.runset
    import cmdstanpy.utils.filesystem

    gone = str(tmp_path / "gone")
    for module in (cmdstanpy.stanfit.runset, cmdstanpy.utils.filesystem):
        monkeypatch.setattr(module, "_TMPDIR", gone)
    made = ProphetModel().fit(diurnal(4).resample(900.0))

    assert isinstance(made, NotYet)
    assert made.reason.startswith("Prophet could not be fitted: ")


def test_a_holiday_is_learned_as_one() -> None:
    """25 and 26 December are quiet; so is 1 January, which was never seen."""
    calendar = Calendar("Europe/Berlin", ("DE",))
    noon_s = 1_735_639_200.0  # 31 December 2024, 10:00 UTC
    series = diurnal(21).resample(900.0)
    moved = type(series)(noon_s - 20 * DAY_S, 900.0, series.values, series.known).window(0.0, noon_s)
    quiet = np.where(calendar.holiday(moved.times_s), 0.3, 1.0)
    series = type(series)(moved.start_s, 900.0, moved.values * quiet, moved.known)
    made = ProphetModel(calendar).fit(series)

    assert not isinstance(made, NotYet)
    # Noon in two hours and in 26: the same time of day, 0.3 times the demand.
    usual, new_year = made.predict(series, np.array([noon_s]), 3600.0 * np.array([2.0, 26.0]))[0]
    assert new_year == pytest.approx(0.3 * usual, rel=0.2)
