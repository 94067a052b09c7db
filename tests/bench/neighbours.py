"""Measure what an autoscaler's neighbours are worth: caches, tiers, speculation, hardware, start-up time.

Surfaces are the roofline estimator's, figures those of the simulated fleet. A fleet suffices when a share of
the requests keeps the promise, `SHARE` unless a line says otherwise. Prices are assumptions of the benchmark.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from models.artifact import LayoutProfile
from models.capacity.load import ClassLoad
from models.features import Features, KvTier, PrefixCache
from models.mix import RequestMix
from models.simulation.closed_loop import run_closed
from models.simulation.fleet import Fleet, FleetPlan
from models.simulation.ledger import COMPLETED
from models.simulation.workload import Workload
from models.values import RequestClass, Role, Slo
from planner.observe.trace import read_trace
from planner.policies.sizing import fleet_for
from profiler.order import Order
from profiler.planning import plan
from profiler.sampling.full import Full
from profiler.sweep import Terms, sweep
from profiler.wiring import bench, scope
from tests import builders
from tests.bench.forecast_value import replayed
from tests.components import trace

SHARE = 0.99
MODEL, ENGINE = "llama-3.1-70b", "vllm"
# Per GPU and hour: what matters is their ratio.
PRICE = {"H100": 2.5, "GB200": 6.0}
BUDGET_PER_H = 720.0
Layouts = dict[Role, LayoutProfile]


def run() -> dict[str, str]:
    """Return a line for each neighbour, without and with it."""
    return {
        **cache_aware_routing(),
        **host_memory(),
        **speculation(),
        **hardware_per_phase(),
        **start_up(),
    }


def cache_aware_routing() -> dict[str, str]:
    """Replay conversations with block hashes ignored, found by chance, sought, and kept in a tier."""
    recorded = read_trace(trace("mooncake_conversation.jsonl.gz")).workload.scaled(4.0)
    prefill, decode = layout("GB200", Role.PREFILL, "TP4"), layout("GB200", Role.DECODE, "TP4")
    # Grace's memory at 400 GB/s a GPU, as much of it as twice the device.
    behind = {
        "tier_tokens": 2 * prefill.kv_capacity_tokens,
        "s_per_token": prefill.kv_bytes_per_token / 400e9,
    }
    ways = {
        "block hashes ignored": Features(),
        "honoured, blind router": _caching(prefill, overlap_weight=0.0),
        "honoured, aware router": _caching(prefill),
        "honoured, and a host tier": _caching(prefill, **behind),
    }
    # The longest prompts take five seconds alone.
    promise, share = Slo(ttft_s=2.0), 0.95
    found, first = {}, 0
    for name, features in ways.items():
        layouts = {Role.PREFILL: replace(prefill, features=features), Role.DECODE: decode}

        def kept(count: int, layouts: Layouts = layouts) -> float:
            return _served(layouts, {Role.PREFILL: count, Role.DECODE: 12}, recorded).kept(promise)

        needed = _smallest(kept, 1, first or 24, share)
        first = first or needed
        seen = _served(layouts, {Role.PREFILL: first, Role.DECODE: 12}, recorded)
        found[f"mooncake, {name}"] = (
            f"{needed} prefill replicas for TTFT {promise.ttft_s:.0f} s of {share:.0%}; with {first}: "
            f"TTFT p50 {1e3 * seen.ttft_p50_s:,.0f} ms, {seen.hit_ratio:.0%} of prompt tokens found"
        )
    return found


def host_memory() -> dict[str, str]:
    """Let users share a replica whose KV cache holds few of them, and put twice as much memory behind it."""
    prefill, decode = layout("H100", Role.PREFILL, "TP4"), layout("H100", Role.DECODE, "TP4")
    # PCIe 5 beside each GPU.
    tier = KvTier(2 * decode.kv_capacity_tokens, decode.kv_bytes_per_token / 50e9)
    ways = {
        "device alone": Features(),
        "device alone, pre-empting": Features(preempts=True),
        "host tier of twice the device": Features(tier=tier),
    }
    found = {}
    for name, features in ways.items():
        layouts = {Role.PREFILL: prefill, Role.DECODE: replace(decode, features=features)}
        users = [_admitted(layouts, tpot_s) for tpot_s in (0.05, 0.15)]
        found[f"KV-bound, {name}"] = (
            f"{users[0]} users at once (8k in, 1k out) with 50 ms between tokens, {users[1]} with 150 ms"
        )
    return found


def speculation() -> dict[str, str]:
    """Serve the same load with steps that emit one token, and two of three proposed."""
    prefill = layout("GB200", Role.PREFILL, "TP4")
    rng = np.random.default_rng(1)
    workload = _poisson(40.0, 240.0, rng, 2000.0, 500.0)
    promise, found, first = Slo(itl_s=0.015), {}, 0
    for name, draft, accepted in (("1", 0, 1.0), ("2", 3, 2.0)):
        decode = layout("GB200", Role.DECODE, "TP4", draft, accepted)
        decode = replace(decode, features=Features(accepted_tokens=accepted))
        layouts = {Role.PREFILL: prefill, Role.DECODE: decode}

        def kept(count: int, layouts: Layouts = layouts) -> float:
            return _served(layouts, {Role.PREFILL: 8, Role.DECODE: count}, workload).kept(promise)

        needed = _smallest(kept, 1, 40)
        first = first or needed
        seen = _served(layouts, {Role.PREFILL: 8, Role.DECODE: first}, workload)
        found[f"accepted length {name}"] = (
            f"{needed} decode replicas for ITL 15 ms at 40 requests/s; with {first}: "
            f"TPOT p50 {1e3 * seen.tpot_p50_s:.1f} ms"
        )
    return found


def hardware_per_phase() -> dict[str, str]:
    """Spend the same money on GB200 alone, and on H100 that prefill for GB200 that decode."""
    promise = RequestClass("all", Slo(ttft_s=2.0, itl_s=0.025))
    found = {}
    for prefills in ("GB200", "H100"):
        layouts = {
            Role.PREFILL: layout(prefills, Role.PREFILL, "TP4", decode_hardware="GB200"),
            Role.DECODE: layout("GB200", Role.DECODE, "TP4"),
        }
        price = {Role.PREFILL: PRICE[prefills], Role.DECODE: PRICE["GB200"]}
        rate_rps, counts = _affordable(layouts, price, promise)
        workload = _poisson(rate_rps, 300.0, np.random.default_rng(2), 4000.0, 250.0)
        seen = _served(layouts, counts, workload)
        found[f"{prefills} prefill + GB200 decode"] = (
            f"{rate_rps:.1f} requests/s for {BUDGET_PER_H:.0f} an hour (H100 {PRICE['H100']}, GB200 "
            f"{PRICE['GB200']} a GPU): {counts[Role.PREFILL]} + {counts[Role.DECODE]} replicas, "
            f"{seen.kept(promise.slo):.2%} kept in simulation"
        )
    return found


def start_up() -> dict[str, str]:
    """Replay Headgate on recorded and invented demand with replicas that start in one minute, and in five."""
    found = {}
    for number, name in ((0, "conversation"), (3, "flash crowd")):
        for startup_s in (60.0, 300.0):
            result = replayed((number, startup_s, 0, "headgate"), _silent)
            found[f"start-up {startup_s:.0f} s, {name}"] = (
                f"{result.gpu_hours:.1f} GPU-hours, {result.attainment:.2%} kept"
            )
    return found


@cache
def _swept(hardware: str, draft: int, accepted: float) -> tuple[LayoutProfile, ...]:
    order = Order(MODEL, hardware, ENGINE, draft_tokens=draft, accepted_tokens=accepted)
    work = bench(order)
    return sweep(plan(work.roles, scope(work)), work.roles, Terms(Full(computed=True))).layouts


def layout(
    hardware: str,
    role: Role,
    name: str,
    draft: int = 0,
    accepted: float = 1.0,
    decode_hardware: str | None = None,
) -> LayoutProfile:
    """Return a layout from the roofline, as a sweep publishes it."""
    where = f"prefill={hardware},decode={decode_hardware or hardware}"
    found = _swept(where, draft, accepted)
    return next(each for each in found if each.role is role and each.parallelism.name == name)


@dataclass(frozen=True, slots=True)
class Served:
    """Hold what became of requests that arrived after a warm-up; seconds."""

    ttft_s: np.ndarray[tuple[int], np.dtype[np.float64]]
    tpot_s: np.ndarray[tuple[int], np.dtype[np.float64]]
    missing: int
    hit_ratio: float

    def kept(self, slo: Slo) -> float:
        """Return the share of all requests that kept a promise."""
        good = np.ones(self.ttft_s.size, dtype=bool)
        if slo.ttft_s is not None:
            good &= self.ttft_s <= slo.ttft_s
        if slo.itl_s is not None:
            good &= self.tpot_s <= slo.itl_s
        return float(good.sum()) / (good.size + self.missing)

    @property
    def ttft_p50_s(self) -> float:
        """Median time to first token."""
        return float(np.quantile(self.ttft_s, 0.5))

    @property
    def tpot_p50_s(self) -> float:
        """Median of requests' mean time between tokens."""
        return float(np.quantile(self.tpot_s, 0.5))


