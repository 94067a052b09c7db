"""Lay out what a backtest measured: forecasters side by side, horizon by horizon."""

from models.forecast.trial import SELECTED, Cell, Trial
from models.forecast.trial_score import Score
from models.render.formats import UNKNOWN, moment, number, ratio, seconds, share
from models.render.grid import Column, Grid, plain, to_text
from models.units import show_duration


def loss_grid(trial: Trial) -> Grid:
    """Lay out one row per horizon and forecaster; what the planner would have been told is strong."""
    q = f"{trial.quantile:g}"
    baseline = trial.cells[0].models[0].model
    columns = (
        Column("horizon", "how far ahead"),
        Column("forecaster", "selected: what the planner would have been told"),
        Column(
            "pinball", f"mean pinball loss of the {q} quantile, in per cent of the mean demand", numeric=True
        ),
        Column(f"vs {baseline}", f"pinball loss over that of the {baseline}", numeric=True),
        Column("coverage", f"share of outcomes at or under the {q} quantile", numeric=True),
        Column("wape", "absolute errors of the median over all demand", numeric=True),
        Column(
            "mase",
            f"mean absolute error of the median over that of the {trial.mase_scale.naive}",
            numeric=True,
        ),
        Column("fit", "time of one fit; of selected all fits, the backtest and the choice", numeric=True),
        Column("predict", "time of one forecast", numeric=True),
        Column("loss", "mean pinball loss in the unit of the series", numeric=True, wide=True),
        Column("answered", "share of origins at which the model itself answered", numeric=True, wide=True),
        Column("origins", "forecasts that were scored", numeric=True, wide=True),
    )
    rows: list[tuple[str, ...]] = []
    strong = set()
    for cell in trial.cells:
        strong.add(len(rows))
        rows += [_row(trial, cell, score) for score in (cell.selected, *cell.models)]
    return Grid(f"Losses of {trial.name}", columns, tuple(rows), _absences(trial), frozenset(strong))


def selection_lines(trial: Trial) -> tuple[str, ...]:
    """Say what would be selected now and why, and who answered while the series was lived through."""
    chosen = trial.selection
    said = [f"Selected: {chosen.why}"]
    if chosen.fallback:
        said.append(f"Not trusted at the end: {chosen.fallback}")
    answered = ", ".join(f"{name} {share(part)}" for name, part in chosen.shares.items())
    changes = len(chosen.changes) - 1
    times = "never" if not changes else "once" if changes == 1 else f"{changes} times"
    return (*said, f"Answered: {answered}; the choice changed {times} in {len(trial.lived.fits)} fits")


def versus_baseline(cell: Cell) -> float | None:
    """Return the loss of the selected forecast over that of the simplest candidate."""
    return _over(cell.selected, cell.models[0])


def _row(trial: Trial, cell: Cell, score: Score) -> tuple[str, ...]:
    relative = score.pinball / trial.mean if score.pinball is not None and trial.mean else None
    return (
        show_duration(cell.horizon_s),
        score.model,
        UNKNOWN if relative is None else f"{100 * relative:.2f} %",
        ratio(_over(score, cell.models[0])),
        UNKNOWN if score.coverage is None else f"{score.coverage:.3f}",
        UNKNOWN if score.wape is None else f"{100 * score.wape:.1f} %",
        UNKNOWN if score.mase is None else f"{score.mase:.2f}",
        seconds(score.fit_s),
        seconds(score.predict_s),
        number(score.pinball),
        share(score.answered),
        number(cell.origins),
    )


def _over(score: Score, baseline: Score) -> float | None:
    return score.pinball / baseline.pinball if score.pinball is not None and baseline.pinball else None


def _absences(trial: Trial) -> tuple[str, ...]:
    """Say why figures are "-" or those of another model."""
    notes = [
        f"{score.model}: could not answer at {share(1 - score.answered)} of the origins, where "
        f"{trial.cells[0].models[0].model} stood in"
        for score in trial.cells[0].models
        if score.answered < 1 and score.model != SELECTED
    ]
    if not trial.mean:
        notes.append("- in pinball and wape: all that was measured is zero")
    if not trial.mase_scale.error:
        notes.append("- in mase: the training data never change")
    return tuple(notes)


def backtest_table(trial: Trial, wide: bool = False) -> str:
    """Write one backtest for a terminal: what was judged, the losses, and what was selected and why."""
    head = (
        f"{trial.name}: every {show_duration(trial.step_s)}, trained until {moment(trial.train_until_s)}, "
        f"judged until {moment(trial.until_s)}"
    )
    lines = [*selection_lines(trial), *(f"Note: {note}" for note in trial.notes)]
    return f"{plain(head)}\n\n{to_text(loss_grid(trial), wide)}\n" + "".join(f"{plain(x)}\n" for x in lines)
