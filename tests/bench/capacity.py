"""Hold the largest load at which the model keeps a promise to the largest at which the simulation does.

python -m tests.bench capacity                       a cut through the table, some minutes
python -m tests.bench.capacity full           every combination
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from models.artifact import EngineLimits, LayoutProfile
from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.capacity.prefill import prefill_work
from models.mix import RequestMix
from models.series import Floats
from models.simulation.fleet import Fleet, FleetPlan
from models.simulation.workload import Workload
from models.surface import Surface
from models.values import RequestClass, Role, Router, Slo
from planner.observe.trace import read_trace
from tests.bench.dynamo_stages import LONGEST_PROMPT
from tests.bench.dynamo_stages import layouts as slow_layouts
from tests.builders import aggregated_layout, decode_layout, prefill_layout
from tests.components import trace

TARGET = 0.99
REQUESTS, WARM = 16_000, 0.2
# A prompt may wait for two mean ones beyond what it takes alone.
WAIT = 2.0
REPLICAS = (1, 2, 4, 8, 32)
MIXES = ("constant", "lognormal", "conversation", "mooncake")
# Arrivals: exponential gaps, two-phase hyperexponential ones, and geometric batches at Poisson moments.
BURSTS = {"Ca2 1": 1.0, "Ca2 2": 2.0, "Ca2 4": 4.0, "batches": 4.0}
_STEPS, _WIDEST = 7, 2.5


@dataclass(frozen=True, slots=True)
class Case:
    """Name one cell of the table."""

    role: Role
    replicas: int
    mix: str
    burst: str
    router: Router
    bulk: bool = True

    def __str__(self) -> str:
        """Say it as a row's head."""
        kind = "" if self.bulk or self.role is not Role.PREFILL else ", one prompt at a time"
        return f"{self.role}{kind}, {self.replicas} x, {self.mix}, {self.burst}, {self.router}"


@dataclass(frozen=True, slots=True)
class Found:
    """Hold the safe load of one case, modelled and simulated, as shares of what keeps the role busy."""

    model: float
    simulated: float

    @property
    def error(self) -> float:
        """By how much the model's safe load is too high."""
        return self.model / self.simulated - 1.0


def run() -> dict[str, str]:
    """Measure a cut through the table."""
    return table(cut())


def table(cases: Iterator[Case]) -> dict[str, str]:
    """Measure cases, and count how many are within 15 %."""
    figures, errors = {}, []
    for case in cases:
        found = measure(case)
        errors.append(found.error)
        figures[str(case)] = (
            f"safe load {found.model:.3f}, simulated {found.simulated:.3f} ({found.error:+.0%})"
        )
        print(f"  {case!s:<66} {figures[str(case)]}", flush=True)
    spread = np.abs(errors)
    return {
        "within 15 % of the simulated safe load": f"{int((spread <= 0.15).sum())} of {spread.size} cases",
        "error of the safe load, median and worst": f"{np.median(spread):.1%}, {max(errors, key=abs):+.0%}",
    }


def cut() -> Iterator[Case]:
    """Vary one thing at a time around eight replicas, lognormal lengths, Poisson arrivals, routed by load."""
    for role in Role:
        yield from (
            Case(role, k, m, "Ca2 1", Router.LOAD) for k in REPLICAS for m in ("constant", "lognormal")
        )
        yield from (Case(role, 8, m, "Ca2 1", Router.LOAD) for m in MIXES[2:])
        yield from (Case(role, 8, "lognormal", b, Router.LOAD) for b in list(BURSTS)[1:])
        for router in (Router.ROUND_ROBIN, Router.RANDOM):
            yield from (Case(role, k, "lognormal", "Ca2 1", router) for k in (2, 8))
    for k, mix in product((1, 4, 8), ("constant", "mooncake")):
        yield Case(Role.PREFILL, k, mix, "Ca2 1", Router.LOAD, bulk=False)


def everything() -> Iterator[Case]:
    """Vary everything."""
    for role, k, mix, burst, router in product(Role, REPLICAS, MIXES, BURSTS, Router):
        yield Case(role, k, mix, burst, router)
        if role is Role.PREFILL:
            yield Case(role, k, mix, burst, router, bulk=False)


