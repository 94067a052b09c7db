"""Judge forecasters side by side on a measured series, as the planner would have lived through it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from models.errors import InputError
from models.forecast.backtest import origin_step
from models.forecast.signal import scoreable
from models.forecast.trial_roll import Clock, Lived, Refit, Watch, live_through
from models.forecast.trial_score import Scale, Score, scale_of, score, scored
from models.policy import ForecastPolicy
from models.series import Floats, Series
from models.units import show_duration

# A mean over fewer origins says little about the next week.
ENOUGH_ORIGINS = 300
# Half of a series trains, down to a quarter where ENOUGH_ORIGINS would not be left.
TRAIN_RATIO, LEAST_TRAIN_RATIO = 0.5, 0.25
# Below this many steps there is neither a level to learn nor an outcome to compare.
LEAST_STEPS = 24
# Fits of one trial, so that months of half hours take minutes; a longer series is fitted less often.
MOST_FITS = 250
SELECTED = "selected"


@dataclass(frozen=True, slots=True)
class Cell:
    """Hold one horizon: the selected forecast first, then the candidates in order of trust.

    Each candidate's figures are those of a planner that had no other one. `origins` counts what was scored.
    """

    horizon_s: float
    origins: int
    selected: Score
    models: tuple[Score, ...]

    def best(self) -> Score | None:
        """Return the candidate that lost least in hindsight; `None` where nothing was scored."""
        lost = [s for s in self.models if s.pinball is not None]
        return min(lost, key=lambda s: s.pinball or 0.0) if lost else None

    def versus_best(self) -> float | None:
        """Return the loss of the selected forecast over that of the best candidate in hindsight."""
        best = self.best()
        if best is None or not best.pinball or self.selected.pinball is None:
            return None
        return self.selected.pinball / best.pinball


@dataclass(frozen=True, slots=True)
class Selection:
    """Say what the last fit chose and why, and for which share of the origins each model answered.

    `changes` are the fits that gave another answer than the one before.
    """

    model: str
    why: str
    fallback: str | None
    shares: dict[str, float]
    changes: tuple[Refit, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """Hold the verdict on one series; times are Unix seconds, `mean` is the mean demand that was scored.

    `notes` say what was rounded or thinned.
    """

    name: str
    step_s: float
    from_s: float
    train_until_s: float
    until_s: float
    quantile: float
    refit_s: float
    mean: float | None
    mase_scale: Scale
    cells: tuple[Cell, ...]
    selection: Selection
    notes: tuple[str, ...]
    lived: Lived


def judge(
    name: str,
    series: Series,
    policy: ForecastPolicy,
    horizons_s: Sequence[float],
    quantile: float,
    clock: Clock,
    train_until_s: float | None = None,
    watch: Watch = lambda share: None,
) -> Trial:
    """Train on what lies before `train_until_s` (`None`: half), roll to the end, and score every candidate.

    Nothing is scored finer than it was measured: a horizon is rounded up to whole steps. `clock` tells
    seconds, for the times of fits and paths; `watch` is told the share that is done.

    Raises InputError where too little was measured, or nothing is left to score.
    """
    ahead_s, notes = whole_steps(horizons_s, series.step_s)
    known = np.flatnonzero(series.known)
    if known.size < LEAST_STEPS:
        raise InputError(
            f"{name}: {known.size} steps of {show_duration(series.step_s)} were measured; a backtest needs "
            f"{LEAST_STEPS}"
        )
    first_s = series.start_s + int(known[0]) * series.step_s
    from_s = _train_until(name, series, first_s, ahead_s, train_until_s)
    levels = tuple(sorted({round(1.0 - quantile, 10), 0.5, quantile}))
    if len(levels) != 3:
        raise InputError(f"quantile {quantile:g} has no band: choose one between 0.5 and 1")
    refit_s = _refit_s(policy.refit_s, series.end_s - from_s)
    if refit_s > policy.refit_s:
        notes.append(
            f"models are fitted every {show_duration(refit_s)}, not every {show_duration(policy.refit_s)}"
        )
    asked = replace(
        policy, levels=levels, operating_level=quantile, reach_s=float(ahead_s.max()), refit_s=refit_s
    )
    believed = scoreable(series, policy.calendar.events)
    notes += _outages(series, believed)
    lived = live_through(series, believed, asked, ahead_s, from_s, clock, watch)
    return _verdict(name, series, lived, asked, from_s, notes)


def whole_steps(horizons_s: Sequence[float], step_s: float) -> tuple[Floats, list[str]]:
    """Round horizons up to whole steps, each once, and say which were moved."""
    found, notes = [], []
    for horizon_s in horizons_s:
        whole_s = max(math.ceil(horizon_s / step_s - 1e-9), 1) * step_s
        found.append(whole_s)
        if whole_s != horizon_s:
            notes.append(
                f"{show_duration(horizon_s)} ahead is judged at {show_duration(whole_s)}: the series has one "
                f"value every {show_duration(step_s)}"
            )
    return np.array(sorted(set(found))), notes


def _outages(series: Series, believed: Series) -> list[str]:
    """Say what is not scored because it was recorded as zeros."""
    doubted = int((series.known & ~believed.known).sum())
    if not doubted:
        return []
    lost = show_duration(doubted * series.step_s)
    return [f"{lost} of zeros are taken for outages: they teach nothing and are not scored"]


def usual_horizons(step_s: float) -> tuple[float, ...]:
    """Return the horizons that are judged unless others are named: 5 to 60 minutes, or 1, 2 and 4 steps."""
    usual = tuple(h for h in (300.0, 900.0, 1800.0, 3600.0) if h >= step_s)
    return usual if len(usual) > 2 else (step_s, 2 * step_s, 4 * step_s)


def _refit_s(planner_s: float, span_s: float) -> float:
    """Return the time between fits: the planner's, or as many times that as keeps within MOST_FITS."""
    return planner_s * max(math.ceil(span_s / planner_s / MOST_FITS), 1)


