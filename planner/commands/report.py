"""Score the decisions of a journal against what then happened: are they ready to be acted on?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from config.commandline import FILE
from planner.commands.journals import journal_options, opened, setting_of
from planner.commands.options import output_option
from planner.commands.reportfile import check_folder, write_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.loading import Loaded
    from models.decision import Record
    from models.track.criteria import Criteria
    from models.track.summary import Summary
    from planner.record.setting import Setting

NOT_READY = 3
# The longest span that is scored, and a day whose first hours may lie in the file before.
_DAYS = 29


@click.command("report")
@journal_options
@click.option("--out", type=FILE, help="HTML report to write.")
@click.option("--exit-code", is_flag=True, help="Exit 3 unless every deployment is ready to act.")
@output_option("table", "wide", "json", "csv", "markdown")
def command(
    journal: Path | None,
    config_path: Path | None,
    deployment: str | None,
    out: Path | None,
    exit_code: bool,
    output: str,
) -> None:
    """Score the decisions of a journal against what then happened.

    Over 1, 7 and 28 days: promises kept and GPU-hours taken, beside the fleet that ran and an oracle with the
    same start-up and bounds; how often forecasts held; and whether the deployment is ready to act, by the
    criteria of `readiness` in its configuration. The journal alone is enough.
    """
    from models.track.summary import summarise
    from planner.report.tracks import read_tracks

    folder, loaded = opened(journal, config_path)
    if out is not None:
        check_folder(out, "--out")

    def lookup(record: Record) -> Setting | None:
        return setting_of(folder, record, loaded)

    found = [
        summarise(
            each.track,
            _criteria(each.setting, each.track.deployment, loaded),
            each.records,
            each.version,
            each.notes,
            each.passed_over,
        )
        for each in read_tracks(folder, lookup, _DAYS, deployment)
    ]
    click.echo(_written(found, output), nl=False)
    if output == "csv":
        # Its rows have no place for them.
        for note in dict.fromkeys(note for each in found for note in each.notes):
            click.echo(f"Note: {note}", err=True)
    if out is not None:
        from models.render import track_page

        # Last: a disk that is full then costs the page alone.
        write_report(track_page.render(found), out)
    if exit_code and not all(each.judgement is not None and each.judgement.ready for each in found):
        sys.exit(NOT_READY)


def _criteria(setting: Setting, deployment: str, loaded: Loaded | None) -> Criteria:
    """Return the criteria of the configuration where one is given, else those that the journal holds."""
    if loaded is None or deployment not in {each.name for each in loaded.settings.deployments}:
        return setting.criteria
    return loaded.deployment(deployment).readiness.to_policy()


def _written(summaries: Sequence[Summary], output: str) -> str:
    from models.render.exchange import to_csv, to_markdown
    from models.render.track_grid import check_grid, span_grid
    from models.render.track_plain import SCHEMA, rows, to_plain
    from models.render.track_verdict import verdict

    if output == "json":
        return json.dumps({"schema": SCHEMA, **to_plain(summaries)}, indent=2, allow_nan=False) + "\n"
    if output == "csv":
        return to_csv(rows(summaries))
    grids = [(verdict(each), check_grid(each), span_grid(each)) for each in summaries]
    if output == "markdown":
        pages = (f"{said}\n\n{to_markdown(checks)}\n{to_markdown(spans)}" for said, checks, spans in grids)
        return "\n".join(pages)
    from models.render.grid import plain, to_text

    wide = output == "wide"
    texts = ((plain(str(said)), to_text(checks, wide), to_text(spans, wide)) for said, checks, spans in grids)
    return "\n".join(f"{said}\n\n{checks}\n{spans}" for said, checks, spans in texts)