def measure(case: Case) -> Found:
    """Find the safe load twice; the simulated one by bisection with the same draws at every load."""
    stage = _Stage(case)
    low, high = 1e-3, 0.995
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if stage.modelled(middle) >= TARGET else (low, middle)
    model = low
    low, high = max(model / _WIDEST, 1e-3), min(model * _WIDEST, 0.995)
    for _ in range(_STEPS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if stage.simulated(middle) >= TARGET else (low, middle)
    return Found(model, (low * high) ** 0.5)


class _Stage:
    """Hold one case's layouts, lengths and promise; loads are shares of what keeps the role busy."""

    def __init__(self, case: Case) -> None:
        self.case = case
        rng = np.random.default_rng(11)
        self.isl, self.osl = lengths(case.mix, case.role, rng)
        self.mix = RequestMix.from_samples(self.isl, self.osl)
        self.layouts = _layouts(case)
        self.counts = {role: case.replicas if role is case.role else 1 for role in self.layouts}
        self.gaps = gaps(case.burst, rng)
        self.promise = self._promise()
        front = self.layouts[case.role]
        if front.prefill is not None:
            engine_s = front.prefill.over(self.isl, np.ones_like(self.isl))
            self.alone_s, self.wait_s = engine_s + front.overhead_s, WAIT * float(engine_s.mean())
        one = self._model(1.0)
        self.most_rps = case.replicas / one.busy(case.role)[0]

    def _model(self, rate_rps: float) -> FleetModel:
        load = ClassLoad.steady(RequestClass("all", self.promise), rate_rps, self.mix)
        return FleetModel(self.layouts, [[load]], self.case.router, BURSTS[self.case.burst])

    def modelled(self, load: float) -> float:
        """Return the attainment that the model states."""
        model = self._model(load * self.most_rps)
        if self.case.role is Role.PREFILL:
            queue = model.waits(self.case.replicas)
            return 1.0 - float(queue.beyond(np.array([[[self.wait_s]]]))[0, 0, 0])
        return float(model.attainment(self.counts)[0, 0])

    def simulated(self, load: float) -> float:
        """Return the attainment of a simulated constant fleet."""
        times = np.cumsum(self.gaps) / (load * self.most_rps)
        workload = Workload.of(times, self.isl, self.osl)
        plan = FleetPlan(self.layouts, self.counts, dict.fromkeys(self.counts, 0.0), self.case.router)
        fleet = Fleet(workload, plan)
        fleet.advance(float(times[-1]) + 3600.0)
        ttft_s, tpot_s, _ = fleet.ledger.latencies(np.arange(times.size))
        kept = np.ones(times.size, dtype=bool)
        if self.case.role is Role.PREFILL:
            kept = ttft_s - self.alone_s <= self.wait_s
        elif self.promise.ttft_s is not None:
            kept &= ttft_s <= self.promise.ttft_s
        if self.promise.itl_s is not None:
            kept &= tpot_s <= self.promise.itl_s
        return float(kept[int(WARM * times.size) :].mean())

    def _promise(self) -> Slo:
        """Promise steps of 1.6 times those of a batch of 64, and first tokens after some mean prompts."""
        case, layout = self.case, self.layouts[self.case.role]
        if layout.decode is None:
            return Slo(ttft_s=1.0)
        itl_s = 1.6 * layout.decode.at(float(self.mix.decode_context_tokens), 64.0)
        if case.role is Role.DECODE:
            return Slo(itl_s=itl_s)
        work = prefill_work(layout, self.mix)
        return Slo(ttft_s=float(work.alone_s.max()) + 8.0 * float(work.weight @ work.service_s), itl_s=itl_s)


def _layouts(case: Case) -> Mapping[Role, LayoutProfile]:
    """Take a layout for the role in question, and one that takes no time for the other."""
    if case.role is Role.AGGREGATED:
        return {Role.AGGREGATED: aggregated_layout()}
    if case.role is Role.PREFILL:
        layout = prefill_layout() if case.bulk else slow_layouts()[Role.PREFILL]
        return {Role.PREFILL: layout, Role.DECODE: _instant(decode_layout())}
    return {Role.PREFILL: _instant(prefill_layout()), Role.DECODE: decode_layout()}


def _instant(layout: LayoutProfile) -> LayoutProfile:
    grid = Surface((1.0, 1e6), (1.0, 1e6), ((1e-7, 1e-7), (1e-7, 1e-7)))
    limits, surfaces = EngineLimits(100_000, 10**9), {layout.role.value: grid}
    return replace(layout, limits=limits, kv_capacity_tokens=1e12, overhead_s=0.0, **surfaces)  # type: ignore[arg-type]


def lengths(mix: str, role: Role, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw prompts and outputs; one token comes out where prefill alone is asked about."""
    if mix == "constant":
        isl, osl = np.full(REQUESTS, 2000.0), np.full(REQUESTS, 200.0)
    elif mix == "lognormal":
        spread = np.exp(0.8 * rng.normal(size=(2, REQUESTS)) - 0.32)
        isl, osl = 2000.0 * spread[0], 200.0 * spread[1]
    else:
        columns = _recorded(mix)
        isl, osl = columns[:, rng.integers(columns.shape[1], size=REQUESTS)]
    if role is Role.PREFILL:
        osl = np.ones(REQUESTS)
    return np.maximum(isl.round(), 1.0), np.maximum(osl.round(), 2.0 if role is not Role.PREFILL else 1.0)


@cache
def _recorded(mix: str) -> Floats:
    name = {"conversation": "azure_llm_2023_conv.csv.gz", "mooncake": "mooncake_conversation.jsonl.gz"}[mix]
    requests = read_trace(trace(name)).workload
    isl, osl = requests.isl_tokens, requests.osl_tokens
    fit = (isl <= LONGEST_PROMPT) & (osl >= 2)
    return np.stack([isl[fit], osl[fit]]).astype(np.float64)


def gaps(burst: str, rng: np.random.Generator) -> Floats:
    """Draw gaps of mean 1: exponential, hyperexponential of balanced means, or batches of mean 2.5."""
    if burst == "batches":
        # Geometric batches of mean b have an index of dispersion of 2 b - 1.
        mean = (BURSTS[burst] + 1.0) / 2.0
        first = rng.random(REQUESTS) < 1.0 / mean
        return np.where(first, rng.exponential(mean, REQUESTS), 0.0)
    cv2 = BURSTS[burst]
    often = 0.5 * (1.0 + ((cv2 - 1.0) / (cv2 + 1.0)) ** 0.5)
    pick = rng.random(REQUESTS) < often
    waited: Floats = rng.exponential(1.0, REQUESTS) * np.where(
        pick, 0.5 / often, 0.5 / max(1.0 - often, 1e-9)
    )
    return waited


if __name__ == "__main__":
    for figure, value in table(everything() if sys.argv[1:] == ["full"] else cut()).items():
        print(f"  {figure:<66} {value}")
