"""Make a profile from what was measured elsewhere: Dynamo's profiler files, or a CSV of measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from config.commandline import DURATION, FILE, Quantity

if TYPE_CHECKING:
    from models.architecture import Architecture
    from models.artifact import Machine, MeasuredPoint, ProfileArtifact
    from models.engine import Engine
    from models.hardware import Hardware
    from models.values import Parallelism, Role
    from profiler.exchange.assembling import Setting
    from profiler.exchange.measurements import Key
    from profiler.measure.backend import Refusal, Replica


# A replica of 72 GPUs holds some 10^8 tokens.
_ROOM = Quantity("count", 1, 1e12)


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["dynamo", "csv"]),
    required=True,
    help="dynamo: one folder of its profiler; csv: files with the columns that export --format csv writes.",
)
@click.option(
    "--model", required=True, help="Model card by name or path; any name where --kv-tokens is given."
)
@click.option(
    "--hardware", required=True, help="GPU card by name or path, or one a role: prefill=h100,decode=gb200."
)
@click.option(
    "--engine", default="trtllm", show_default=True, help="Engine card; any name where its limits are given."
)
@click.option("--prefill", help="Layout of the prefill worker, such as TP1 (dynamo).")
@click.option("--decode", help="Layout of the decode worker, such as TEP4 (dynamo).")
@click.option("--max-num-seqs", type=click.IntRange(1), help="Sequences in a batch, per attention rank.")
@click.option(
    "--max-num-batched-tokens", type=click.IntRange(1), help="Prompt tokens per iteration and attention rank."
)
@click.option("--kv-tokens", help="What the KV cache of one replica holds, by layout: TP1=1.2M,TEP4=9M.")
@click.option(
    "--overhead",
    type=DURATION,
    help="Part of each TTFT outside the engine (router, network); default: what the files tell, else none.",
)
@click.option("--out", type=FILE, required=True, help="Profile artifact to write.")
@click.option("--report", type=FILE, help="HTML report to write as well.")
def command(paths: tuple[Path, ...], form: str, out: Path, report: Path | None, **options: Any) -> None:
    """Make a profile from PATHS, for `headgate size`, `replay` and `run`.

    What the files do not hold (limits of the engine, room in the KV cache) comes from the cards of model,
    hardware and engine, or from the options.
    """
    from datetime import UTC, datetime

    from config.textfile import replace_text
    from models.artifact import dump, parse
    from models.render.tables import profile_table

    created_at = datetime.now(UTC).replace(microsecond=0).isoformat()
    make = _from_dynamo if form == "dynamo" else _from_csv
    text = dump(make(paths, options, created_at))
    replace_text(text, out)
    click.echo(f"Wrote {out}", err=True)
    published = parse(text, str(out))
    if report:
        from models.render.profile_page import render

        replace_text(render(published), report)
        click.echo(f"Wrote {report}", err=True)
    click.echo(profile_table(published), nl=False)


def _from_dynamo(paths: tuple[Path, ...], options: dict[str, Any], created_at: str) -> ProfileArtifact:
    from config.dynamo_profile import read_folder
    from models.values import Role
    from profiler.exchange.assembling import from_dynamo
    from profiler.layouts import parse

    if len(paths) > 1:
        raise click.UsageError("--format dynamo takes one folder")
    if not options["prefill"] or not options["decode"]:
        raise click.UsageError(
            "Dynamo's files do not name layouts: give them, such as --prefill TP1 --decode TEP4"
        )
    tables = read_folder(paths[0])
    layouts = (parse(options["prefill"].upper()), parse(options["decode"].upper()))
    by_role, hardware = _hardware(options["hardware"], (Role.PREFILL, Role.DECODE))
    return from_dynamo(tables, layouts, _setting(options, by_role, hardware), created_at)


def _from_csv(paths: tuple[Path, ...], options: dict[str, Any], created_at: str) -> ProfileArtifact:
    from dataclasses import replace

    from models.errors import InputError
    from profiler.exchange.assembling import from_points
    from profiler.exchange.measurements import from_csv, merged

    if options["prefill"] or options["decode"]:
        raise click.UsageError("a CSV names its layouts: --prefill and --decode are for --format dynamo")
    gathered: dict[Key, tuple[MeasuredPoint, ...]] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise InputError(f"{path}: cannot be read: {reason}") from None
        for key, points in from_csv(text, str(path)).items():
            gathered[key] = merged([*gathered.get(key, ()), *points])
    roles = tuple(dict.fromkeys(key.role for key in gathered))
    by_role, hardware = _hardware(options["hardware"], roles, {key.hardware for key in gathered})
    named = {
        replace(key, hardware=hardware[key.hardware].name if key.hardware else by_role[key.role]): points
        for key, points in gathered.items()
    }
    return from_points(named, _setting(options, by_role, hardware), created_at)


def _hardware(
    text: str, roles: tuple[Role, ...], named: set[str] | None = None
) -> tuple[dict[Role, str], dict[str, Hardware]]:
    """Return the hardware's name by role, and its card by every name that the option or the rows use."""
    from config import reference
    from models.errors import ConfigError
    from profiler.reading import per_role

    stated = per_role(text, "--hardware")
    for role in roles:
        if role not in stated:
            raise ConfigError(f"--hardware: there are {role} points; name the hardware of {role} as well")
    by_role = {role: reference.hardware(stated[role]) for role in roles}
    cards = {card.name: card for card in by_role.values()}
    cards |= {name: reference.hardware(name) for name in sorted(named or ()) if name}
    return {role: card.name for role, card in by_role.items()}, cards


