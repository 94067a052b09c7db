"""Play a trace through Dynamo's own replay under a scaling policy; run by the Python of Dynamo's environment.

    python replay_player.py JOB.json OUT

JOB holds `trace` (mooncake JSONL), `timing` (npz of the mocker), `engines` by role, `start` counts by role,
`startup_s`, `router` (round_robin or kv_router), `gpus` per worker and role, `gpu_cap`, `policy`, `config`.
`policy` is MODULE:FACTORY, called with the config, "hold" for a constant fleet, or "dynamo" for Dynamo's own
planner, whose settings are `config["planner"]`. OUT.npz becomes per request `ttft_s`, `tpot_s`, `arrival_s`,
and per tick `ticks` (seconds, then active, starting and draining of prefill and decode, prompts that wait);
OUT.json the report's figures, the time that the policy took, and its slowest tick.
"""

import importlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROLES = ("prefill", "decode")


def main(job_path: str, out: str) -> None:
    """Play one job."""
    from dynamo._core import run_mocker_trace_replay  # type: ignore[import-not-found]

    logging.basicConfig(level=logging.ERROR)
    job = json.loads(Path(job_path).read_text())
    watched = Watched(make_policy(job), job)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    report = run_mocker_trace_replay(
        [job["trace"]],
        prefill_engine_args=engine(job, "prefill"),
        decode_engine_args=engine(job, "decode"),
        num_prefill_workers=job["start"]["prefill"],
        num_decode_workers=job["start"]["decode"],
        router_mode=job["router"],
        report_jsonl_path=f"{out}.jsonl",
        scaling_policy=watched if job["policy"] != "hold" else None,
    )
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    rows = [json.loads(line) for line in Path(f"{out}.jsonl").read_text().splitlines()]
    columns = np.array([_latency(row) for row in rows])
    np.savez(
        f"{out}.npz",
        arrival_s=columns[:, 0],
        ttft_s=columns[:, 1],
        tpot_s=columns[:, 2],
        ticks=np.array(watched.seen, dtype=float).reshape(-1, 8),
    )
    figures = {key: value for key, value in report.items() if isinstance(value, int | float)}
    said = {"policy_cpu_s": watched.cpu_s, "slowest_tick_s": watched.slowest_s}
    said |= {"replay_wall_s": wall_s, "replay_cpu_s": cpu_s}
    Path(f"{out}.json").write_text(json.dumps({**figures, **said, "worst_queue": watched.worst_queue}))


def _latency(row: dict[str, Any]) -> tuple[float, float, float]:
    """Return arrival, TTFT and mean TPOT in seconds; infinite where the request was not finished."""
    arrived = row["arrival_time_ms"] / 1e3
    if row["terminal_status"] != "completed" or row["first_token_ms"] is None:
        return arrived, float("inf"), float("inf")
    gaps = max(row["output_length"] - 1, 1)
    return arrived, row["ttft_ms"] / 1e3, (row["last_token_ms"] - row["first_token_ms"]) / gaps / 1e3


def engine(job: dict[str, Any], role: str) -> Any:
    """Return the engine of one role's workers."""
    from dynamo._core import MockEngineArgs

    said = job["engines"][role]
    return MockEngineArgs(
        engine_type="vllm",
        num_gpu_blocks=said["kv_tokens"] // said["block_size"],
        block_size=said["block_size"],
        max_num_seqs=said["max_num_seqs"],
        max_num_batched_tokens=said["max_num_batched_tokens"],
        enable_prefix_caching=False,
        worker_type=role,
        planner_profile_data=job["timing"],
        startup_time=job["startup_s"],
    )


