"""Observe a simulated fleet as metrics would show a real one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from models.mix import RequestMix
from models.observation import ClassDemand, Gap, LatencyReading, Observation, PoolState
from models.simulation.fleet import Fleet
from models.simulation.timescale import TimeScale
from models.simulation.workload import Floats, Index
from models.values import Role
from planner.observe.bursts import Bursts

# Lengths of this many recent requests per class make the mix.
_RECENT = 2000


class SimulatedObserver:
    """Count what started since the last look, and take lengths and latencies from what completed.

    Arrivals are requests started: they do not saturate. A length is known once its request has completed,
    as with a frontend's histograms; tokens per second are arrivals times the mean lengths of the window's
    completions, or of the last ones before. Until a class has completed a request they are a Gap; its mix,
    without which nothing can be sized, is then that of the requests that arrived.
    """

    def __init__(self, fleet: Fleet, scale: TimeScale, classes: Sequence[str]) -> None:
        """Watch a fleet from its first arrival on."""
        self._fleet = fleet
        self._scale = scale
        workload = fleet.ledger.workload
        self._number = {name: workload.class_names.index(name) for name in workload.class_names}
        self._classes = tuple(classes)
        self._recent: dict[str, Index] = {}
        self._bursts = {name: Bursts() for name in self._classes}
        self._arrived = 0
        self._finished = 0
        self._looked_s = scale.origin_s

    def observe(self, now_s: float) -> Observation:
        """Return what is true at `now_s`, to which the fleet must have been advanced."""
        fleet, ledger = self._fleet, self._fleet.ledger
        window_s = max(now_s - self._looked_s, 1e-9)
        came: Index = np.arange(self._arrived, ledger.arrivals, dtype=np.intp)
        sent = ledger.workload.class_index[came]
        done = np.array(ledger.finished[self._finished :], dtype=np.intp)
        kinds = ledger.workload.class_index[done]
        simulated_s = self._scale.simulated_span_s(window_s)
        demand, latency, gaps = {}, {}, []
        for name in self._classes:
            number = self._number.get(name, -1)
            mine = done[kinds == number]
            new = came[sent == number]
            self._bursts[name].add(self._looked_s, now_s, float(new.size))
            seen = self._demand(name, new.size / simulated_s, mine, new)
            demand[name] = replace(seen, arrival_cv2=self._bursts[name].cv2())
            latency[name] = self._latency(mine)
            if demand[name].prefill_tokens_per_s is None:
                gaps.append(Gap(f"lengths of {name}", "no request has completed yet"))
        self._arrived, self._finished, self._looked_s = ledger.arrivals, len(ledger.finished), now_s
        return Observation(
            at_s=now_s,
            window_s=window_s,
            demand=demand,
            pools=self._pools(),
            latency=latency,
            queue=fleet.queue(),
            demand_at_s=now_s,
            gaps=tuple(gaps),
        )

    def _demand(self, name: str, rate_rps: float, done: Index, came: Index) -> ClassDemand:
        recent = np.concatenate((self._recent.get(name, done[:0]), done))[-_RECENT:]
        self._recent[name] = recent
        if recent.size == 0:
            if came.size == 0:
                return ClassDemand(rate_rps, 0.0, 0.0)
            return ClassDemand(rate_rps, None, None, self._mix(came[-_RECENT:]))
        workload, cached_tokens = self._fleet.ledger.workload, self._fleet.ledger.cached_tokens
        lengths = done if done.size else recent
        work = np.maximum(workload.isl_tokens[lengths] - cached_tokens[lengths], 1)
        return ClassDemand(
            arrivals_rps=rate_rps,
            prefill_tokens_per_s=rate_rps * float(work.mean()),
            decode_tokens_per_s=rate_rps * float(workload.osl_tokens[lengths].mean()),
            mix=self._mix(recent),
        )

    def _mix(self, requests: Index) -> RequestMix:
        workload = self._fleet.ledger.workload
        isl, osl, cached = (
            column[requests].astype(np.float64)
            for column in (workload.isl_tokens, workload.osl_tokens, self._fleet.ledger.cached_tokens)
        )
        return RequestMix.from_samples(isl, osl, cached)

    def _latency(self, done: Index) -> LatencyReading:
        if done.size == 0:
            return LatencyReading()
        ttft, tpot, _ = self._fleet.ledger.latencies(done)
        steps = np.maximum(self._fleet.ledger.workload.osl_tokens[done] - 1.0, 0.0)
        mean_s = float(tpot @ steps) / float(steps.sum()) if steps.any() else None
        return LatencyReading(*_quantiles(ttft), *_quantiles(tpot), float(ttft.mean()), mean_s)

    def _pools(self) -> Mapping[Role, PoolState]:
        return {
            role: replace(
                pool,
                starting=tuple(replace(s, since_s=self._scale.story_s(s.since_s)) for s in pool.starting),
            )
            for role, pool in self._fleet.pools().items()
        }


def _quantiles(seconds: Floats) -> tuple[float, float]:
    p50, p90 = np.quantile(seconds, (0.5, 0.9))
    return float(p50), float(p90)