def _train_until(
    name: str, series: Series, first_s: float, ahead_s: Floats, train_until_s: float | None
) -> float:
    """Return where training ends: as asked, or half way, or sooner so that enough origins are left."""
    last_s = series.end_s - float(ahead_s.max())
    if train_until_s is not None:
        if not first_s < train_until_s < last_s:
            raise InputError(
                f"{name}: training cannot end at {_said(train_until_s)}: the series is known from "
                f"{_said(first_s)}, and the last forecast that can be scored starts at {_said(last_s)}"
            )
        return train_until_s
    half_s = first_s + TRAIN_RATIO * (series.end_s - first_s)
    enough_s = last_s - ENOUGH_ORIGINS * origin_step(series.step_s)
    least_s = first_s + LEAST_TRAIN_RATIO * (series.end_s - first_s)
    until_s = max(min(half_s, enough_s), least_s)
    if until_s >= last_s:
        raise InputError(
            f"{name}: lasts {show_duration(series.end_s - first_s)}, too short to train and be scored "
            f"{show_duration(float(ahead_s.max()))} ahead"
        )
    return float(series.step_s * np.floor((until_s - first_s) / series.step_s) + first_s)


def _verdict(
    name: str, series: Series, lived: Lived, policy: ForecastPolicy, from_s: float, notes: list[str]
) -> Trial:
    where, level = scored(lived), policy.operating_level
    scale = scale_of(series.window(-np.inf, from_s))
    cells = tuple(
        Cell(
            float(horizon_s),
            int(where[:, j].sum()),
            score(SELECTED, lived.selected, lived.actual, where[:, j], j, level, scale),
            tuple(
                score(model, said, lived.actual, where[:, j], j, level, scale)
                for model, said in lived.models.items()
            ),
        )
        for j, horizon_s in enumerate(lived.horizons_s)
    )
    if not where.any():
        raise InputError(f"{name}: nothing was measured after training ends that a forecast could be held to")
    return Trial(
        name=name,
        step_s=series.step_s,
        from_s=series.start_s,
        train_until_s=from_s,
        until_s=series.end_s,
        quantile=level,
        refit_s=policy.refit_s,
        mean=float(lived.actual[where].mean()),
        mase_scale=scale,
        cells=cells,
        selection=_selection(lived),
        notes=tuple(notes),
        lived=lived,
    )


def _selection(lived: Lived) -> Selection:
    last = lived.fits[-1]
    told = [answer for answer in lived.answers if answer]
    shares = {name: told.count(name) / len(told) for name in sorted(set(told), key=told.count, reverse=True)}
    changes = [
        now
        for before, now in zip((None, *lived.fits), lived.fits, strict=False)
        if before is None or (before.model, before.fallback is None) != (now.model, now.fallback is None)
    ]
    return Selection(last.model, last.why, last.fallback, shares, tuple(changes))


def _said(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
