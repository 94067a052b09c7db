"""Write the report of a replay: the verdict, what led to it, and how to repeat it."""

from dataclasses import replace

from models import codec
from models.render.document import Block, Chart, Document, Facts, Folded, Item, Items, Prose, Section, Table
from models.render.formats import moment, number, plural, seconds, time_of_day
from models.render.misses import worst_misses
from models.render.page import to_html
from models.render.replay_figures import timeline_figure, trade_figure
from models.render.replay_grid import class_grid, miss_grid, verdict_grid
from models.render.timeline import moved_gpus
from models.render.verdict import judge, subject
from models.simulation.scorecard import PolicyResult, ReplayResult

SCHEMA = "headgate/replay-report/v1"
FIRST_DECISIONS = 8
# A year of replay makes tens of thousands; a page that nobody scrolls to the end of stops before.
MOST_DECISIONS = 300

_READING = """\
Every policy served the same requests on the same simulated fleet; only the replica counts differ. Attained is
the share of all arrivals that kept every limit promised to them; rejected and unfinished requests missed.

GPU-hours count a GPU from the moment it is asked for until it is free again: starting, ready and draining.

static-peak holds the smallest constant fleet that keeps the promise, chosen in hindsight. An oracle knows the
future: it bounds what any policy could save and is none that could be run.

headgate-reactive is headgate without its forecast: it sizes for the last minutes, within bands as wide as
their own past errors. headgate-perfect is headgate that knows what will be measured in each minute to come:
it bounds what any forecast could be worth, and cannot be run either.

The simulated fleet takes its speeds from the profile. Where your engines are slower than it says, these
figures are too good: compare the profile with what you measure before you act on them."""


def render(result: ReplayResult, created_at: str | None = None) -> str:
    """Write one replay as a complete HTML page; `created_at` (RFC 3339) is shown where it is given."""
    return to_html(document(result, created_at))


def document(result: ReplayResult, created_at: str | None = None) -> Document:
    """Gather what the page shows."""
    tested = subject(result)
    sections = [Section("policies", "Policies side by side", _comparison(result))]
    if tested is not None:
        if timeline := timeline_figure(result, tested):
            sections.append(Section("timeline", "Timeline", (Chart(timeline),)))
        if tested.classes:
            sections.append(Section("classes", "Request classes", (Table(class_grid(result, tested)),)))
        sections.append(Section("misses", "Where it missed", _misses(result, tested)))
        sections.append(Section("decisions", "Decisions", _decisions(result, tested)))
    sections.append(Section("repeat", "To repeat it", (Facts(_facts(result, created_at)),)))
    sections.append(Section("reading", "How to read this", (Prose(tuple(_READING.split("\n\n"))),)))
    bare = replace(result, policies=tuple(replace(p, timeline=()) for p in result.policies))
    return Document(
        title=f"Replay of {result.trace} on {result.deployment}",
        subtitle=f"{result.model} on {result.hardware}, {moment(result.start_s)} to {moment(result.end_s)}",
        schema=SCHEMA,
        verdict=judge(result),
        sections=tuple(sections),
        export={"created_at": created_at, "result": codec.to_plain(bare)},
        made_by=f"Made by Headgate {result.version}",
        file_name=f"replay-{result.deployment}.json",
    )


def _comparison(result: ReplayResult) -> tuple[Block, ...]:
    trade = trade_figure(result)
    return (Table(verdict_grid(result)), *([Chart(trade)] if trade else []))


def _misses(result: ReplayResult, tested: PolicyResult) -> tuple[Block, ...]:
    found = worst_misses(result, tested)
    if not found:
        return (Prose((f"In no interval did a class under {tested.policy} fall below its target.",)),)
    intro = (
        f"Spells in which a class under {tested.policy} fell below its target, those with the most missed "
        "requests first; a spell ends after ten minutes on target."
    )
    return (Prose((intro,)), Table(miss_grid(found, tested.policy)))


def _decisions(result: ReplayResult, tested: PolicyResult) -> tuple[Block, ...]:
    """List the changes that moved most GPUs, then all in order of time."""
    said, before = [], None
    for point in tested.timeline:
        if point.sentence:
            item = Item(time_of_day(point.at_s), _changes_first(point.sentence), point.at_s)
            said.append((moved_gpus(result, before, point), item))
        before = point
    if not said:
        return (Prose((f"{tested.policy} changed nothing.",)),)
    largest = sorted(said, key=lambda pair: (-pair[0], pair[1].at_s))[:FIRST_DECISIONS]
    count = plural(len(said), "change")
    if len(said) <= FIRST_DECISIONS:
        return (Prose((f"{tested.policy} made {count}.",)), Items(tuple(item for _, item in said)))
    kept = said[:MOST_DECISIONS]
    rest = "" if len(kept) == len(said) else f", the first {MOST_DECISIONS} of {number(len(said))}"
    return (
        Prose((f"{tested.policy} made {count}. These moved the most GPUs; the time leads to the chart.",)),
        Items(tuple(item for _, item in largest)),
        Folded(f"All changes in order of time{rest}", (Items(tuple(item for _, item in kept)),)),
    )


def _changes_first(sentence: str) -> str:
    """Put the roles that change before those that stay."""
    parts = sentence.split(" | ")
    return " | ".join(sorted(parts, key=lambda part: "->" not in part.split(":")[0]))


def _facts(result: ReplayResult, created_at: str | None) -> tuple[tuple[str, str], ...]:
    gpus = result.gpus_per_replica
    layouts = ", ".join(
        f"{role} {layout} ({plural(gpus[role], 'GPU')} each)" if role in gpus else f"{role} {layout}"
        for role, layout in result.layouts.items()
    )
    cpu_s = sum(p.policy_cpu_s for p in result.policies)
    wall_s = sum(p.wall_s for p in result.policies)
    return (
        ("Trace", result.trace),
        ("Layouts", layouts),
        ("GPU budget", "none" if result.budget_gpus is None else str(result.budget_gpus)),
        ("Interval", seconds(result.interval_s)),
        ("Seed", str(result.seed)),
        *result.settings.items(),
        ("Replay took", f"{seconds(wall_s)}, of which policies {seconds(cpu_s)}"),
        ("Configuration", result.config_digest),
        ("Profile", result.profile_digest),
        ("Headgate", result.version),
        *([("Created", created_at)] if created_at else []),
    )
