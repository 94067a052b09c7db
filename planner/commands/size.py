"""Answer a capacity question from a profile: which fleet, what it delivers, what binds. No cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from config.commandline import COUNT, DURATION, FILE, TOKENS, FiniteRange
from planner.commands.options import output_option

if TYPE_CHECKING:
    from models.artifact import LayoutProfile
    from models.capacity.start_burst import BenchmarkView
    from models.mix import RequestMix
    from models.plan.question import Answer
    from models.values import Role, Router

_LOAD = FiniteRange(1e-6, 1e9)


@click.command("size")
@click.option("--profile", "profile_path", type=FILE, required=True, help="Profile artifact.")
@click.option("--rate", type=_LOAD, help="Requests per second.")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1_000_000_000),
    help="Users of a closed loop, instead of --rate; needs --replicas.",
)
@click.option(
    "--requests-per-user",
    type=click.IntRange(1, 10_000),
    default=8,
    show_default=True,
    help="With --concurrency: requests of a benchmark, start burst included, over its users.",
)
@click.option("--isl", type=TOKENS, required=True, help="Prompt tokens per request, such as 8k.")
@click.option("--osl", type=TOKENS, required=True, help="Output tokens per request.")
@click.option(
    "--shortest",
    type=FiniteRange(0.01, 1.0),
    default=1.0,
    show_default=True,
    help="Lengths spread evenly from this share of --isl and --osl up to them.",
)
@click.option("--cached", type=COUNT, default="0", help="Prompt tokens found in the prefix cache.")
@click.option("--ttft", type=DURATION, help="Promised time to first token, such as 300ms.")
@click.option("--itl", type=DURATION, help="Promised mean time per output token.")
@click.option("--e2e", type=DURATION, help="Promised end-to-end time.")
@click.option(
    "--quantile", type=FiniteRange(0.5, 0.9999), default=0.99, show_default=True, help="Share kept."
)
@click.option("--layout", help="Layouts per role, such as prefill=TP1,decode=TEP4 or aggregated=DEP4.")
@click.option("--replicas", help="Predict this fleet instead of searching, such as prefill=2,decode=4.")
@click.option(
    "--router", type=click.Choice(["load", "round-robin", "random"]), default="load", show_default=True
)
@click.option("--budget", type=click.IntRange(1, 1_000_000), help="GPUs at most.")
@output_option("table", "json")
def command(output: str, **question: Any) -> None:
    """Say which fleet a load needs, or what a fleet delivers."""
    if (question["rate"] is None) == (question["concurrency"] is None):
        raise click.UsageError("say either --rate or --concurrency")
    if question["concurrency"] is not None and not question["replicas"]:
        raise click.UsageError("--concurrency needs --replicas: a closed loop adapts to any fleet")
    if question["cached"] > question["isl"]:
        raise click.BadParameter("more tokens are cached than --isl has", param_hint="--cached")
    answer, burst = _answer(**question)
    if output == "json":
        closed = {} if question["concurrency"] is None else {"burst": _plain_burst(burst, question)}
        click.echo(json.dumps({**_plain(answer), **closed}, indent=2))
    else:
        click.echo(_table(answer, burst))


def _answer(
    profile_path: Path, layout: str | None, replicas: str | None, router: str, **q: Any
) -> tuple[Answer, BenchmarkView | str | None]:
    """Answer the question; of a closed loop also what a benchmark sees, or why that is not computed."""
    from models.capacity.closed_loop import predict_closed
    from models.capacity.load import ClassLoad
    from models.mix import RequestMix
    from models.plan.question import judge, judged, smallest_fleet
    from models.values import RequestClass, Role, Router, Slo
    from planner.stocks import choose_layouts
    from planner.wiring import read_profile

    profile = read_profile(profile_path)
    stated = {Role(r): n for r, n in _pairs("--layout", layout).items()}
    counts = {Role(r): _whole(n) for r, n in _pairs("--replicas", replicas).items()}
    if Role.AGGREGATED in {*stated, *counts} and len({*stated, *counts}) > 1:
        raise click.UsageError("a fleet is either prefill and decode, or aggregated alone")
    default = (Role.AGGREGATED,) if Role.AGGREGATED in {*stated, *counts} else (Role.PREFILL, Role.DECODE)
    layouts = choose_layouts(profile.artifact, stated, default)
    if counts and set(counts) != set(layouts):
        raise click.UsageError(f"--replicas must name {' and '.join(layouts)}")
    slo = Slo(q["ttft"], q["itl"], q["e2e"], q["quantile"])
    mix = RequestMix.evenly(q["isl"], q["osl"], q["shortest"], q["cached"])
    kind, way = RequestClass("requests", slo), Router(router)
    fleet = {role: (layouts[role], n) for role, n in counts.items()}
    if q["concurrency"] is not None:
        prediction = predict_closed(kind, mix, q["concurrency"], fleet, way)
        answer = judged(ClassLoad.steady(kind, prediction.rate_rps, mix), layouts, counts, prediction)
        return answer, _burst(mix, q["concurrency"], fleet, way, q["requests_per_user"])
    load = ClassLoad.steady(kind, q["rate"], mix)
    return (judge(load, fleet, way) if fleet else smallest_fleet(load, layouts, way, q["budget"])), None


def _burst(
    mix: RequestMix, users: int, fleet: dict[Role, tuple[LayoutProfile, int]], router: Router, each: int
) -> BenchmarkView | str:
    from models.capacity.start_burst import with_start_burst

    try:
        return with_start_burst(mix, users, fleet, router, each)
    except ValueError as error:
        return str(error)


def _pairs(option: str, text: str | None) -> dict[str, str]:
    """Read `prefill=A,decode=B`; raises a usage error for anything else."""
    pairs = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        role, sign, value = part.strip().partition("=")
        if not sign or not value or role not in ("prefill", "decode", "aggregated"):
            raise click.BadParameter(
                f"{part!r} is not ROLE=VALUE with prefill, decode or aggregated", param_hint=option
            )
        if role in pairs:
            raise click.BadParameter(f"{role} is given twice", param_hint=option)
        pairs[role] = value
    if text is not None and not pairs:
        raise click.BadParameter("names no role", param_hint=option)
    return pairs


def _whole(text: str) -> int:
    from models.policy import MOST_REPLICAS

    # The length first: Python refuses to read numbers of thousands of digits.
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MOST_REPLICAS:
        raise click.BadParameter(
            f"{text[:40]!r} is not a whole number from 1 to {MOST_REPLICAS}", param_hint="--replicas"
        )
    return int(text)


def _plain(answer: Answer) -> dict[str, Any]:
    p = answer.prediction
    return {
        "schema": "headgate/size/v1",
        "feasible": answer.feasible,
        "why": answer.why,
        "layout": {role: layout.parallelism.name for role, layout in answer.layouts.items()},
        "replicas": dict(answer.replicas),
        "gpus": p.gpus,
        "rate_rps": _number(p.rate_rps),
        "ttft_s": {q: _number(getattr(p.ttft_s, q)) for q in ("mean", "p50", "p99")},
        "itl_s": {q: _number(getattr(p.itl_s, q)) for q in ("mean", "p99")},
        "e2e_s": {q: _number(getattr(p.e2e_s, q)) for q in ("mean", "p99")},
        "output_tokens_per_s": _number(p.output_tokens_per_s),
        "tokens_per_s_per_gpu": _number(p.tokens_per_s_per_gpu),
        "output_tokens_per_s_per_decode_gpu": _number(p.output_tokens_per_s_per_decode_gpu),
        "utilisation": {role: round(u, 4) for role, u in p.utilisation.items()},
        "batch": _number(p.batch),
        "kv_occupancy": _number(p.kv_occupancy),
        "attainment": round(p.expected_attainment, 6),
        "binding": answer.binding,
        "extrapolated": p.extrapolated,
    }


def _plain_burst(burst: BenchmarkView | str | None, question: dict[str, Any]) -> dict[str, Any]:
    """Show what a benchmark reports: all its requests, those of the start among them."""
    from models.capacity.start_burst import BenchmarkView

    if not isinstance(burst, BenchmarkView):
        return {"requests_per_user": question["requests_per_user"], "requests": None, "why": burst}
    times = {"ttft_s": burst.ttft_s, "itl_s": burst.itl_s, "e2e_s": burst.e2e_s}
    return {
        "requests_per_user": question["requests_per_user"],
        "requests": burst.requests,
        "span_s": _number(burst.span_s),
        **{k: {q: _number(getattr(v, q)) for q in ("mean", "p50", "p99")} for k, v in times.items()},
        "output_tokens_per_s": _number(burst.output_tokens_per_s),
        "tokens_per_s_per_gpu": _number(burst.tokens_per_s_per_gpu),
    }


def _number(value: float) -> float | None:
    """Round to 6 significant digits; a time without bound is null."""
    return float(f"{value:.6g}") if abs(value) < float("inf") else None


def _table(answer: Answer, burst: BenchmarkView | str | None) -> str:
    from models.capacity.start_burst import BenchmarkView
    from models.units import show_count, show_duration

    p = answer.prediction

    def times(latency: Any) -> str:
        shown = [(q, getattr(latency, q)) for q in ("mean", "p50", "p99")]
        return "  ".join(f"{q} {show_duration(v)}" for q, v in shown)

    fleet = ", ".join(
        f"{n} x {answer.layouts[role].parallelism.name} {role}" for role, n in answer.replicas.items()
    )
    rows = [
        ("FEASIBLE", f"{'yes' if answer.feasible else 'no'}: {answer.why}"),
        ("FLEET", f"{fleet} = {p.gpus} GPUs"),
        ("LOAD", f"{p.rate_rps:.4g} requests/s"),
        ("TTFT", times(p.ttft_s)),
        ("ITL", times(p.itl_s)),
        ("E2E", times(p.e2e_s)),
        ("OUTPUT", f"{show_count(p.output_tokens_per_s)} tokens/s"),
        ("PER GPU", f"{show_count(p.tokens_per_s_per_gpu)} tokens/s (input and output)"),
        ("ATTAINMENT", f"{p.expected_attainment:.2%}"),
        ("BINDING", answer.binding.value),
        ("BUSY", ", ".join(f"{role} {u:.0%}" for role, u in p.utilisation.items())),
        ("BATCH", f"{p.batch:.3g} sequences per decode replica, KV cache {p.kv_occupancy:.0%} full"),
    ]
    if isinstance(burst, BenchmarkView):
        rows += [
            ("BENCHMARK", f"{burst.requests:,} requests, {burst.users:,} at a time, all starting at once"),
            ("  TTFT", times(burst.ttft_s)),
            ("  ITL", times(burst.itl_s)),
            ("  OUTPUT", f"{show_count(burst.output_tokens_per_s)} tokens/s over the whole run"),
            ("  PER GPU", f"{show_count(burst.tokens_per_s_per_gpu)} tokens/s (input and output)"),
        ]
    elif burst is not None:
        rows.append(("BENCHMARK", burst))
    if p.extrapolated:
        rows.append(("NOTE", "read outside the measured grid: extrapolated"))
    return "\n".join(f"{name:<12}{text}" for name, text in rows)