class Watched:
    """Stand between the replay and a policy: bound its targets, meter it, and note what was seen."""

    def __init__(self, policy: Any, job: dict[str, Any]) -> None:
        self.policy, self.job = policy, job
        self.cpu_s = self.slowest_s = 0.0
        self.seen: list[list[float]] = []
        self.worst_queue = 0
        timing = np.load(job["timing"])
        self.isl, self.ttft_ms = timing["prefill_isl"], timing["prefill_ttft_ms"]

    def initial_tick_ms(self) -> float:
        return float(self.policy.initial_tick_ms())

    def on_tick(self, told: dict[str, Any]) -> dict[str, Any]:
        for each in told["prefill_fpm_snapshots"]:
            self._as_prefill(each)
        queue = sum(each["num_queued_prefill"] for each in told["prefill_fpm_snapshots"])
        self.worst_queue = max(self.worst_queue, queue)
        states = ("active", "starting", "draining")
        counts = [told[f"{state}_{role}_count"] for role in ROLES for state in states]
        self.seen.append([told["now_ms"] / 1e3, *counts, queue])
        began_s = time.process_time()
        answer = self.policy.on_tick(told)
        took_s = time.process_time() - began_s
        self.cpu_s, self.slowest_s = self.cpu_s + took_s, max(self.slowest_s, took_s)
        return self._bounded(answer, told)

    def _as_prefill(self, said: dict[str, Any]) -> None:
        """Show a finished prompt as the prefill that it was, where prompts are served one at a time."""
        if said["num_decode_requests"] == 1 and not said["num_prefill_requests"] and not said["wall_time"]:
            tokens = said["sum_decode_kv_tokens"]
            seconds = float(np.interp(tokens, self.isl, self.ttft_ms)) / 1e3
            said.update(num_prefill_requests=1, sum_prefill_tokens=tokens, wall_time=seconds)
            said.update(num_decode_requests=0, sum_decode_kv_tokens=0)

    def _bounded(self, answer: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
        """Raise targets to one, and cut what is added where it exceeds the GPUs that there are."""
        gpus, cap = self.job["gpus"], self.job["gpu_cap"]
        now = {role: told[f"non_draining_{role}_count"] for role in ROLES}
        wanted = {}
        for role in ROLES:
            target = answer.get(f"target_{role}")
            wanted[role] = now[role] if target is None else max(int(target), 1)
        while cap is not None and sum(gpus[role] * wanted[role] for role in ROLES) > cap:
            most = max(ROLES, key=lambda role: wanted[role] - now[role])
            if wanted[most] <= 1:
                break
            wanted[most] -= 1
        return {**{f"target_{r}": wanted[r] for r in ROLES}, "next_tick_ms": answer.get("next_tick_ms")}


def make_policy(job: dict[str, Any]) -> Any:
    """Make the policy that the job names."""
    name, config = job["policy"], job["config"]
    if name == "hold":
        return None
    if name == "dynamo":
        return dynamos_planner(config)
    module, _, factory = name.partition(":")
    return getattr(importlib.import_module(module), factory)(config)


def dynamos_planner(config: dict[str, Any]) -> Any:
    """Make Dynamo's own planner as its replay does, warmed with the profile and the history as it is live.

    The replay fills its performance model from AIConfigurator only; live it reads a profile folder, and the
    same conversion of the same files is used here.
    """
    from dynamo.planner.config.defaults import SubComponentType  # type: ignore[import-not-found]
    from dynamo.planner.config.planner_config import PlannerConfig  # type: ignore[import-not-found]
    from dynamo.planner.core import types  # type: ignore[import-not-found]
    from dynamo.planner.monitoring.perf_metrics import (  # type: ignore[import-not-found]
        _convert_profiling_data_to_fpms as as_fpms,
    )
    from dynamo.planner.offline.replay_adapter import (  # type: ignore[import-not-found]
        create_replay_planner_adapter,
    )

    settings = PlannerConfig.model_validate(config["planner"])
    settings.advisory = True
    able = {
        role: types.EngineCapabilities(
            num_gpu=config[f"{role}_gpus"],
            max_num_batched_tokens=config["max_num_batched_tokens"],
            max_num_seqs=config[f"{role}_max_num_seqs"],
            max_kv_tokens=config["decode_max_kv_tokens"],
        )
        for role in ROLES
    }
    every_s = settings.throughput_adjustment_interval_seconds
    past = warm_up(config["history_csv"], every_s, types.TrafficObservation)
    adapter = create_replay_planner_adapter(
        planner_config=settings, capabilities=types.WorkerCapabilities(**able), warmup_observations=past
    )
    if settings.optimization_target == "sla":
        adapter.install_benchmark_fpms(
            prefill_fpms=as_fpms(config["profile_dir"], SubComponentType.PREFILL),
            decode_fpms=as_fpms(config["profile_dir"], SubComponentType.DECODE),
        )
    return adapter


# ARIMA chooses its order on all that it was warmed with: on 200 points in seconds, on 700 in a minute.
MOST_WARM_POINTS = 200


def warm_up(path: str | None, every_s: float, observation: Any) -> list[Any]:
    """Return the history in intervals of the planner, the latest ones."""
    if path is None:
        return []
    rows = np.genfromtxt(path, delimiter=",", names=True)
    minutes = max(round(every_s / 60.0), 1)
    found = []
    for end in range(len(rows), minutes - 1, -minutes):
        part = rows[end - minutes : end]
        requests = float(part["rps"].sum() * 60.0)
        weight = part["rps"] if requests else np.ones(minutes)
        isl, osl = (float(np.average(part[name], weights=weight)) for name in ("isl", "osl"))
        found.append(observation(duration_s=60.0 * minutes, num_req=requests, isl=isl, osl=osl))
    return found[MOST_WARM_POINTS - 1 :: -1] if len(found) >= MOST_WARM_POINTS else found[::-1]


if __name__ == "__main__":
    main(*sys.argv[1:])
