"""Measure every layout in every role, select under a promise and a budget, write the profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from config.commandline import COUNT, DURATION, FILE, QUANTILE, RATE, TOKENS, FiniteRange
from config.textfile import replace_text
from profiler.commands.clustered import job_options
from profiler.commands.measuring import deployed, measured_options

if TYPE_CHECKING:
    from models.artifact import Profile, ProfileArtifact
    from profiler.order import Order
    from profiler.sweep import Swept
    from profiler.wiring import Bench

_PRECISION = click.Choice(["bf16", "fp8", "fp4"])


@click.command("sweep")
@click.option("--model", required=True, help="Model card by name, or a card of your own (card.yaml).")
@click.option(
    "--hardware", required=True, help="GPU card by name or path; or per role, prefill=h100,decode=gb200."
)
@click.option("--engine", default="trtllm", show_default=True, help="Engine card: trtllm, sglang, vllm.")
@click.option(
    "--backend",
    type=click.Choice(["roofline", "silicon", "endpoint", "job"]),
    default="roofline",
    show_default=True,
    help="Where times come from: a formula, a database of measured kernels, a live endpoint, a cluster.",
)
@click.option("--out", type=FILE, required=True, help="Profile artifact to write.")
@click.option("--report", type=FILE, help="HTML report to write as well.")
@click.option(
    "--layouts",
    help="Only these, such as TP1,TEP4,DEP8,TP8-PP2, or prefill=TP1,TP2,decode=TEP4; default: all legal.",
)
@click.option("--rate", type=RATE, help="Requests per second to select for; default: what --budget carries.")
@click.option("--isl", type=TOKENS, default="1k", show_default=True, help="Prompt tokens per request.")
@click.option("--osl", type=TOKENS, default="1k", show_default=True, help="Output tokens per request.")
@click.option(
    "--mix", help="Requests of several lengths instead, SHARE:ISL/OSL, such as 70%:8k/50,30%:600/700."
)
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
@click.option(
    "--budget", help="GPUs at hand, such as 28, or per hardware, h100=16,gb200=12; default: no bound."
)
@click.option("--price", help="Price of a GPU-hour, such as gb200=12.5: then the cheapest fleet wins.")
@click.option("--weights", type=_PRECISION, help="Number format of the weights; default: the checkpoint's.")
@click.option("--kv-cache", type=_PRECISION, help="Number format of the KV cache; default: the model card's.")
@click.option(
    "--prefix-share",
    type=FiniteRange(0.0, 0.99),
    default=0.0,
    help="Share of each prompt that the prefix cache holds.",
)
@click.option("--draft-tokens", type=click.IntRange(0, 64), default=0, help="Tokens speculated per step.")
@click.option(
    "--accepted-tokens",
    type=FiniteRange(1.0, 65.0),
    default=1.0,
    help="Tokens that a speculating step emits on average, its own included.",
)
@click.option(
    "--sampling",
    type=click.Choice(["full", "adaptive"]),
    help="Which points to measure; default: all where they cost nothing, else as few as --error allows.",
)
@click.option(
    "--error", type=FiniteRange(0.005, 0.5), default=0.05, show_default=True, help="Error to stop at."
)
@click.option("--gpu-minutes", type=COUNT, help="GPU-minutes that measuring may hold.")
@click.option(
    "--max-context", type=TOKENS, help="Longest prompt and context to measure; default: the model's."
)
@click.option(
    "--measurements",
    type=FILE,
    help="Where points are kept as they are made, to go on from after a stop; default: beside --out.",
)
@click.option(
    "--plan",
    "plan_only",
    is_flag=True,
    help="Show what would be measured, and what it takes; measure nothing.",
)
@click.option(
    "--silicon-config",
    default="",
    help="The silicon database's name of the model, or a folder with its config.json.",
)
@measured_options
@job_options
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json"]), default="table", show_default=True
)
def command(**options: Any) -> None:
    """Measure every layout in every role, select under a promise and a budget, write the profile.

    Without --ttft, --itl and --e2e the cheapest layouts for the rate are selected.
    """
    from models.artifact import dump, parse
    from profiler import wiring

    order = _order(options)
    work = wiring.bench(order, _make(order, options))
    if options["plan_only"]:
        from profiler.commands.plantable import show_plan

        show_plan(order, work, options["output"])
        return
    text = dump(_profile(order, work, options))
    replace_text(text, options["out"])
    click.echo(f"Wrote {options['out']}", err=True)
    if order.backend == "job":
        from profiler.commands.clustered import publish

        publish(order, options, text)
    published = parse(text, str(options["out"]))
    if options["report"]:
        from models.render.profile_page import render

        replace_text(render(published), options["report"])
        click.echo(f"Wrote {options['report']}", err=True)
    if options["output"] == "json":
        click.echo(json.dumps(_summary(published), indent=2))
    else:
        from models.render.tables import profile_table

        click.echo(profile_table(published, options["output"] == "wide"), nl=False)


def _order(options: dict[str, Any]) -> Order:
    from models.hardware import Precision
    from profiler.order import Order

    def precision(name: str) -> Precision | None:
        return Precision(options[name]) if options[name] else None

    return Order(
        model=options["model"],
        hardware=options["hardware"],
        engine=options["engine"],
        backend=options["backend"],
        layouts=deployed(options["layouts"]) if options["backend"] == "endpoint" else options["layouts"],
        rate_rps=options["rate"],
        mix=options["mix"],
        isl_tokens=options["isl"],
        osl_tokens=options["osl"],
        quantile=options["quantile"],
        ttft_s=options["ttft"],
        itl_s=options["itl"],
        e2e_s=options["e2e"],
        budget=options["budget"],
        price=options["price"],
        weight_precision=precision("weights"),
        kv_precision=precision("kv_cache"),
        prefix_ratio=options["prefix_share"],
        draft_tokens=options["draft_tokens"],
        accepted_tokens=options["accepted_tokens"],
        sampling=options["sampling"],
        error_ratio=options["error"],
        gpu_minutes=options["gpu_minutes"],
        max_context_tokens=int(options["max_context"]) if options["max_context"] else None,
        silicon_config=options["silicon_config"],
    )


def _make(order: Order, options: dict[str, Any]) -> Any:
    """Return what makes the backends that measure; None for those that cards alone make."""
    if order.backend == "endpoint":
        from profiler.commands.measuring import endpoints

        return endpoints(order, options)
    if order.backend == "job":
        from profiler.commands.clustered import planning

        return planning(order, options)
    return None


def _profile(order: Order, work: Bench, options: dict[str, Any]) -> ProfileArtifact:
    """Carry the order out and publish what it found."""
    from datetime import UTC, datetime

    from profiler import wiring
    from profiler.commands.progress import Progress
    from profiler.publish import publish

    asked = wiring.question(order, work)
    created_at = datetime.now(UTC).replace(microsecond=0).isoformat()
    with Progress() as progress:
        swept = _swept(order, work, options, progress.update)
        search_rate = order.rate_rps is None and bool(asked.budget_gpus)
        return publish(work, swept, asked, created_at, progress.update, search_rate)


def _swept(order: Order, work: Bench, options: dict[str, Any], progress: Any) -> Swept:
    from profiler import wiring
    from profiler.planning import plan
    from profiler.store import FileStore, NoStore
    from profiler.sweep import Terms, sweep

    path = options["measurements"] or (
        None if work.backend.computed else Path(f"{options['out']}.measurements.jsonl")
    )
    store = FileStore(path, work.identity) if path else NoStore()
    try:
        if order.backend == "job":
            from profiler.commands.clustered import run

            return run(order, work, options, store, progress)
        terms = Terms(wiring.sampler(order, work), store, wiring.rivals(order, work), order.gpu_minutes)
        planned = plan(work.roles, wiring.scope(work, order.max_context_tokens))
        return sweep(planned, work.roles, terms, progress)
    except KeyboardInterrupt:
        if path:
            click.echo(f"What was measured is in {path}; the same command goes on from there.", err=True)
        raise


def _summary(published: Profile) -> dict[str, Any]:
    """Return what was decided and how, without the surfaces: those stand in the artifact."""
    from models import codec

    artifact = published.artifact
    plain = codec.to_plain(artifact)
    kept = (
        "model",
        "machines",
        "engine",
        "backend",
        "created_at",
        "serving",
        "question",
        "selection",
        "pareto",
        "left_out",
        "effort",
    )
    measured = [
        {
            "role": layout.role.value,
            "layout": layout.parallelism.name,
            "hardware": layout.hardware,
            "gpus": layout.gpus,
            "kv_capacity_tokens": layout.kv_capacity_tokens,
        }
        for layout in artifact.layouts
    ]
    body = {key: plain[key] for key in kept}
    return {"schema": "headgate/sweep/v2", "digest": published.digest, **body, "layouts": measured}
