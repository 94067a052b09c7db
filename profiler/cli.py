"""Run `headgate-profiler`: profile a model on a kind of hardware, and show what a profile holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from config.commandline import DURATION, FILE, QUANTILE, RATE, TOKENS, run
from config.textfile import replace_text
from models.errors import ConfigError
from models.version import VERSION

if TYPE_CHECKING:
    from models.artifact import Profile


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="headgate-profiler")
def profiler() -> None:
    """Profile a model once, before it goes live: which layouts fit, how fast they are, which to run."""


@profiler.command("sweep")
@click.option("--model", required=True, help="Model card by name, or a card of your own (card.yaml).")
@click.option("--hardware", required=True, help="GPU card by name, or a card of your own (card.yaml).")
@click.option("--engine", default="trtllm", show_default=True, help="Engine card: trtllm, sglang.")
@click.option(
    "--backend",
    type=click.Choice(["roofline"]),
    default="roofline",
    show_default=True,
    help="Where times come from.",
)
@click.option("--out", type=FILE, required=True, help="Profile artifact to write.")
@click.option("--report", type=FILE, help="HTML report to write as well.")
@click.option("--layouts", help="Only these, such as TP1,TP4,TEP4,DEP8; default: every legal one.")
@click.option("--rate", type=RATE, default="10", show_default=True, help="Requests per second to select for.")
@click.option("--isl", type=TOKENS, default="1k", show_default=True, help="Prompt tokens per request.")
@click.option("--osl", type=TOKENS, default="1k", show_default=True, help="Output tokens per request.")
@click.option("--ttft", type=DURATION, help="Promise: time to first token, such as 300ms.")
@click.option("--itl", type=DURATION, help="Promise: mean time per output token, such as 20ms.")
@click.option("--e2e", type=DURATION, help="Promise: time to the last token, such as 500ms.")
@click.option(
    "--quantile",
    type=QUANTILE,
    default=0.99,
    show_default=True,
    help="Share of requests that must keep the promise.",
)
@click.option("--budget", type=click.IntRange(1, 1_000_000), help="GPUs at hand; default: no bound.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json"]), default="table", show_default=True
)
def sweep(**options: Any) -> None:
    """Measure every layout in every role, select under a promise and a budget, write the profile.

    Without --ttft, --itl and --e2e the cheapest layouts for the rate are selected.
    """
    from datetime import UTC, datetime

    from models.artifact import Question, dump, parse
    from profiler.publish import profile
    from profiler.wiring import bench

    work = bench(
        options["model"], options["hardware"], options["engine"], options["backend"], options["layouts"]
    )
    if options["isl"] + options["osl"] > work.arch.max_context_tokens:
        raise ConfigError(
            f"--isl and --osl exceed the {work.arch.max_context_tokens} tokens of context of {work.arch.name}"
        )
    question = Question(
        rate_rps=options["rate"],
        isl_tokens=options["isl"],
        osl_tokens=options["osl"],
        quantile=options["quantile"],
        ttft_s=options["ttft"],
        itl_s=options["itl"],
        e2e_s=options["e2e"],
        budget_gpus=options["budget"],
    )
    created_at = datetime.now(UTC).replace(microsecond=0).isoformat()
    with _Progress() as progress:
        text = dump(profile(work, question, created_at, progress.update))
    replace_text(text, options["out"])
    click.echo(f"Wrote {options['out']}", err=True)
    published = parse(text, str(options["out"]))
    if options["report"]:
        from models.render.profile_page import render

        replace_text(render(published), options["report"])
        click.echo(f"Wrote {options['report']}", err=True)
    if options["output"] == "json":
        click.echo(json.dumps(_summary(published), indent=2))
    else:
        _show_table(published, wide=options["output"] == "wide")


@profiler.command("show")
@click.argument("file", type=FILE)
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "yaml"]), default="table", show_default=True
)
def show(file: Path, output: str) -> None:
    """Show what a profile holds: layouts, their speeds, the selection and what was left out."""
    from models.artifact import parse
    from models.errors import ArtifactError

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text, and profiles are JSON"
        raise ArtifactError(f"{file}: cannot be read: {reason}") from None
    published = parse(text, str(file))
    if output == "json":
        click.echo(text, nl=False)
    elif output == "yaml":
        from config.yamltext import write_yaml

        click.echo(write_yaml(json.loads(text)), nl=False)
    else:
        _show_table(published, wide=output == "wide")


def main() -> None:
    """Run the command line; what is wrong is one line on stderr and exit code 1."""
    run(profiler)


def _show_table(published: Profile, wide: bool) -> None:
    from models.render.tables import profile_table

    click.echo(profile_table(published, wide), nl=False)


def _summary(published: Profile) -> dict[str, Any]:
    """Return what was decided and how, without the surfaces: those stand in the artifact."""
    from models import codec

    artifact = published.artifact
    plain = codec.to_plain(artifact)
    kept = (
        "model",
        "hardware",
        "engine",
        "backend",
        "created_at",
        "question",
        "selection",
        "pareto",
        "left_out",
    )
    measured = [
        {
            "role": layout.role.value,
            "layout": layout.parallelism.name,
            "gpus": layout.gpus,
            "kv_capacity_tokens": layout.kv_capacity_tokens,
        }
        for layout in artifact.layouts
    ]
    body = {key: plain[key] for key in kept}
    return {"schema": "headgate/sweep/v1", "digest": published.digest, **body, "layouts": measured}


class _Progress:
    """Draw a progress bar on stderr when it is a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("sweep")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int, what: str) -> None:
        """Show how far the work is."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=max(total, 1), description=what)
