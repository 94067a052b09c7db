"""Observe Dynamo's own replay through the snapshot that it hands to a scaling policy at each tick."""

from dataclasses import replace

from models.observation import (
    QUEUE_GAP,
    ClassDemand,
    Gap,
    LatencyReading,
    Observation,
    PoolState,
    StartingReplica,
)
from models.values import Role
from planner.observe.bursts import Bursts
from planner.observe.replay_lengths import Lengths
from planner.observe.replay_passes import Told, number, passes, waiting

# The replay knows prefill and decode; these are its words for them.
ROLES = (Role.PREFILL, Role.DECODE)


class ReplayTicks:
    """Turn one snapshot into an Observation; `origin_s` is what the replay's time 0 counts as, Unix seconds.

    Arrivals are requests that arrived in the window. Lengths are known of requests that completed in it, and
    count for as long as `Lengths` keeps them: without any yet, demand in tokens is a Gap.
    """

    def __init__(self, request_class: str, origin_s: float) -> None:
        """Begin before the first tick; the replay tells no classes apart."""
        self._class = request_class
        self._origin_s = origin_s
        self._told: Told = {}
        self._lengths = Lengths()
        self._bursts = Bursts()
        # When each replica that still starts was first missing from a snapshot: its order's moment.
        self._since_s: dict[Role, dict[object, float]] = {role: {} for role in ROLES}
        self._looked_s = origin_s

    def take(self, told: Told) -> float:
        """Keep the snapshot that the next look reads, and return its time in Unix seconds."""
        self._told = told
        return self._origin_s + number(told, "now_ms") / 1e3

    def observe(self, now_s: float) -> Observation:
        """Return what the latest snapshot says.

        Raises ObserveError when it lacks what every snapshot of the replay (1.4.2) holds.
        """
        told = self._told
        prefill, decode = (passes(told, role) for role in ROLES)
        traffic = told.get("traffic") or {}
        window_s = number(traffic, "duration_s") if traffic else 0.0
        gaps = []
        demand = ClassDemand(None, None, None)
        if window_s > 0:
            self._lengths.absorb(now_s, traffic, prefill, decode)
            requests = number(traffic, "num_req")
            self._bursts.add(now_s - window_s, now_s, requests)
            demand = replace(self._demand(now_s, requests / window_s), arrival_cv2=self._bursts.cv2())
            if demand.prefill_tokens_per_s is None:
                gaps.append(Gap(f"lengths of {self._class}", "no request has completed yet"))
        else:
            gaps.append(Gap(f"demand of {self._class}", "the snapshot holds no traffic window"))
        queue = waiting(prefill)
        if queue is None:
            gaps.append(Gap(QUEUE_GAP, "the snapshot holds no prefill worker's queue"))
        pools = {role: self._pool(role, now_s) for role in ROLES}
        self._looked_s = now_s
        return Observation(
            at_s=now_s,
            window_s=window_s,
            demand={self._class: demand},
            pools=pools,
            # The replay tells means only; a mean is no quantile.
            latency={self._class: LatencyReading()},
            queue=queue,
            demand_at_s=now_s if window_s > 0 else None,
            gaps=tuple(gaps),
        )

    def _demand(self, now_s: float, rate_rps: float) -> ClassDemand:
        mean = self._lengths.mean()
        if mean is None:
            return ClassDemand(rate_rps, None, None) if rate_rps else ClassDemand(0.0, 0.0, 0.0)
        return ClassDemand(
            arrivals_rps=rate_rps,
            prefill_tokens_per_s=rate_rps * mean.prefill_tokens,
            decode_tokens_per_s=rate_rps * mean.osl_tokens,
            mix=self._lengths.mix(now_s),
        )

    def _pool(self, role: Role, now_s: float) -> PoolState:
        """Read one role's counts; what the last tick ordered is seen at this one for the first time."""
        told, known = self._told, self._since_s[role]
        starting = told.get(f"starting_{role}_ids") or ()
        self._since_s[role] = since_s = {each: known.get(each, self._looked_s) for each in starting}
        return PoolState(
            desired=int(number(told, f"non_draining_{role}_count")),
            ready=int(number(told, f"active_{role}_count")),
            starting=tuple(StartingReplica(at_s) for at_s in since_s.values()),
            draining=int(number(told, f"draining_{role}_count")),
        )
