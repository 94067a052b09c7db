"""Explain one decision from its record in the journal, and why it was not another count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from planner.commands.journals import journal_options, opened, setting_of
from planner.commands.options import output_option
from planner.commands.recommend import Moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.decision import Record
    from models.values import Role
    from planner.report.other_counts import Others
    from planner.report.ticks import Wanted

SCHEMA = "headgate/explanation/v1"


@click.command("explain")
@click.argument("tick", required=False)
@journal_options
@click.option(
    "--why-not",
    "why_not",
    multiple=True,
    metavar="N|ROLE=N,...",
    help="Also say what another count would have attained: of each role, or of those that are named.",
)
@output_option("text", "json")
def command(
    tick: str | None,
    journal: Path | None,
    config_path: Path | None,
    deployment: str | None,
    why_not: tuple[str, ...],
    output: str,
) -> None:
    """Explain one decision, from its record in the journal.

    TICK is a tick's name, as log lines and reports give it, or a moment such as 2026-11-27T03:12:00Z: the
    decision that held then. Without it the newest is explained.
    """
    from planner.report.other_counts import other_counts
    from planner.report.ticks import find_record

    asked = [_asked(text) for text in why_not]
    folder, loaded = opened(journal, config_path)
    answer = find_record(folder, _wanted(tick, deployment))
    record = answer.record
    setting = setting_of(folder, record, loaded)
    if setting is None and asked:
        raise click.UsageError(
            f"{folder} does not hold what {record.tick_id} was decided with: say --config FILE as well"
        )
    others = None if setting is None else other_counts(record, setting, _each(asked, record))
    notes = (*answer.notes, *(() if others is None else others.notes))
    click.echo(_json(record, others, notes) if output == "json" else _text(record, others, notes), nl=False)


def _wanted(tick: str | None, deployment: str | None) -> Wanted:
    from planner.report.ticks import Wanted

    if tick is None:
        return Wanted(deployment)
    if "@" in tick:
        return Wanted(deployment, tick=tick)
    return Wanted(deployment, at_s=Moment(1970).convert(tick, None, None))


def _asked(text: str) -> int | dict[Role, int]:
    """Read `4` or `prefill=4,decode=2`; raises a usage error for anything else."""
    from models.values import Role

    if "=" not in text:
        return _count(text)
    found: dict[Role, int] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in set(Role):
            raise click.BadParameter(
                f"{name!r} is no role; write for example prefill=4", param_hint="--why-not"
            )
        found[Role(name)] = _count(value)
    return found


def _count(text: str) -> int:
    from models.policy import MOST_REPLICAS

    # The length first: Python refuses to read numbers of thousands of digits.
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MOST_REPLICAS:
        raise click.BadParameter(
            f"{text[:40]!r} is not a count from 1 to {MOST_REPLICAS}", param_hint="--why-not"
        )
    return int(text)


def _each(asked: Sequence[int | Mapping[Role, int]], record: Record) -> list[Mapping[Role, int]]:
    """Turn a plain count into one question for each role."""
    return [
        counts
        for one in asked
        for counts in ([{role: one} for role in record.decision.final] if isinstance(one, int) else [one])
    ]


def _sentences(record: Record, others: Others | None) -> list[str]:
    from models.render.why_not import why_not

    if others is None or others.decided is None:
        return []
    return [why_not(record, each, others.decided) for each in others.asked]


def _text(record: Record, others: Others | None, notes: Sequence[str]) -> str:
    from models.render.explanation import explanation

    horizon_s = None if others is None else others.horizon_s
    return explanation(record, horizon_s, _sentences(record, others), notes)


def _json(record: Record, others: Others | None, notes: Sequence[str]) -> str:
    from models import codec

    asked = () if others is None else others.asked
    body = {
        "schema": SCHEMA,
        "summary": str(record.decision),
        "why_not": [
            {**codec.to_plain(each), "enough": each.enough, "sentence": said}
            for each, said in zip(asked, _sentences(record, others), strict=True)
        ],
        "notes": list(notes),
        "record": codec.to_plain(record),
    }
    return json.dumps(body, indent=2, allow_nan=False) + "\n"
