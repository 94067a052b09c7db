"""The page of a backtest shows what was scored, claims no win that its figures do not show, and is safe."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from models.forecast.trial import Cell, Trial, judge
from models.policy import ForecastPolicy
from models.render import backtest_page
from models.render.backtest_grid import backtest_table, loss_grid
from models.render.backtest_page import verdict
from models.render.verdict import Tone
from tests.demand import diurnal
from tests.unit.render.test_page import EVIL, Reader, report

HOUR_S = 3600.0


def _ticking() -> Callable[[], float]:
    readings = count()
    return lambda: float(next(readings))


@pytest.fixture(scope="module")
def trial() -> Trial:
    policy = ForecastPolicy(forecasters=(), seasons_s=(86_400.0,), refit_s=6 * HOUR_S)
    return judge("demand", diurnal(10).resample(HOUR_S), policy, (HOUR_S, 4 * HOUR_S), 0.9, _ticking())


def changed(trial: Trial, loss_ratio: float, coverage: float) -> Trial:
    """Give the selected forecast another loss, as a share of the baseline's, and another coverage."""

    def cell(found: Cell) -> Cell:
        lost = (found.models[0].pinball or 0.0) * loss_ratio
        return replace(found, selected=replace(found.selected, pinball=lost, coverage=coverage))

    return replace(trial, cells=tuple(map(cell, trial.cells)))


def test_the_page_carries_figures_bands_and_the_answer(trial: Trial) -> None:
    exported: dict[str, Any] = report(backtest_page.render([trial], "2026-11-28T12:30:00Z"))

    assert exported["schema"] == "headgate/backtest-report/v1"
    assert exported["result"]["series"][0]["name"] == "demand"
    band = exported["data"]["band-0-0"]
    assert set(band["values"]["band"]) == {"measured", "0.9 quantile", "median", "0.1 quantile"}
    lived = trial.lived
    # A forecast stands at the beginning of the step that it is of.
    assert band["at"]["band"] == (lived.origins_s + HOUR_S - HOUR_S).tolist()
    drawn = band["values"]["band"]["0.9 quantile"]
    assert np.allclose(drawn, lived.selected.high[:, 0], rtol=1e-3)


def test_the_page_can_be_read_without_eyes_or_mouse(trial: Trial) -> None:
    reader = Reader(backtest_page.render([trial, replace(trial, name="other")]))

    assert len(reader.named("h1")) == 1
    assert len(reader.named("caption")) == len(reader.named("table")) == 2
    canvases = [e for e in reader.named("div") if e.get("class") == "canvas"]
    assert len(canvases) == 2
    assert all(len(c["aria-label"] or "") > 40 for c in canvases)
    ids = [e["id"] for _, e in reader.elements if e.get("id")]
    assert len(ids) == len(set(ids))


def test_names_from_outside_never_become_markup_nor_drive_a_terminal(trial: Trial) -> None:
    evil = replace(trial, name=EVIL + "\x1b[31m", notes=(EVIL,))

    reader = Reader(backtest_page.render([evil]))

    assert len(reader.named("script")) == 4
    assert report(backtest_page.render([evil]))["result"]["series"][0]["name"] == EVIL + "\x1b[31m"
    assert "\x1b" not in backtest_table(evil)


def test_the_selected_row_is_strong_and_every_cell_has_its_row(trial: Trial) -> None:
    grid = loss_grid(trial)

    assert sorted(grid.strong) == [0, 4]
    assert [row[1] for row in grid.rows[:4]] == [
        "selected",
        "last value",
        "last value blended into seasonal naive (day)",
        "seasonal naive (day)",
    ]
    assert {row[0] for row in grid.rows} == {"1h", "4h"}
    assert grid.rows[1][3] == "1.00x"


@pytest.mark.parametrize(
    ("loss_ratio", "coverage", "tone", "said"),
    [
        (0.8, 0.9, Tone.GOOD, "lost 20 % less at 1h and 20 % less at 4h"),
        (0.8, 0.8, Tone.MIXED, "covered 0.800 at 1h and 0.800 at 4h"),
        (1.0, 0.9, Tone.MIXED, "lost as much at 1h"),
        (1.2, 0.9, Tone.BAD, "lost 20 % more at 1h"),
    ],
)
def test_the_headline_claims_what_the_figures_show(
    trial: Trial, loss_ratio: float, coverage: float, tone: Tone, said: str
) -> None:
    found = verdict(changed(trial, loss_ratio, coverage))

    assert found.tone is tone
    assert said in str(found)


def test_demand_that_never_was_leaves_nothing_to_compare_and_no_number_that_json_lacks() -> None:
    policy = ForecastPolicy(forecasters=(), seasons_s=(86_400.0,), refit_s=6 * HOUR_S)
    zeros = diurnal(5, mean_rps=0.0).resample(HOUR_S)

    trial = judge("zero", zeros, policy, (HOUR_S,), 0.9, _ticking())

    assert verdict(trial).tone is Tone.NONE
    (series,) = report(backtest_page.render([trial]))["result"]["series"]
    assert series["horizons"][0]["models"][0]["wape"] is None
    assert series["horizons"][0]["selected_over_best"] is None
    assert json.dumps(series, allow_nan=False)
    assert "- in pinball and wape: all that was measured is zero" in backtest_table(trial)