def _setting(
    options: dict[str, Any], by_role: Mapping[Role, str], hardware: Mapping[str, Hardware]
) -> Setting:
    from models.artifact import EngineLimits, Machine
    from profiler.exchange.assembling import Setting

    seqs, tokens = options["max_num_seqs"], options["max_num_batched_tokens"]
    if (seqs is None) != (tokens is None):
        raise click.UsageError("--max-num-seqs and --max-num-batched-tokens are given together")
    arch, engine, lacking = _cards(options["model"], options["engine"])
    machines: dict[str, Machine] = {
        h.name: Machine(h.name, h.gpus_per_node, h.scaleup_gpus) for h in hardware.values()
    }
    return Setting(
        model=arch.name if arch else options["model"],
        engine=engine.name if engine else options["engine"],
        machines=tuple(machines.values()),
        hardware=by_role,
        describe=_describe(arch, engine, hardware, lacking),
        limits=EngineLimits(seqs, tokens) if seqs is not None else None,
        kv_tokens=_rooms(options["kv_tokens"]),
        overhead_s=options["overhead"],
    )


def _cards(model: str, engine: str) -> tuple[Architecture | None, Engine | None, str]:
    """Return the cards of model and engine where they are known, and what to say where they are not."""
    from config import reference
    from models.errors import ConfigError

    arch: Architecture | None = None
    served: Engine | None = None
    lacking = []
    try:
        arch = reference.architecture(model)
    except ConfigError as error:
        lacking.append(str(error))
    try:
        served = reference.engine(engine)
    except ConfigError as error:
        lacking.append(str(error))
    return arch, served, "; ".join(lacking)


def _describe(
    arch: Architecture | None, engine: Engine | None, hardware: Mapping[str, Hardware], lacking: str
) -> Callable[[Role, Parallelism, str], Replica | Refusal]:
    from profiler.layouts import why_not
    from profiler.measure.backend import Refusal
    from profiler.measure.roofline.estimator import Roofline

    def describe(role: Role, layout: Parallelism, name: str) -> Replica | Refusal:
        if arch is None or engine is None:
            return Refusal(lacking)
        reason = why_not(layout, arch, hardware[name])
        return Refusal(reason) if reason else Roofline(arch, hardware[name], engine).describe(role, layout)

    return describe


def _rooms(text: str | None) -> dict[str, float]:
    """Read `TP1=1.2M,TEP4=9M`; raises a usage error for anything else."""
    found: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in (text or "").split(","))):
        name, sign, value = part.partition("=")
        if not sign or not name.strip():
            raise click.BadParameter(
                f"{part[:40]!r} is not LAYOUT=TOKENS, such as TP1=1.2M", param_hint="--kv-tokens"
            )
        from profiler.layouts import parse

        found[parse(name.strip().upper()).name] = _ROOM.convert(value, None, None)
    return found
