"""Write a profile in another program's format: Dynamo's profiler, Dynamo's mocker, CSV of measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from config.commandline import FILE, TOKENS
from profiler.commands.profilefile import read_profile

if TYPE_CHECKING:
    from models.artifact import LayoutProfile, ProfileArtifact
    from models.values import Role

FORMATS = ("dynamo", "mocker", "csv")


@click.command("export")
@click.argument("profile", type=FILE)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    required=True,
    help="dynamo: its planner's folder; mocker: its table of engine times; csv: every measured point.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder (dynamo) or file (mocker, csv; without it CSV goes to stdout).",
)
@click.option("--prefill", help="Prefill layout, such as TP1; default: the selected one. Not for csv.")
@click.option("--decode", help="Decode layout, such as TEP4; default: the selected one. Not for csv.")
@click.option("--isl", type=TOKENS, help="Longest prompt to write (dynamo); default: all that is covered.")
@click.option(
    "--osl",
    type=TOKENS,
    default="500",
    show_default=True,
    help="Output tokens for which each decode point must have room in the KV cache (dynamo).",
)
def command(profile: Path, form: str, out: Path | None, **options: Any) -> None:
    """Write PROFILE for Dynamo's planner, Dynamo's mocker, or as a CSV of measurements."""
    artifact = read_profile(profile).artifact
    if form == "csv":
        _write_csv(artifact, out, options)
        return
    if out is None:
        raise click.UsageError(f"--format {form} needs --out")
    first = _layout(artifact, "prefill", options["prefill"])
    second = _layout(artifact, "decode", options["decode"])
    if form == "mocker":
        from profiler.exchange.dynamo import mocker_table
        from profiler.exchange.files import write_mocker

        write_mocker(mocker_table(first, second), out)
        written: tuple[Path, ...] = (out,)
    else:
        written = _write_dynamo(artifact, first, second, out, options["isl"] or float("inf"), options["osl"])
    for path in written:
        click.echo(f"Wrote {path}", err=True)


def _write_dynamo(
    artifact: ProfileArtifact,
    first: LayoutProfile,
    second: LayoutProfile,
    out: Path,
    isl: float,
    osl: float,
) -> tuple[Path, ...]:
    from models.errors import InputError
    from profiler.exchange import dynamo
    from profiler.exchange.assembling import DYNAMO
    from profiler.exchange.files import write_folder

    if artifact.backend == DYNAMO:
        prefill = dynamo.kept_prefill_table(first, isl)
        decode = dynamo.kept_decode_table(second, isl, osl)
    else:
        prefill = dynamo.prefill_table(first, isl)
        decode = dynamo.decode_table(second, isl, osl)
    if not prefill.isl or not decode.context:
        what = f"{first.key} reaches" if not prefill.isl else f"{second.key} holds"
        raise InputError(
            f"nothing to write: no point that {what} has prompts up to {isl:g} tokens; raise --isl"
        )
    return write_folder(prefill, decode, out)


def _write_csv(artifact: ProfileArtifact, out: Path | None, options: dict[str, Any]) -> None:
    from profiler.exchange.measurements import to_csv

    if options["prefill"] or options["decode"]:
        raise click.UsageError("--format csv writes every layout: --prefill and --decode are not for it")
    if out is None:
        click.echo(to_csv(artifact), nl=False)
        return
    from config.textfile import replace_text

    replace_text(to_csv(artifact), out)
    click.echo(f"Wrote {out}", err=True)


def _layout(artifact: ProfileArtifact, role: str, name: str | None) -> LayoutProfile:
    """Return a layout by name, from the role or from the aggregated ones; the selected one without a name."""
    from models.errors import ArtifactError
    from models.values import Role

    wanted = Role(role)
    for place in (wanted, Role.AGGREGATED):
        chosen = name.upper() if name else _selected(artifact, place)
        if chosen is None:
            continue
        try:
            return artifact.layout(place, chosen)
        except KeyError as error:
            missing = str(error.args[0])
            if place is Role.AGGREGATED or not _has(artifact, Role.AGGREGATED, chosen):
                raise ArtifactError(missing) from None
    held = ", ".join(x.parallelism.name for x in artifact.layouts if x.role is wanted) or "none"
    raise ArtifactError(f"the profile selects no {role} layout; name one with --{role} (it holds {held})")


def _selected(artifact: ProfileArtifact, role: Role) -> str | None:
    return artifact.selection.layout(role) if artifact.selection else None


def _has(artifact: ProfileArtifact, role: Role, name: str) -> bool:
    return any(x.role is role and x.parallelism.name == name for x in artifact.layouts)
