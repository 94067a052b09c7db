"""Offer the flags of backends that measure a running engine, and make those backends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from config.commandline import COUNT, DURATION, FILE, FiniteRange

if TYPE_CHECKING:
    from models.architecture import Architecture
    from models.values import Role
    from profiler.measure.backend import Backend
    from profiler.order import Order
    from profiler.planning import RoleBench
    from profiler.wiring import MakeBackend

Command = TypeVar("Command", bound=Callable[..., Any])

_ENDPOINT = (
    click.option("--endpoint", help="URL of an OpenAI-compatible endpoint that serves one layout per role."),
    click.option("--served-model", help="The endpoint's name of the model, where it is not the card's."),
    click.option(
        "--endpoint-replicas",
        help="Replicas behind the endpoint, such as prefill=2,decode=1; default: 1 each.",
    ),
    click.option(
        "--api-key-file",
        type=FILE,
        help="File with the endpoint's API key; default: HEADGATE_ENDPOINT_API_KEY.",
    ),
    click.option(
        "--endpoint-header", "endpoint_headers", multiple=True, help="Header to send, 'Name: value'."
    ),
    click.option("--ca-file", type=FILE, help="Certificates to trust beside the system's."),
    click.option(
        "--endpoint-metrics", help="URL of the engine's metrics; default: /metrics of the endpoint."
    ),
    click.option("--endpoint-timeout", type=DURATION, default="120s", help="Longest wait without an answer."),
    click.option(
        "--max-num-seqs", type=click.IntRange(1), help="The engine's limit of sequences in a batch."
    ),
    click.option(
        "--max-num-batched-tokens",
        type=click.IntRange(1),
        help="The engine's limit of prompt tokens per iteration.",
    ),
    click.option("--kv-capacity", type=COUNT, help="Tokens that a replica's KV cache holds."),
    click.option(
        "--confidence",
        type=FiniteRange(0.001, 0.5),
        default=0.03,
        show_default=True,
        help="Repeat a point until the 95 % interval of its mean is within this share of it.",
    ),
    click.option(
        "--max-repeats", type=click.IntRange(2, 1000), default=12, show_default=True, help="Repeats at most."
    ),
    click.option(
        "--max-point", type=DURATION, default="120s", show_default=True, help="Time at most per point."
    ),
)


def measured_options(function: Command) -> Command:
    """Add the flags of backends that measure."""
    for option in reversed(_ENDPOINT):
        function = option(function)
    return function


def deployed(layouts: str | None) -> str | None:
    """Return what an endpoint runs: layouts without a role read prompts and decode on the same replicas."""
    return f"aggregated={layouts}" if layouts and "=" not in layouts else layouts


def endpoints(order: Order, options: dict[str, Any]) -> MakeBackend:
    """Return what makes the endpoint backend of a role; raises a usage error where a flag is missing."""
    if not options["endpoint"]:
        raise click.UsageError("--backend endpoint needs --endpoint URL")
    if not order.layouts:
        raise click.UsageError("--backend endpoint needs --layouts: say which layout the endpoint serves")

    def make(arch: Architecture, role: Role, bench: RoleBench) -> Backend:
        from profiler.measure.endpoint.backend import Endpoint
        from profiler.measure.endpoint.policy import EndpointPolicy, Stated
        from profiler.reading import per_role

        if len(bench.candidates.legal) != 1:
            named = ", ".join(layout.name for layout in bench.candidates.legal) or "none that can run"
            raise click.UsageError(f"--layouts must name the one layout that serves {role}; it names {named}")
        replicas = (
            per_role(options["endpoint_replicas"], "--endpoint-replicas")
            if options["endpoint_replicas"]
            else {}
        )
        headers = dict(_header(text) for text in options["endpoint_headers"])
        api_key = _api_key(options["api_key_file"])
        limits = (options["max_num_seqs"], options["max_num_batched_tokens"], options["kv_capacity"])
        try:
            policy = EndpointPolicy(
                url=options["endpoint"],
                model=arch.name,
                deployed={role: bench.candidates.legal[0]},
                vocabulary=arch.vocabulary,
                max_context_tokens=arch.max_context_tokens,
                served_model=options["served_model"],
                replicas={role: _whole(replicas[role])} if role in replicas else {},
                api_key=api_key,
                headers=headers,
                ca_file=str(options["ca_file"]) if options["ca_file"] else None,
                metrics_url=options["endpoint_metrics"],
                stated=Stated(*limits),
                error_ratio=options["confidence"],
                max_repeats=options["max_repeats"],
                max_point_s=options["max_point"],
                silence_s=options["endpoint_timeout"],
            )
        except ValueError as error:
            raise click.UsageError(f"--backend endpoint: {error}") from None
        return Endpoint(policy, bench.backend)

    return make


def _whole(text: str) -> int:
    if not text.isdecimal() or not 1 <= len(text) <= 6 or int(text) < 1:
        raise click.BadParameter(
            f"{text[:40]!r} is not a whole number from 1 up", param_hint="--endpoint-replicas"
        )
    return int(text)


def _api_key(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get("HEADGATE_ENDPOINT_API_KEY") or None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path} cannot be read: {error}", param_hint="--api-key-file") from None


def _header(text: str) -> tuple[str, str]:
    name, sign, value = text.partition(":")
    if not sign or not name.strip():
        raise click.BadParameter(f"{text[:40]!r} is not 'Name: value'", param_hint="--endpoint-header")
    return name.strip(), value.strip()
