"""Write the track record: is it ready to act, what was it worth, day by day."""

from collections.abc import Sequence

from models.render.document import Block, Chart, Document, Facts, Prose, Section, Table
from models.render.formats import moment, number, seconds, words
from models.render.page import to_html
from models.render.track_figures import track_figure
from models.render.track_grid import check_grid, day_grid, span_grid
from models.render.track_plain import to_plain
from models.render.track_verdict import told, verdict
from models.track.summary import Summary

SCHEMA = "headgate/track-report/v1"

_READING = """\
Every decision in the journal is scored against what came after it. For each moment the model says which share
of the requests that really came would have kept its promise with each fleet, and how few replicas would have
done.

headgate is the fleet that would have run, had every decision been followed: its orders start as slowly as
planned, its releases drain, and all guards see that fleet. Where a deployment acts, it is the fleet that ran.

The oracle knows what comes. It has the same start-up and the same bounds, orders each replica in time, keeps
what it would soon order again, and keeps the promise over the span as the deployment is asked to. Regret is
what was taken beyond it. Time under counts the moments in which fewer requests kept their promise than the
oracle had to keep there.

Coverage is the share of demands that came at or under the quantile that had been forecast a start-up before.

All of it rests on the profile: where the engines are slower than it says, these figures are too good."""


def render(summaries: Sequence[Summary]) -> str:
    """Write the track records of one or more deployments as a complete HTML page."""
    return to_html(document(list(summaries)))


def document(summaries: list[Summary]) -> Document:
    """Gather what the page shows."""
    alone = len(summaries) == 1
    sections = [s for i, each in enumerate(summaries) for s in _sections(each, i, alone)]
    sections.append(Section("reading", "How to read this", (Prose(tuple(_READING.split("\n\n"))),)))
    begin = min(float(s.track.ends_s[0]) - s.track.step_s for s in summaries)
    end = max(float(s.track.ends_s[-1]) for s in summaries)
    names = [s.track.deployment for s in summaries]
    return Document(
        title=f"Track record of {words(names)}",
        subtitle=f"{moment(begin)} to {moment(end)}",
        schema=SCHEMA,
        verdict=told(summaries),
        sections=tuple(sections),
        export=to_plain(summaries),
        made_by=f"Made by Headgate {summaries[0].version}",
        file_name=f"track-{names[0]}.json" if alone else "track.json",
    )


def _sections(summary: Summary, index: int, alone: bool) -> list[Section]:
    name = summary.track.deployment

    def section(anchor: str, title: str, *blocks: Block) -> Section:
        return Section(
            anchor if alone else f"{anchor}-{index}", title if alone else f"{name}: {title}", blocks
        )

    figure = track_figure(summary, index)
    said = () if alone else (Prose((str(verdict(summary)),)),)
    found = [section("ready", "Ready to act?", *said, Table(check_grid(summary)))]
    if summary.spans:
        found.append(section("spans", "Over 1, 7 and 28 days", Table(span_grid(summary))))
    if figure is not None:
        found.append(section("timeline", "Timeline", Chart(figure)))
    if summary.days:
        found.append(section("days", "Day by day", Table(day_grid(summary))))
    found.append(section("facts", "What this rests on", Facts(_facts(summary))))
    return found


def _facts(summary: Summary) -> tuple[tuple[str, str], ...]:
    track = summary.track
    widths = ", ".join(f"{role.value} {gpus}" for role, gpus in track.gpus.items())
    starts = ", ".join(f"{role.value} {seconds(track.startup_s[role])}" for role in track.roles)
    return (
        ("Records", number(summary.records)),
        ("GPUs per replica", widths),
        ("Start-up", starts),
        ("Step", seconds(track.step_s)),
        *(("Note", note) for note in summary.notes),
        ("Headgate", summary.version),
    )
