"""Lay out a track record: its spans, its criteria and its days."""

from datetime import UTC, datetime

from models.render.formats import UNKNOWN, number, percent, share
from models.render.grid import Column, Grid
from models.track.score import PathScore, Score
from models.track.summary import Summary

JUDGED, RAN, ORACLE = "headgate", "as it ran", "oracle"


def span_grid(summary: Summary) -> Grid:
    """Lay out each span: the fleet of the decisions, the fleet that ran and the oracle's."""
    columns = (
        Column("span"),
        Column("fleet", "whose replicas are scored"),
        Column("days", "recorded within the span", numeric=True),
        *(
            Column(f"{name} kept", "share of requests that kept the promise, by the model", numeric=True)
            for name in summary.track.classes
        ),
        Column("missed", "requests that broke a promise", numeric=True),
        Column("gpu-hours", "starting and draining included", numeric=True),
        Column("over", "GPU-hours above the oracle's", numeric=True),
        Column("under", "GPU-hours below the oracle's", numeric=True, wide=True),
        Column("time under", "time in which fewer kept their promise than the oracle's had to", numeric=True),
        Column("regret", "GPU-hours more than the oracle took", numeric=True),
        Column("coverage", "share of demands at or under the operating quantile", numeric=True),
        Column("known", "share of the recorded time whose demand is known", numeric=True, wide=True),
    )
    rows: list[tuple[str, ...]] = []
    strong = []
    for days, scored in summary.spans.items():
        strong.append(len(rows))
        rows += [_row(summary, f"{days} d", scored, name, path) for name, path in _paths(summary, scored)]
    return Grid(f"Track record of {summary.track.deployment}", columns, tuple(rows), (), frozenset(strong))


def check_grid(summary: Summary) -> Grid:
    """Lay out each criterion with what was found."""
    columns = (Column("criterion"), Column("asked"), Column("found"), Column("holds"))
    checks = summary.judgement.checks if summary.judgement else ()
    rows = tuple((c.name, c.asked, c.found, "yes" if c.holds else "no") for c in checks)
    lacking = frozenset(i for i, check in enumerate(checks) if not check.holds)
    return Grid("Ready to act?", columns, rows, (), lacking)


def day_grid(summary: Summary) -> Grid:
    """Lay out each day by itself, the newest first."""
    columns = (
        Column("day (UTC)"),
        *(Column(f"{name} kept", numeric=True) for name in summary.track.classes),
        Column("missed", numeric=True),
        Column("gpu-hours", numeric=True),
        Column("as it ran", "GPU-hours of the fleet that ran", numeric=True),
        Column("oracle", "GPU-hours of the oracle", numeric=True),
        Column("time under", numeric=True),
        Column("coverage", numeric=True),
    )
    rows = tuple(
        (
            day_of(scored),
            *(share(scored.judged.attainment.get(name)) for name in summary.track.classes),
            number(round(scored.judged.missed_requests)),
            number(scored.judged.gpu_h),
            number(scored.ran.gpu_h),
            number(scored.oracle.gpu_h),
            percent(scored.judged.under_ratio),
            share(scored.coverage),
        )
        for scored in reversed(summary.days)
    )
    return Grid("Day by day", columns, rows)


def day_of(scored: Score) -> str:
    """Name the day that a score is of."""
    return datetime.fromtimestamp((scored.from_s + scored.until_s) / 2, UTC).date().isoformat()


def _paths(summary: Summary, scored: Score) -> list[tuple[str, PathScore]]:
    """Return the fleets that differ: where decisions are applied the judged one is the one that ran."""
    ran = [] if summary.track.subject is summary.track.ran else [(RAN, scored.ran)]
    return [(JUDGED if ran or summary.track.acted else RAN, scored.judged), *ran, (ORACLE, scored.oracle)]


def _row(summary: Summary, span: str, scored: Score, name: str, path: PathScore) -> tuple[str, ...]:
    ours = path is scored.judged
    return (
        span,
        name,
        f"{scored.days:.1f}",
        *(share(path.attainment.get(each)) for each in summary.track.classes),
        number(round(path.missed_requests)),
        number(path.gpu_h),
        number(path.over_gpu_h),
        number(path.under_gpu_h),
        percent(path.under_ratio),
        UNKNOWN if path.regret_ratio is None else f"{path.regret_ratio * 100:+.1f} %",
        share(scored.coverage) if ours else UNKNOWN,
        share(scored.known_ratio),
    )