def _served(layouts: Layouts, counts: Mapping[Role, int], workload: Workload) -> Served:
    """Serve a workload by a constant fleet; what comes in the first tenth of the time is not counted."""
    fleet = Fleet(workload, FleetPlan(layouts, counts, dict.fromkeys(counts, 60.0)))
    fleet.advance(workload.span_s + 120.0)
    late = fleet.ledger.arrival_s >= workload.span_s / 10
    done = fleet.ledger.states() == COMPLETED
    ttft_s, tpot_s, _ = fleet.ledger.latencies(np.flatnonzero(late & done))
    hit_ratio = float(fleet.ledger.cached_tokens.sum()) / float(workload.isl_tokens.sum())
    return Served(ttft_s, tpot_s, int((late & ~done).sum()), hit_ratio)


def _smallest(kept: Callable[[int], float], low: int, high: int, share: float = SHARE) -> int:
    """Bisect for the smallest count that suffices."""
    while low < high:
        middle = (low + high) // 2
        if kept(middle) >= share:
            high = middle
        else:
            low = middle + 1
    return low


def _admitted(layouts: Layouts, tpot_s: float) -> int:
    """Return the most users at once, in fives, who wait 5 s at most and get their tokens in time."""
    plan = FleetPlan(layouts, {Role.PREFILL: 12, Role.DECODE: 1}, dict.fromkeys(layouts, 60.0))

    def kept(fives: int) -> bool:
        users, rng = 5 * fives, np.random.default_rng(fives)
        count = 8 * users
        isl, osl = rng.integers(7000, 9000, count), rng.integers(500, 1500, count)
        run = run_closed(plan, users, isl.astype(np.int32), osl.astype(np.int32), np.zeros(count, np.int32))
        # The start, when all come at once, is left out.
        settled = slice(2 * users, None)
        return float(np.mean((run.ttft_s[settled] <= 5.0) & (run.tpot_s[settled] <= tpot_s))) >= SHARE

    low, high = 1, 80
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if kept(middle) else (low, middle - 1)
    return 5 * low


