"""Write the report of a recommendation: what to run, how sure that is, and what stood in the way."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from models import codec
from models.decision import Record, Sizing
from models.render.document import Block, Chart, Document, Facts, Prose, Section, Table
from models.render.formats import moment, plural, seconds, sentence, share, words
from models.render.page import to_html
from models.render.pool_grid import pool_grids
from models.render.recommendation_figures import band_figure, fan_figure
from models.render.recommendation_grid import demand_grid, guard_grid, headline, promise_grid, role_grid
from models.render.sizing_worth import worth_lines
from models.render.verdict import Tone, Verdict

SCHEMA = "headgate/recommendation-report/v1"

# By deployment, what there is to say of the worth of its change: what, in words.
Lines = Sequence[tuple[str, str]]
Outlooks = Mapping[str, Lines]

# Attainment is computed to about this much.
_SAME = 1e-6

_READING = """\
Recommended is what Headgate would ask for now. The band holds the counts among which a change gains nothing:
its lower end keeps the promise at the median forecast, above its upper end nothing is gained even if demand
takes its upper path. Uncapped is what a role needs by itself, without budget or ceiling.

The binding constraint is the limit that makes the count what it is: with one replica fewer it would break.
In brackets stands the class that then lacks most. One fewer, as sized and one more say which share of that
class would keep its promise, the other role as sized.

A forecast is a fan: the darker the band, the likelier. Coverage says how often what came stayed at or under
the operating quantile; where it is far from the quantile, the fan is not to be trusted."""


def render(
    records: Record | Sequence[Record],
    outlooks: Outlooks = MappingProxyType({}),
) -> str:
    """Write one tick of each deployment as a complete HTML page; raises ValueError for no record.

    `outlooks` are, by deployment, what there is to say of the worth of the change, as (what, in words).
    """
    several = [records] if isinstance(records, Record) else list(records)
    if not several:
        raise ValueError("a recommendation report needs at least one record")
    return to_html(document(several, outlooks))


def document(records: list[Record], outlooks: Outlooks = MappingProxyType({})) -> Document:
    """Gather what the page shows."""
    alone = len(records) == 1
    sections = [
        section
        for i, record in enumerate(records)
        for section in _sections(
            record, i, "" if alone else record.deployment, outlooks.get(record.deployment, ())
        )
    ]
    sections += [
        Section(f"pool-{i}", grid.caption, (Table(grid),)) for i, grid in enumerate(pool_grids(records))
    ]
    sections.append(Section("reading", "How to read this", (Prose(tuple(_READING.split("\n\n"))),)))
    names = [record.deployment for record in records]
    return Document(
        title=f"Recommendation for {words(names)}",
        subtitle=moment(records[0].observation.at_s),
        schema=SCHEMA,
        verdict=_verdict(records),
        sections=tuple(sections),
        export={"records": [codec.to_plain(record) for record in records]},
        made_by=f"Made by Headgate {records[0].version}",
        file_name=f"recommendation-{names[0]}.json" if alone else "recommendation.json",
    )


def _verdict(records: list[Record]) -> Verdict:
    """Say what is recommended, and warn of what makes it doubtful."""
    if len(records) == 1:
        record = records[0]
        text = headline(record)
        said = [sentence(record.decision.sentence(role)) for role in record.decision.final]
        return Verdict(_tone(record), sentence(text), (*said, *_doubts(record)))
    changing = [r.deployment for r in records if r.decision.changes]
    lines = [f"{r.deployment}: {headline(r)}." for r in records]
    tone = Tone.MIXED if any(_tone(r) is not Tone.GOOD for r in records) else Tone.GOOD
    head = (
        f"{plural(len(changing), 'deployment')} of {len(records)} should change."
        if changing
        else "Nothing should change."
    )
    return Verdict(tone, head, tuple(lines))


def _tone(record: Record) -> Tone:
    doubtful = record.decision.held or record.sizing is None or _doubts(record)
    return Tone.MIXED if doubtful else Tone.GOOD


def _doubts(record: Record) -> list[str]:
    doubts = []
    sizing = record.sizing
    if sizing and _falls_short(sizing):
        doubts.append(
            f"Even so only {share(sizing.expected_attainment)} of requests are expected to keep their "
            f"promise, against a target of {share(sizing.target_attainment)}."
        )
    if sizing and sizing.extrapolated:
        doubts.append("The profile was read outside its grid: measure there before relying on these counts.")
    if record.forecast.signals and not record.forecast.trusted:
        doubts.append("At least one forecast fell back to recent values; it cannot see a rise coming.")
    if record.observation.gaps:
        doubts.append(f"Not known: {words([f'{g.what} ({g.reason})' for g in record.observation.gaps])}.")
    return doubts


def _falls_short(sizing: Sizing) -> bool:
    """Say whether the fleet would attain less than this moment was asked for."""
    if not sizing.aims:
        return sizing.expected_attainment < sizing.target_attainment
    return any(sizing.attainment[name] < aim - _SAME for name, aim in sizing.aims.items())


def _sections(record: Record, index: int, name: str, outlook: Lines) -> list[Section]:
    """Lay out one deployment; `name` heads its sections where there are several."""

    def section(anchor: str, title: str, *blocks: Block | None) -> Section:
        present = tuple(block for block in blocks if block is not None)
        return Section(
            f"{anchor}-{index}" if name else anchor, f"{name}: {title}" if name else title, present
        )

    band, fan = band_figure(record, index), fan_figure(record, index)
    guards = (
        Table(guard_grid(record))
        if record.decision.adjustments
        else Prose(("No guard changed anything: what was sized is what is recommended.",))
    )
    found = [
        section("replicas", "Replicas", Table(role_grid(record)), Chart(band) if band else None),
        section("demand", "Demand", Table(demand_grid(record)), Chart(fan) if fan else None),
        section("guards", "Guards", guards),
    ]
    promises = promise_grid(record)
    if promises.rows:
        found.append(section("promises", "Promises", Table(promises)))
    worth = (*outlook, *(worth_lines(record.sizing) if record.sizing else ()))
    if worth:
        found.append(section("worth", "What it is worth", Facts(worth)))
    found.append(section("tick", "This tick", Facts(_facts(record))))
    return found


def _facts(record: Record) -> tuple[tuple[str, str], ...]:
    seen = record.observation
    age = seen.demand_age_s
    queue = "unknown" if seen.queue is None else plural(seen.queue.requests, "request")
    gaps = words([f"{gap.what}: {gap.reason}" for gap in seen.gaps])
    return (
        ("Tick", record.tick_id),
        ("Observed", moment(seen.at_s)),
        ("Age of the demand", "no demand was seen" if age is None else seconds(age)),
        ("Waiting for prefill", queue),
        ("Not known", gaps),
        (
            "Outcome",
            f"{record.outcome.status}{f': {record.outcome.detail}' if record.outcome.detail else ''}",
        ),
        ("Configuration", record.config_digest),
        ("Profile", record.profile_digest),
        ("Headgate", record.version),
    )
