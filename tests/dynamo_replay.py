"""Run Dynamo's own replay in its environment: write what it reads, start it, and score what it says."""

import csv
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.artifact import LayoutProfile
from models.series import Floats
from models.simulation.workload import Workload
from models.values import Role, Router
from profiler.exchange.dynamo import decode_table, mocker_table, prefill_table
from profiler.exchange.files import write_folder, write_mocker
from tests import components

HEADGATE = "planner.replay_policy:scaling_policy"
ROUTERS = {Router.LOAD: "kv_router", Router.ROUND_ROBIN: "round_robin"}
PLAYER = components.REPOSITORY / "tests" / "replay_player.py"
# A mooncake row names a block of its prompt by a hash; each prompt gets blocks of its own here.
HASHED_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Theatre:
    """Hold what every run on one trace shares.

    `layouts` are the workers' surfaces and limits; the promise is in seconds. `history` is `t_min`, `rps`,
    `isl` and `osl` of the minutes before, shape (minutes, 4). The mocker counts a sequence by whole blocks of
    `block_tokens`: wide ones make its steps longer than the surface says, narrow ones its router slow.
    """

    workload: Workload
    layouts: Mapping[Role, LayoutProfile]
    start: Mapping[Role, int]
    ttft_s: float
    itl_s: float
    startup_s: float = 120.0
    gpu_cap: int | None = None
    router: Router = Router.LOAD
    history: Floats | None = None
    block_tokens: int = 16


@dataclass(frozen=True, slots=True)
class Played:
    """Hold what one run showed: per request, shape (requests,), per tick, (ticks, 8), and in figures."""

    ttft_s: Floats
    tpot_s: Floats
    ticks: Floats
    figures: Mapping[str, float]
    gpus: Mapping[Role, int]
    promise: tuple[float, float] = field(default=(0.0, 0.0))

    @property
    def attainment(self) -> float:
        """Share of all requests that kept both promises."""
        return float(((self.ttft_s <= self.promise[0]) & (self.tpot_s <= self.promise[1])).mean())

    @property
    def gpu_hours(self) -> float:
        """GPU time of starting, active and draining workers until the last request was finished."""
        return sum(self.figures[f"{role}_worker_seconds"] * n for role, n in self.gpus.items()) / 3600.0


def play(
    folder: Path,
    theatre: Theatre,
    policy: str,
    timeout_s: float = 600.0,
    planner: Mapping[str, Any] | None = None,
    extra: Mapping[str, object] | None = None,
) -> Played:
    """Play the theatre's workload under a policy, in `folder`, at a low priority.

    `extra` keys are laid under those that a policy is given; `planner` are the settings of Dynamo's own.
    Raises AssertionError with what the process said when it failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {**(extra or {}), **_config(folder, theatre)}
    if planner is not None:
        config["planner"] = {**_planner(theatre), **planner}
    job = {
        "trace": str(folder / "trace.jsonl"),
        "timing": config["profile_npz"],
        "engines": {
            str(role): _engine(layout, theatre.block_tokens) for role, layout in theatre.layouts.items()
        },
        "start": {str(role): n for role, n in theatre.start.items()},
        "startup_s": theatre.startup_s,
        "router": ROUTERS[theatre.router],
        "gpus": {str(role): layout.gpus for role, layout in theatre.layouts.items()},
        "gpu_cap": theatre.gpu_cap,
        "policy": policy,
        "config": config,
    }
    _write_trace(folder / "trace.jsonl", theatre.workload)
    (folder / "job.json").write_text(json.dumps(job))
    command = ["nice", "-n", "19", str(components.dynamo()), str(PLAYER), str(folder / "job.json")]
    done = subprocess.run(
        [*command, str(folder / "out")],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(components.REPOSITORY), "DYN_LOG": "error"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(folder / "out.npz") as held:
        ttft_s, tpot_s, ticks = (np.asarray(held[key]) for key in ("ttft_s", "tpot_s", "ticks"))
    figures = json.loads((folder / "out.json").read_text())
    gpus = {role: layout.gpus for role, layout in theatre.layouts.items()}
    return Played(ttft_s, tpot_s, ticks, figures, gpus, (theatre.ttft_s, theatre.itl_s))


def _config(folder: Path, theatre: Theatre) -> dict[str, Any]:
    """Write profile and history, and return what a policy's factory is given."""
    prefill, decode = theatre.layouts[Role.PREFILL], theatre.layouts[Role.DECODE]
    write_folder(prefill_table(prefill), decode_table(decode), folder / "profile")
    write_mocker(mocker_table(prefill, decode), folder / "timing.npz")
    return {
        "history_csv": _write_history(folder / "history.csv", theatre.history),
        "profile_dir": str(folder / "profile"),
        "profile_npz": str(folder / "timing.npz"),
        "slo_ttft_ms": theatre.ttft_s * 1e3,
        "slo_itl_ms": theatre.itl_s * 1e3,
        "startup_s": theatre.startup_s,
        "gpu_cap": theatre.gpu_cap,
        "prefill_gpus": prefill.gpus,
        "decode_gpus": decode.gpus,
        "start_prefill": theatre.start[Role.PREFILL],
        "start_decode": theatre.start[Role.DECODE],
        "min_prefill": 1,
        "min_decode": 1,
        "prefill_max_num_seqs": prefill.limits.max_num_seqs,
        "decode_max_num_seqs": decode.limits.max_num_seqs,
        "max_num_batched_tokens": prefill.limits.max_num_batched_tokens,
        "decode_max_kv_tokens": int(decode.kv_capacity_tokens),
    }


def _planner(theatre: Theatre) -> dict[str, Any]:
    """Return the settings of Dynamo's planner that the theatre states."""
    return {
        "mode": "disagg",
        "backend": "mocker",
        "optimization_target": "sla",
        "ttft_ms": theatre.ttft_s * 1e3,
        "itl_ms": theatre.itl_s * 1e3,
        "max_gpu_budget": -1 if theatre.gpu_cap is None else theatre.gpu_cap,
        "min_endpoint": 1,
        "prefill_engine_num_gpu": theatre.layouts[Role.PREFILL].gpus,
        "decode_engine_num_gpu": theatre.layouts[Role.DECODE].gpus,
        "pre_deployment_sweeping_mode": "none",
        "report_interval_hours": None,
        "live_dashboard_port": 0,
    }


def _engine(layout: LayoutProfile, block_tokens: int) -> dict[str, int]:
    return {
        "kv_tokens": int(layout.kv_capacity_tokens),
        "block_size": block_tokens,
        "max_num_seqs": layout.limits.max_num_seqs,
        "max_num_batched_tokens": layout.limits.max_num_batched_tokens,
    }


def _write_trace(path: Path, workload: Workload) -> None:
    begin_s, block = workload.start_s, 0
    columns = (workload.arrival_s - begin_s, workload.isl_tokens, workload.osl_tokens)
    with path.open("w") as file:
        for at_s, isl, osl in zip(*(column.tolist() for column in columns), strict=True):
            blocks = -(-isl // HASHED_TOKENS)
            row = {"timestamp": round(at_s * 1e3, 3), "input_length": isl, "output_length": osl}
            file.write(json.dumps({**row, "hash_ids": list(range(block, block + blocks))}) + "\n")
            block += blocks


def _write_history(path: Path, history: Floats | None) -> str | None:
    if history is None:
        return None
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("t_min", "rps", "isl", "osl"))
        writer.writerows(history.tolist())
    return str(path)