def _affordable(
    layouts: Layouts, price: Mapping[Role, float], promise: RequestClass
) -> tuple[float, dict[Role, int]]:
    """Return the highest rate whose smallest fleet, as the planner sizes it, is within the budget."""
    mix = RequestMix.from_samples(*_lengths(20_000, np.random.default_rng(3), 4000.0, 250.0))
    policy = builders.plan_policy([promise], attainment=SHARE)
    low, high, best = 0.1, 500.0, dict.fromkeys(layouts, 1)
    for _ in range(18):
        rate_rps = (low + high) / 2
        counts = fleet_for([ClassLoad.steady(promise, rate_rps, mix)], layouts, policy)
        spent = sum(n * layouts[role].gpus * price[role] for role, n in counts.items())
        if spent <= BUDGET_PER_H:
            low, best = rate_rps, counts
        else:
            high = rate_rps
    return low, best


def _lengths(
    count: int, rng: np.random.Generator, isl: float, osl: float
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Draw log-normal lengths about these means."""
    sigma = 0.5
    factors = np.exp(rng.normal(-(sigma**2) / 2, sigma, (2, count)))
    return np.maximum(np.rint(isl * factors[0]), 1), np.maximum(np.rint(osl * factors[1]), 1)


def _poisson(rate_rps: float, span_s: float, rng: np.random.Generator, isl: float, osl: float) -> Workload:
    times = np.sort(rng.uniform(0.0, span_s, rng.poisson(rate_rps * span_s)))
    return Workload.of(times, *_lengths(times.size, rng, isl, osl))


def _caching(layout: LayoutProfile, **changes: float) -> Features:
    return Features(prefix_cache=PrefixCache(layout.kv_capacity_tokens, **changes))  # type: ignore[arg-type]


def _silent(share: float) -> None:
    """Report to nobody."""
