"""Ask the two programs the capacity questions whose answers were published, as a user would."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from click.testing import CliRunner

from models.units import show_count, show_duration
from planner.cli import headgate
from profiler.cli import profiler

# Public GB200 figures: one aggregated DEP4 replica, and the sum over ten nodes.
ONE_TRAY_TOKENS_PER_S = 105_227.0
FLEET_TOKENS_PER_S = 1.2e6
# The public recipe of the aggregated runs sends 10 requests per user, all of one length.
REQUESTS_PER_USER = 10
MOST_USERS = 1 << 17

Ask = Callable[..., dict[str, Any]]


def plans() -> dict[str, str]:
    """Return one line per plan."""
    with TemporaryDirectory() as folder:
        gpt = _profile(Path(folder), "gpt-oss-120b", "trtllm", "aggregated=TP1,DEP2,DEP4")
        wide = _profile(Path(folder), "deepseek-r1", "sglang", "prefill=DEP4,decode=DEP32")
        return {**one_tray(gpt), **ten_trays(gpt), **one_rack(wide)}


def one_tray(profile: Path) -> dict[str, str]:
    """Predict the published run of 2,048 users on one aggregated DEP4 replica, 128/1,000 tokens."""
    said = _ask(profile, "128", "1000", "aggregated=DEP4", "aggregated=1", 2048)["burst"]
    rate, itl, ttft = said["output_tokens_per_s"], said["itl_s"], said["ttft_s"]
    return {
        "gpt-oss-120b 1 x DEP4 aggregated, 2,048 users, 128/1,000": (
            f"{rate:,.0f} for {ONE_TRAY_TOKENS_PER_S:,.0f} tokens/s "
            f"({rate / ONE_TRAY_TOKENS_PER_S - 1:+.0%}), "
            f"ITL mean {_ms(itl['mean'])} for 17.27, p99 {_ms(itl['p99'])} for 19.02, "
            f"TTFT mean {show_duration(ttft['mean'])} for 1.77s, p99 {show_duration(ttft['p99'])} for 2.63s"
        )
    }


def ten_trays(profile: Path) -> dict[str, str]:
    """Find the users at which 40 GPUs give the published 1.2 million output tokens per second."""
    figures = {}
    for layout, replicas in (("DEP4", 10), ("DEP2", 20), ("TP1", 40)):

        def at(users: int, layout: str = layout, replicas: int = replicas) -> dict[str, Any]:
            return _ask(profile, "128", "1000", f"aggregated={layout}", f"aggregated={replicas}", users)

        label = f"gpt-oss-120b {replicas} x {layout} aggregated, 128/1,000"
        most = at(MOST_USERS)
        if most["output_tokens_per_s"] < FLEET_TOKENS_PER_S:
            figures[label] = (
                f"1.2M tokens/s at no number of users, at most {show_count(most['output_tokens_per_s'])}"
            )
            at_recipe = at(36_000)
            figures[f"{label}, 36,000 users as in the recipe"] = _plan(at_recipe)
            continue
        low, high = 1, MOST_USERS
        while high - low > max(low // 500, 1):
            middle = (low + high) // 2
            enough = at(middle)["output_tokens_per_s"] >= FLEET_TOKENS_PER_S
            low, high = (low, middle) if enough else (middle, high)
        figures[label] = f"{high:,} users: {_plan(at(high))}"
    return figures


def one_rack(profile: Path) -> dict[str, str]:
    """Fill one NVL72 with prefill DEP4 and decode DEP32, at rising numbers of users."""
    figures = {}
    for isl in ("8k", "1k"):
        for prefill, decode in ((10, 1), (2, 2)):
            for users in (512, 2048, 8192):
                counts = f"prefill={prefill},decode={decode}"
                said = _ask(profile, isl, "1k", "prefill=DEP4,decode=DEP32", counts, users)
                label = f"deepseek-r1 {prefill} x DEP4 + {decode} x DEP32 on 72 GPUs, {isl}/1k"
                figures[f"{label}, {users:,} users"] = _plan(said)
    return figures


def _plan(said: dict[str, Any]) -> str:
    busiest = max(said["utilisation"], key=lambda role: said["utilisation"][role])
    return (
        f"{show_count(said['output_tokens_per_s'])} output tokens/s, "
        f"{said['output_tokens_per_s'] / said['gpus']:,.0f} per GPU, ITL {_ms(said['itl_s']['mean'])}, "
        f"TTFT p50 {show_duration(said['ttft_s']['p50'])}, {busiest} {said['utilisation'][busiest]:.0%} busy"
        + ("; extrapolated" if said["extrapolated"] else "")
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def _profile(folder: Path, model: str, engine: str, layouts: str) -> Path:
    out = folder / f"{model}.json"
    arguments = ["--model", model, "--hardware", "gb200", "--engine", engine, "--backend", "roofline"]
    arguments += ["--layouts", layouts, "--max-context", "16k", "--out", str(out)]
    result = CliRunner().invoke(profiler, ["sweep", *arguments])
    assert result.exit_code == 0, result.output
    return out


def _ask(profile: Path, isl: str, osl: str, layout: str, replicas: str, users: int) -> dict[str, Any]:
    arguments = ["--isl", isl, "--osl", osl, "--layout", layout, "--replicas", replicas]
    # A benchmark of so many requests per user is worth its time for one replica only.
    each = REQUESTS_PER_USER if replicas == "aggregated=1" else 1
    arguments += ["--concurrency", str(users), "--requests-per-user", str(each), "-o", "json"]
    result = CliRunner().invoke(headgate, ["size", "--profile", str(profile), *arguments])
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer
