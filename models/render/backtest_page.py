"""Write the report of a backtest: how good the selected forecast was, beside every candidate, and why."""

from collections.abc import Sequence

from models.forecast.trial import Trial
from models.render.backtest_figures import band_figure
from models.render.backtest_grid import loss_grid, selection_lines, versus_baseline
from models.render.backtest_plain import to_plain
from models.render.document import Chart, Document, Facts, Folded, Item, Items, Prose, Section, Table
from models.render.formats import moment, number, percent, plural, seconds, time_of_day, words
from models.render.page import to_html
from models.render.verdict import Tone, Verdict
from models.units import show_duration
from models.version import VERSION

SCHEMA = "headgate/backtest-report/v1"
# A difference of two means over a few hundred forecasts that is smaller than this is chance.
SAME_LOSS_RATIO = 0.01
# A 0.9 quantile that covers between 0.87 and 0.93 does what it says.
COVERAGE_SLACK = 0.03

_READING = """\
Every forecaster was asked at the same moments, knew only what had been measured by then, and had its bands
set by its own past errors, as in the planner. selected is what the planner would have been told: it fits,
compares and chooses anew on its schedule. The rows below it show a planner with that one candidate only.

Pinball loss is what a quantile costs: at 0.9, a unit of demand above it costs nine times a unit below it.
Less is better. Coverage should be the quantile: less means that demand was higher than promised too often,
more that capacity stood idle. WAPE and MASE judge the median."""


def render(trials: Sequence[Trial], created_at: str | None = None) -> str:
    """Write backtests of one or more series as a complete HTML page; `created_at` is RFC 3339."""
    return to_html(document(trials, created_at))


def document(trials: Sequence[Trial], created_at: str | None = None) -> Document:
    """Gather what the page shows."""
    several = len(trials) > 1
    sections = [section for i, trial in enumerate(trials) for section in _sections(trial, i, several)]
    sections.append(Section("reading", "How to read this", (Prose(tuple(_READING.split("\n\n"))),)))
    first = trials[0]
    return Document(
        title=f"Backtest of {words([trial.name for trial in trials])}",
        subtitle=f"{moment(first.train_until_s)} to {moment(first.until_s)}, "
        f"trained from {moment(first.from_s)} on",
        schema=SCHEMA,
        verdict=verdict(first),
        sections=tuple(sections),
        export={"created_at": created_at, "result": to_plain(trials)},
        made_by=f"Made by Headgate {VERSION}",
        file_name="backtest.json",
    )


def verdict(trial: Trial) -> Verdict:
    """Say how the selected forecast stands to the last value, and whether its quantile keeps its word."""
    baseline = trial.cells[0].models[0].model
    gains = [(c.horizon_s, versus) for c in trial.cells if (versus := versus_baseline(c)) is not None]
    if not gains:
        return Verdict(Tone.NONE, f"{trial.name}: there was no loss to compare")
    said = words([f"{_change(versus)} at {show_duration(h)}" for h, versus in gains])
    off = [
        f"{c.selected.coverage:.3f} at {show_duration(c.horizon_s)}"
        for c in trial.cells
        if c.selected.coverage is not None and abs(c.selected.coverage - trial.quantile) > COVERAGE_SLACK
    ]
    mean = sum(versus for _, versus in gains) / len(gains)
    better = mean < 1 - SAME_LOSS_RATIO
    tone = Tone.GOOD if better and not off else Tone.BAD if mean > 1 + SAME_LOSS_RATIO else Tone.MIXED
    covered = (
        f"Its {trial.quantile:g} quantile covered {words(off)}."
        if off
        else f"Its {trial.quantile:g} quantile covered what it promised."
    )
    return Verdict(
        tone, f"against the {baseline}, the selected forecast of {trial.name} lost {said}", (covered,)
    )


def _change(versus: float) -> str:
    if abs(versus - 1) < SAME_LOSS_RATIO:
        return "as much"
    return f"{percent(versus - 1)} {'less' if versus < 1 else 'more'}"


def _sections(trial: Trial, index: int, several: bool) -> list[Section]:
    """Lay out one series; its name is in the headings where there are several."""
    of = f" of {trial.name}" if several else ""
    mark = f"-{index}" if several else ""
    return [
        Section(f"losses{mark}", f"Forecasters side by side{of}", (Table(loss_grid(trial)),)),
        Section(f"bands{mark}", f"Forecast and outcome{of}", (Chart(band_figure(trial, index)),)),
        Section(f"selection{mark}", f"What was selected{of}", _selection(trial)),
        Section(f"repeat{mark}", f"To repeat it{of}", (Facts(_facts(trial)),)),
    ]


def _selection(trial: Trial) -> tuple[Prose | Folded, ...]:
    changes = trial.selection.changes
    items = Items(
        tuple(
            Item(time_of_day(c.at_s), f"{c.why}; not trusted: {c.fallback}" if c.fallback else c.why, c.at_s)
            for c in changes
        )
    )
    said = Prose(selection_lines(trial))
    return (said, Folded(f"The first choice and {plural(len(changes) - 1, 'change')}", (items,)))


def _facts(trial: Trial) -> tuple[tuple[str, str], ...]:
    return (
        (
            "Measured",
            f"{moment(trial.from_s)} to {moment(trial.until_s)}, every {show_duration(trial.step_s)}",
        ),
        ("Trained until", moment(trial.train_until_s)),
        ("Quantile", f"{trial.quantile:g}"),
        ("Fitted", f"{plural(len(trial.lived.fits), 'time')}, every {show_duration(trial.refit_s)}"),
        ("One fit of all", seconds(trial.cells[0].selected.fit_s)),
        ("Mean demand scored", number(trial.mean)),
        *(("Note", note) for note in trial.notes),
        ("Headgate", VERSION),
    )
