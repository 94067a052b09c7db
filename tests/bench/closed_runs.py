"""Read published closed-loop runs with their whole fleet, and predict each from surfaces alone."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.artifact import LayoutProfile
from models.capacity.start_burst import with_start_burst
from models.mix import RequestMix
from models.values import Parallelism, Role
from profiler.layouts import Candidates
from profiler.planning import RoleBench, Scope, plan
from profiler.sampling.full import Full
from profiler.sweep import Terms, sweep
from tests.bench.measured import SHORTEST_RATIO, served_layout

COLUMNS = ("tpot_s", "tpot_p99_s", "ttft_p50_s", "ttft_mean_s", "ttft_p99_s", "tokens_per_s_per_gpu")
# Past the longest request; a surface to the model's whole context takes longer and says the same here.
MOST_CONTEXT_TOKENS = 16_384

Profiles = Mapping[tuple[Role, Parallelism], LayoutProfile]


@dataclass(frozen=True, slots=True)
class Figures:
    """Hold what a benchmark reports, measured or predicted; seconds and tokens per second."""

    tpot_s: float
    tpot_p99_s: float
    ttft_p50_s: float
    ttft_mean_s: float
    ttft_p99_s: float
    tokens_per_s_per_gpu: float

    def errors(self, measured: "Figures") -> dict[str, float]:
        """Return predicted/measured - 1 of each column."""
        return {name: getattr(self, name) / getattr(measured, name) - 1.0 for name in COLUMNS}


@dataclass(frozen=True, slots=True)
class ClosedRun:
    """One published run: its fleet, its users, what was measured.

    `stalled` marks a run whose slowest requests took more than three times the mean, all else being equal
    at most 2.9: some of it was spent warming up, and only medians and TPOT say what the fleet does.
    """

    model: str
    users: int
    isl_tokens: float
    osl_tokens: float
    fleet: Mapping[Role, tuple[Parallelism, int]]
    measured: Figures
    stalled: bool

    @property
    def topology(self) -> str:
        """Name the fleet, such as `1 x TP1 + 2 x DEP2`."""
        return " + ".join(f"{n} x {layout.name}" for layout, n in self.fleet.values())

    @property
    def name(self) -> str:
        """Name the run."""
        return f"{self.topology} at {self.users}"


def read_closed(path: Path, model: str) -> list[ClosedRun]:
    """Read the runs of one model, in the file's order."""
    with path.open(newline="") as file:
        return [_run(row) for row in csv.DictReader(file) if row["model"] == model]


def profiles(benches: Mapping[Role, RoleBench], runs: Iterable[ClosedRun]) -> Profiles:
    """Sweep every layout of the runs with the given backends, in the roles that the runs give them."""
    found: dict[tuple[Role, Parallelism], LayoutProfile] = {}
    for role, bench in benches.items():
        shapes = dict.fromkeys(run.fleet[role][0] for run in runs if role in run.fleet)
        wanted = {role: replace(bench, candidates=Candidates(tuple(shapes), ()))}
        scope = Scope(MOST_CONTEXT_TOKENS)
        swept = sweep(plan(wanted, scope), wanted, Terms(Full(bench.backend.computed)))
        found |= {(role, layout.parallelism): layout for layout in swept.layouts}
    return found


def predict_run(run: ClosedRun, surfaces: Profiles) -> Figures | None:
    """Predict what the run's benchmark reports; None where a layout of it could not be profiled."""
    if any((role, layout) not in surfaces for role, (layout, _) in run.fleet.items()):
        return None
    fleet = {role: (surfaces[role, layout], n) for role, (layout, n) in run.fleet.items()}
    mix = RequestMix.evenly(run.isl_tokens, run.osl_tokens, SHORTEST_RATIO)
    said = with_start_burst(mix, run.users, fleet)
    ttft, tpot = said.ttft_s, said.itl_s
    return Figures(tpot.mean, tpot.p99, ttft.p50, ttft.mean, ttft.p99, said.tokens_per_s_per_gpu)


def saturated(runs: Sequence[ClosedRun], ttft_p50_s: Mapping[str, float], times: float) -> set[str]:
    """Name the runs whose median TTFT exceeds so many times that of the fewest users."""
    alone = ttft_p50_s[min((run for run in runs if run.name in ttft_p50_s), key=lambda run: run.users).name]
    return {name for name, seconds in ttft_p50_s.items() if seconds > times * alone}


def _run(row: dict[str, str]) -> ClosedRun:
    return ClosedRun(
        model=row["model"],
        users=int(row["conc"]),
        isl_tokens=float(row["isl"]),
        osl_tokens=float(row["osl"]),
        fleet={role: _workers(row, role) for role in (Role.PREFILL, Role.DECODE)},
        measured=Figures(
            float(row["mean_tpot"]),
            float(row["p99_tpot"]),
            float(row["median_ttft"]),
            float(row["mean_ttft"]),
            float(row["p99_ttft"]),
            float(row["tput_per_gpu"]),
        ),
        stalled=float(row["p99_e2el"]) > 3.0 * float(row["mean_e2el"]),
    )


def _workers(row: dict[str, str], role: Role) -> tuple[Parallelism, int]:
    workers = int(float(row[f"{role}_num_workers"]))
    gpus = round(float(row[f"num_{role}_gpu"]) / workers)
    return served_layout(row["model"], gpus, row[f"{role}_dp_attention"] == "true"), workers
