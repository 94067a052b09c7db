"""Build realistic values for the reports: a shop's day with a surge, a profile of a few layouts, one tick."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from models.artifact import (
    Contender,
    Effort,
    EngineLimits,
    LayoutProfile,
    LeftOut,
    Machine,
    MeasuredPoint,
    ParetoPoint,
    Phase,
    Profile,
    ProfileArtifact,
    Question,
    Selection,
)
from models.decision import (
    Adjustment,
    Attained,
    Decision,
    Outcome,
    Reason,
    Record,
    RoleSizing,
    Sizing,
    Status,
)
from models.engine import Serving
from models.hardware import Precision
from models.mix import RequestMix
from models.observation import (
    ClassDemand,
    Gap,
    LatencyReading,
    Observation,
    PoolState,
    QueueReading,
    StartingReplica,
)
from models.prediction import Forecast, SignalForecast
from models.simulation.scorecard import ClassResult, Percentiles, PolicyResult, ReplayResult, TimelinePoint
from models.surface import Bounds, Surface
from models.values import Binding, Parallelism, RequestClass, Role, Signal, Slo

NOON_S = 1_795_780_800.0  # 2026-11-27 12:00 UTC
DAY_S = 86_400.0
PAGES = RequestClass("pages", Slo(ttft_s=0.3, e2e_s=0.5), priority=10)
EMAIL = RequestClass("email", Slo())
GPUS = {Role.PREFILL: 1, Role.DECODE: 4}


def load_rps(at_s: float) -> dict[str, float]:
    """Return the shop's load: a day's wave, half as much again in the surge, e-mail at night."""
    hour = at_s % DAY_S / 3600
    wave = 95 + 85 * math.sin((hour - 9) / 24 * 2 * math.pi)
    surge = 1.5 if 17 <= hour < 19.5 else 1.0
    noise = 1 + 0.03 * math.sin(at_s / 97) + 0.02 * math.sin(at_s / 31)
    email = 300.0 if hour >= 22 or hour < 5 else 20.0
    return {"pages": wave * surge * noise, "email": email * noise}


def needed(at_s: float, ahead_s: float = 0.0) -> dict[Role, int]:
    """Return the replicas that this load wants."""
    load = load_rps(at_s + ahead_s)
    return {
        Role.PREFILL: max(2, math.ceil(load["pages"] / 9.5 + load["email"] / 110)),
        Role.DECODE: max(1, math.ceil(load["pages"] / 160 + load["email"] / 75)),
    }


def _wanted(at_s: float, held: Mapping[Role, int]) -> dict[Role, int]:
    """Grow at once, shrink by one after half an hour of calm."""
    soon = [needed(at_s + 300 * k) for k in range(-1, 6)]
    return {
        r: held[r] if soon[1][r] <= held[r] < max(s[r] for s in soon) + 2 else max(soon[1][r], held[r] - 1)
        for r in held
    }


def _said(role: Role, before: int, after: int, rps: float) -> str:
    if before == after:
        return f"{role} {before}: within its band"
    promise = "TTFT 300 ms" if role is Role.PREFILL else "end-to-end 500 ms"
    return f"{role} {before} -> {after}: p90 forecast {rps:.1f} rps in 6 min needs {after} for {promise}"


def timeline(policy: str, step_s: float = 60.0) -> tuple[TimelinePoint, ...]:
    """Return a day of one policy: fixed at the peak, lagging, or ahead of the load."""
    points, held = [], needed(NOON_S)
    peak = {Role.PREFILL: 28, Role.DECODE: 4}
    ahead = {"headgate": 420.0, "hpa": -300.0, "oracle": 60.0}.get(policy)
    for i in range(1, int(DAY_S / step_s) + 1):
        at_s = NOON_S + i * step_s
        want = peak if ahead is None else _wanted(at_s + ahead, held)
        starting = {r: max(want[r] - held[r], 0) for r in held}
        draining = {r: 1 if want[r] < held[r] else 0 for r in held}
        sentence = None
        if ahead is not None and want != held:
            sentence = " | ".join(_said(r, held[r], want[r], load_rps(at_s)["pages"]) for r in held)
        short = max(needed(at_s)[Role.PREFILL] - held[Role.PREFILL], 0)
        met = max(0.0, 0.9985 - 0.09 * short)
        points.append(
            TimelinePoint(
                at_s=at_s,
                arrivals_rps=load_rps(at_s),
                attainment={"pages": met, "email": 1.0},
                ready=dict(held),
                starting=starting,
                draining=draining,
                queued_requests=short * 40,
                ttft_p95_s=0.17 + 0.4 * short + 0.02 * math.sin(at_s / 500),
                sentence=sentence,
            )
        )
        held = dict(want)
    return tuple(points)


def policy_result(policy: str, **changes: object) -> PolicyResult:
    """Score one policy by its timeline."""
    points = timeline(policy)
    hours = {r: sum(p.ready[r] + p.starting[r] + p.draining[r] for p in points) * GPUS[r] / 60 for r in GPUS}
    asked = {name: sum(p.arrivals_rps[name] for p in points) * 60 for name in ("pages", "email")}
    met = {name: sum(p.arrivals_rps[name] * (p.attainment[name] or 0) for p in points) * 60 for name in asked}
    total, kept = round(sum(asked.values())), sum(met.values())
    ttft = Percentiles(0.142, 0.218 if policy != "hpa" else 1.31, 0.291 if policy != "hpa" else 4.42)
    itl, e2e = Percentiles(0.0038, 0.0046, 0.0051), Percentiles(0.33, 0.44, 0.492)
    result = PolicyResult(
        policy=policy,
        requests=total,
        completed=total - 412,
        rejected=0,
        in_flight=412,
        skipped_rows=3,
        slo_attainment=kept / sum(asked.values()),
        goodput_rps=kept / DAY_S,
        gpu_hours=sum(hours.values()),
        gpu_hours_by_role=hours,
        ttft_s=ttft,
        itl_s=itl,
        e2e_s=e2e,
        scale_events=sum(p.sentence is not None for p in points),
        decisions=len(points),
        policy_cpu_s=1.93,
        wall_s=41.7,
        classes=tuple(
            ClassResult(n, round(asked[n]), round(asked[n]), met[n] / asked[n], ttft, itl, e2e) for n in asked
        ),
        timeline=points,
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def replay_result(
    policies: tuple[str, ...] = ("headgate", "static-peak", "hpa", "oracle"), **changes: object
) -> ReplayResult:
    """Gather a replay of the shop's day."""
    result = ReplayResult(
        deployment="shop",
        trace="demo",
        model="gpt-oss-120b",
        hardware="gb200",
        layouts={Role.PREFILL: "TP1", Role.DECODE: "TEP4"},
        gpus_per_replica=GPUS,
        budget_gpus=44,
        start_s=NOON_S,
        end_s=NOON_S + DAY_S,
        interval_s=60.0,
        seed=7,
        policies=tuple(policy_result(name) for name in policies),
        config_digest="sha256:" + "5e" * 32,
        profile_digest="sha256:" + "a7" * 32,
        version="0.1.0",
        settings={"router": "load", "start-up": "prefill=120s,decode=180s", "rate scale": "1"},
        classes=(PAGES, EMAIL),
        target_attainment=0.99,
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def prefill_surface(gpus: int) -> Surface:
    """Return seconds over ISL and batch."""
    x, y = (256.0, 1e3, 2e3, 4e3, 8e3, 16e3, 32e3), (1.0, 2.0, 4.0, 8.0)
    speed = 112_000 * gpus**0.85
    return Surface(x, y, tuple(tuple(0.018 + a * b / speed + (a / 1e6) ** 2 * 8 for b in y) for a in x))


def decode_surface(gpus: int) -> Surface:
    """Return seconds per step over context and batch."""
    x, y = (512.0, 2e3, 8e3, 32e3, 128e3), (1.0, 4.0, 16.0, 64.0, 256.0)
    return Surface(
        x, y, tuple(tuple(0.0022 + 0.008 / gpus + b * (3e-5 + a * 3e-9) / gpus for b in y) for a in x)
    )


def layout(role: Role, tp: int, ep: int = 1, dp: int = 1) -> LayoutProfile:
    """Return one layout's profile."""
    parallelism = Parallelism(tp=tp, dp=dp, ep=ep)
    gpus = parallelism.gpus
    return LayoutProfile(
        role=role,
        parallelism=parallelism,
        limits=EngineLimits(256, 16_384),
        kv_capacity_tokens=1.4e6 * gpus,
        prefill=None if role is Role.DECODE else prefill_surface(gpus),
        decode=None if role is Role.PREFILL else decode_surface(gpus),
        overhead_s=0.03,
        handover_s_per_token=1e-7,
        provenance="roofline: published peaks times measured efficiencies",
    )


def profile(**changes: object) -> Profile:
    """Return a profile of ten layouts with a selection."""
    layouts = (
        *(layout(Role.PREFILL, tp) for tp in (1, 2, 4)),
        layout(Role.PREFILL, 1, ep=4, dp=4),
        *(layout(Role.DECODE, tp) for tp in (1, 2, 4)),
        layout(Role.DECODE, 4, ep=4),
        layout(Role.DECODE, 1, ep=8, dp=8),
        layout(Role.AGGREGATED, 4, ep=4),
    )
    pareto = tuple(
        ParetoPoint(name, user, 9_500 * scale * (1 - (user / top) ** 1.6))
        for name, top, scale in (("TP1", 180, 0.8), ("TEP4", 310, 0.95), ("DEP8", 140, 1.3))
        for user in range(20, top - 20, 30)
    )
    artifact = ProfileArtifact(
        model="gpt-oss-120b",
        machines=(Machine("gb200", 4, 72),),
        engine="trtllm",
        backend="roofline",
        created_at="2026-11-20T08:15:00Z",
        layouts=layouts,
        left_out=(
            LeftOut(Role.DECODE, "TP8", "8 key-value heads leave one per GPU: nothing is gained beyond TP4"),
            LeftOut(Role.PREFILL, "DEP16", "takes 16 GPUs, above the budget of 8 per replica"),
        ),
        pareto=pareto,
        question=Question(
            180.0, RequestMix.constant(8_000, 50), 0.99, ttft_s=0.3, e2e_s=0.5, budget_gpus={"gb200": 40}
        ),
        selection=Selection(
            layouts={Role.PREFILL: "TP1", Role.DECODE: "TEP4"},
            replicas={Role.PREFILL: 20, Role.DECODE: 3},
            gpus=32,
            feasible=True,
            why="20 x TP1 and 3 x TEP4 keep TTFT 300 ms and end-to-end 500 ms at p99 with 32 GPUs",
            runner_up="prefill=TP2, decode=TEP4",
            runner_up_lost="needs 36 GPUs: two GPUs per prompt save 31 ms that the promise does not ask for",
        ),
        sources={
            "gb200.hbm_bytes_per_s": "NVIDIA GB200 NVL72 data sheet, 2024",
            "gpt-oss-120b.layers": "model card, config.json",
        },
    )
    return Profile(replace(artifact, **changes), "sha256:" + "a7" * 32)  # type: ignore[arg-type]


def measured_layout(plain: LayoutProfile, hardware: str, seed: int, extrapolated: str = "") -> LayoutProfile:
    """Return a layout as an adaptive sweep of a noisy engine leaves it: few points, bands, residuals."""
    generator = np.random.default_rng(seed)
    fitted: dict[str, Any] = {}
    points: list[MeasuredPoint] = []
    for phase, surface in ((Phase.PREFILL, plain.prefill), (Phase.DECODE, plain.decode)):
        if surface is None:
            continue
        last = len(surface.y) - 1
        band = tuple(
            tuple(0.02 + 0.03 * (i + j) / (len(surface.x) + last) for j in range(last + 1))
            for i in range(len(surface.x))
        )
        # The largest batch was never reached.
        reach = Bounds((surface.x[0], surface.x[-1]), (surface.y[0], surface.y[max(last - 1, 0)]))
        fitted[phase.value] = replace(surface, relative_error=0.021, band_ratio=band, bounds=reach)
        for i, tokens in enumerate(surface.x):
            for j, batch in enumerate(surface.y[:last]):
                if (i + 2 * j) % 3 == 0 or j == 0:
                    off = float(generator.normal(0, 0.02))
                    seconds = surface.values_s[i][j] / (1 + off)
                    points.append(
                        MeasuredPoint(phase, tokens, batch, seconds, 0.015 * seconds, 6, residual_ratio=off)
                    )
    return replace(plain, **fitted, measured=tuple(points), hardware=hardware, extrapolated=extrapolated)


def measured_profile(**changes: object) -> Profile:
    """Return a profile measured at an endpoint: H100 prefill, GB200 decode, one layout extrapolated."""
    prefill = [(layout(Role.PREFILL, tp), "H100") for tp in (1, 2, 4, 8)]
    decode = [(layout(Role.DECODE, tp), "GB200") for tp in (1, 2, 4)]
    decode += [(layout(Role.DECODE, 4, ep=4), "GB200"), (layout(Role.DECODE, 1, ep=32, dp=32), "GB200")]
    together = [(layout(Role.AGGREGATED, 4, ep=4), "GB200")]
    unknown = "its all-to-all among 32 GPUs was measured among 4 only"
    layouts = tuple(
        measured_layout(plain, hardware, seed, unknown if plain.gpus == 32 else "")
        for seed, (plain, hardware) in enumerate(prefill + decode + together)
    )
    best = profile().artifact
    pairings = (
        Contender("prefill=TP1 decode=TEP4", {Role.PREFILL: 20, Role.DECODE: 3}, 32, 0.9943, 5.59),
        Contender(
            "prefill=TP2 decode=TEP4",
            {Role.PREFILL: 12, Role.DECODE: 3},
            36,
            0.9951,
            4.98,
            "needs 36 GPUs: two GPUs per prompt save 31 ms that the promise does not ask for",
        ),
        Contender(
            "prefill=TP1 decode=DEP32",
            {Role.PREFILL: 20, Role.DECODE: 1},
            52,
            0.9989,
            3.46,
            "needs 52 GPUs: one replica of 32 GPUs is filled to 9 %",
        ),
        Contender(
            "aggregated=TEP4",
            {Role.AGGREGATED: 15},
            60,
            0.9907,
            2.97,
            "needs 60 GPUs: prompts of 8k hold up the steps of others",
        ),
    )
    question = Question(
        180.0,
        RequestMix.from_samples([6_000, 8_000, 8_200, 24_000], [40, 50, 60, 50]),
        0.99,
        ttft_s=0.3,
        itl_s=0.02,
        budget_gpus={"H100": 32, "GB200": 36},
        price_per_gpu_h={"H100": 2.5, "GB200": 6.0},
    )
    assert best.selection is not None
    artifact = replace(
        best,
        machines=(Machine("H100", 8, 8), Machine("GB200", 4, 72)),
        engine="vllm",
        backend="endpoint",
        layouts=layouts,
        question=question,
        pareto=tuple(
            replace(
                p,
                layout={"TP1": "prefill=TP1 decode=TP1", "TEP4": "prefill=TP1 decode=TEP4"}.get(
                    p.layout, "prefill=TP1 decode=DEP32"
                ),
            )
            for p in best.pareto
        ),
        selection=replace(
            best.selection,
            goodput_rps_per_gpu=5.59,
            ranking=pairings,
            runner_up=pairings[1].name,
            runner_up_lost=pairings[1].lost,
            would_change=(
                "a TTFT of 240 ms instead of 300 ms: prefill=TP2 decode=TEP4",
                "decode of TEP4 slower by 18 %: prefill=TP1 decode=TP4",
            ),
        ),
        serving=Serving(Precision.FP8, Precision.FP8, 0.35, 3, 2.6),
        effort=Effort(214, 1_080, 187.5),
    )
    return Profile(replace(artifact, **changes), "sha256:" + "b2" * 32)  # type: ignore[arg-type]


def signal_forecast(level: float, model: str = "seasonal") -> SignalForecast:
    """Return a fan that rises for half an hour."""
    levels = (0.05, 0.25, 0.5, 0.75, 0.9, 0.975, 0.995)
    offsets = tuple(60.0 * i for i in range(1, 31))
    spread = (-1.6, -0.7, 0.0, 0.7, 1.3, 2.0, 2.6)
    paths = tuple(
        tuple(level * (1 + 0.012 * o / 60 + s * 0.015 * math.sqrt(o / 60)) for o in offsets) for s in spread
    )
    return SignalForecast(
        levels, offsets, paths, model, "lowest pinball loss at 6 min", level, coverage=0.913
    )


def record(**changes: object) -> Record:
    """Return one tick of the shop in its surge: prefill grows and the budget binds."""
    current = {Role.PREFILL: 18, Role.DECODE: 4}
    observation = Observation(
        at_s=NOON_S + 5 * 3600,
        window_s=60.0,
        demand={
            "pages": ClassDemand(198.4, 1_587_000.0, 9_920.0),
            "email": ClassDemand(20.3, 12_180.0, 14_200.0),
        },
        pools={
            Role.PREFILL: PoolState(18, 17, (StartingReplica(NOON_S + 5 * 3600 - 40),)),
            Role.DECODE: PoolState(4, 4),
        },
        latency={"pages": LatencyReading(0.148, 0.231, 0.0039, 0.0046)},
        queue=QueueReading(14, 112_000.0),
        demand_at_s=NOON_S + 5 * 3600 - 15,
        gaps=(Gap("latency of email", "no finished request in the window"),),
    )
    signals: Mapping[str, Mapping[Signal, SignalForecast]] = {
        name: {
            Signal.ARRIVALS: signal_forecast(demand.arrivals_rps or 0),
            Signal.PREFILL_TOKENS: signal_forecast(demand.prefill_tokens_per_s or 0),
            Signal.DECODE_TOKENS: signal_forecast(demand.decode_tokens_per_s or 0, "last-value"),
        }
        for name, demand in observation.demand.items()
    }
    sizing = Sizing(
        roles={
            Role.PREFILL: RoleSizing(
                28,
                24,
                31,
                31,
                Binding.BUDGET,
                "p90 forecast 261 rps in 6 min needs 30.4 replicas for TTFT 300 ms",
                fewer=Attained({"pages": 0.9655, "email": 1.0}, 0.9691),
                more=Attained({"pages": 0.9932, "email": 1.0}, 0.9939),
                binding_class="pages",
            ),
            Role.DECODE: RoleSizing(
                3, 3, 4, 3, Binding.E2E, "end-to-end 500 ms at 261 rps needs 2.7 replicas"
            ),
        },
        attainment={"pages": 0.9871, "email": 1.0},
        expected_attainment=0.9883,
        target_attainment=0.99,
    )
    decision = Decision(
        current=current,
        proposed={Role.PREFILL: 28, Role.DECODE: 3},
        final={Role.PREFILL: 24, Role.DECODE: 3},
        adjustments=(
            Adjustment(
                "budget",
                Role.PREFILL,
                28,
                24,
                Reason.FREEING,
                "4 GPUs are freed by decode first; 28 follows when they are",
            ),
        ),
        why={role: s.sentence for role, s in sizing.roles.items()},
    )
    value = Record(
        tick_id="shop-20261127T170000Z",
        deployment="shop",
        observation=observation,
        forecast=Forecast(observation.at_s, signals),
        sizing=sizing,
        decision=decision,
        outcome=Outcome(Status.UNCHANGED, "dry run: nothing was changed"),
        config_digest="sha256:" + "5e" * 32,
        profile_digest="sha256:" + "a7" * 32,
        version="0.1.0",
    )
    return replace(value, **changes)  # type: ignore[arg-type]


def held_record() -> Record:
    """Return a tick that saw no demand: everything stays as it is."""
    seen = record()
    current = seen.decision.current
    reason = "demand is 410 s old, more than 180 s: counts are kept"
    return replace(
        seen,
        observation=replace(
            seen.observation,
            demand={"pages": ClassDemand(None, None, None)},
            latency={},
            queue=None,
            gaps=(Gap("demand", "Prometheus did not answer within 10 s"),),
        ),
        forecast=Forecast(seen.observation.at_s, {}, ("no demand in the last 15 min",)),
        sizing=None,
        decision=Decision(
            current,
            current,
            current,
            tuple(Adjustment("freshness", role, n, n, Reason.STALE, reason) for role, n in current.items()),
        ),
        outcome=Outcome(Status.HELD, reason),
    )
