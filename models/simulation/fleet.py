"""Run a workload through a fleet of simulated replicas."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from models.observation import PoolState, QueueReading, StartingReplica
from models.simulation.aggregated import AggregatedReplica
from models.simulation.clockwork import Clockwork
from models.simulation.decode import DecodeReplica
from models.simulation.failures import Reaper
from models.simulation.ledger import REJECTED, Ledger
from models.simulation.opening import Opening, hopeless, known_prefixes
from models.simulation.plan import FleetPlan
from models.simulation.pool import Pool
from models.simulation.prefill import PrefillReplica
from models.simulation.router import Caching, least_left
from models.simulation.workload import Workload
from models.values import Role, Router

__all__ = ["Fleet", "FleetPlan"]

# Arrivals are turned into Python floats this many at a time.
_CHUNK = 65_536


class Fleet:
    """Serve a workload in virtual time; times are seconds since the first arrival.

    Disaggregated: TTFT = wait and prefill iteration, hand-over of the prompt's KV cache, wait for the decode
    batch, its first step, and the prefill layout's `overhead_s`. The decode replica is chosen when the
    prefill ends. Aggregated: TTFT = wait and mixed iteration, and `overhead_s`.
    A request is rejected only when no replica of the layout could ever hold it, and lost only when its
    replica dies and nobody retries it.
    """

    def __init__(self, workload: Workload, plan: FleetPlan) -> None:
        """Have the plan's replicas ready at time 0."""
        self.plan = plan
        self.now_s = 0.0
        self.ledger = Ledger(workload, workload.start_s)
        self.clock = Clockwork()
        never = hopeless(workload, plan.layouts)
        self.ledger.reject(never)
        self._rejections = np.concatenate(([0], np.cumsum(never)))
        self._prefixes = known_prefixes(plan, workload, self.ledger)
        opening = Opening(plan, self.clock, self.ledger, self._prefixes)
        self._pools: dict[Role, Pool[PrefillReplica] | Pool[DecodeReplica] | Pool[AggregatedReplica]] = {}
        if Role.AGGREGATED in plan.layouts:
            self._front: Pool[PrefillReplica] | Pool[AggregatedReplica] = opening.aggregated()
            self._pools[Role.AGGREGATED] = self._front
        else:
            self._decode = opening.decode()
            self._front = opening.prefill(self._hand_over)
            self._pools = {Role.PREFILL: self._front, Role.DECODE: self._decode}
            self._handover_s = plan.layouts[Role.PREFILL].handover_s_per_token
            self._decode.on_ready = self._ready_decode
        self._front.on_ready = self._ready_front
        self.replica_failures = 0
        if plan.failures is not None:
            reaper = Reaper(plan.failures, self.clock, plan.seed, self._fail)
            for role, pool in self._pools.items():
                reaper.watch(role, pool)
        for role, pool in self._pools.items():
            pool.open(plan.replicas[role])

    @property
    def arrivals(self) -> int:
        """Count the requests that have arrived."""
        return self.ledger.arrivals

    @property
    def rejected(self) -> int:
        """Count the arrived requests that no replica could ever hold."""
        return int(self._rejections[self.ledger.arrivals])

    @property
    def in_flight(self) -> int:
        """Count the requests that arrived and are neither completed, rejected nor lost."""
        return self.ledger.arrivals - self.rejected - self.ledger.completed - self.ledger.lost

    def advance(self, until_s: float) -> None:
        """Run everything that happens up to and including `until_s`."""
        ledger, clock = self.ledger, self.clock
        first = ledger.arrivals
        last = int(np.searchsorted(ledger.arrival_s, until_s, side="right"))
        for begin in range(first, last, _CHUNK):
            end = min(begin + _CHUNK, last)
            self._arrive(begin, ledger.arrival_s[begin:end].tolist())
        ledger.arrivals = last
        clock.run_until(until_s)
        self.now_s = until_s

    def scale(self, role: Role, replicas: int) -> None:
        """Ask for a count of replicas of a role, now."""
        self._pools[role].scale(self.now_s, replicas)

    def desired(self) -> dict[Role, int]:
        """Return the replicas asked for, per role."""
        return {role: pool.desired for role, pool in self._pools.items()}

    def gpu_seconds(self) -> dict[Role, float]:
        """Return the GPU time taken so far, per role."""
        return {role: pool.gpu_seconds(self.now_s) for role, pool in self._pools.items()}

    def pools(self) -> dict[Role, PoolState]:
        """Return the state of each pool; start times are seconds since the first arrival."""
        return {
            role: PoolState(
                desired=pool.desired,
                ready=len(pool.ready),
                starting=tuple(StartingReplica(s.since_s) for s in pool.starting),
                draining=len(pool.draining),
            )
            for role, pool in self._pools.items()
        }

    def queue(self) -> QueueReading:
        """Count what waits for prefill."""
        front, work = self._front, self.ledger.prefill_tokens
        requests, tokens = len(front.backlog), sum(work[i] for i in front.backlog)
        for replica in (*front.ready, *front.draining):
            if isinstance(replica, PrefillReplica):
                requests += replica.queued
                tokens += replica.queued_tokens
            else:
                requests += replica.waiting
                tokens += replica.waiting_tokens
        return QueueReading(requests, float(tokens))

    def in_use(self) -> dict[Role, float]:
        """Return the requests that each role holds, queued or running."""
        found = {}
        for role, pool in self._pools.items():
            held = sum(replica.held for replica in (*pool.ready, *pool.draining))
            found[role] = float(held + len(pool.backlog))
        return found

    def _arrive(self, begin: int, times_s: list[float]) -> None:
        """Interleave arrivals with the events before them."""
        run_until, state = self.clock.run_until, self.ledger.state
        front, blind = self._front, self._prefixes is None
        for request, now_s in enumerate(times_s, begin):
            run_until(now_s)
            if state[request] == REJECTED:
                continue
            if blind and front.ready:
                front.choose().accept(now_s, request)
            else:
                self._send_in(now_s, request)

    def _send_in(self, now_s: float, request: int) -> None:
        """Send a request to a replica of the front pool, or keep it until there is one."""
        front, prefixes = self._front, self._prefixes
        if not front.ready:
            front.backlog.append(request)
        elif prefixes is None or not prefixes.settings.overlap_weight or self.plan.router is not Router.LOAD:
            front.choose().accept(now_s, request)
        else:
            replicas = cast(Sequence[Caching], front.ready)
            weight = prefixes.settings.overlap_weight
            chosen = least_left(request, prefixes, front.loads, replicas, weight)
            front.ready[chosen].accept(now_s, request)

    def _fail(self, now_s: float, role: Role, replica: Any) -> None:
        """Let a replica die: what it held begins anew elsewhere, or is lost."""
        self.replica_failures += 1
        self._pools[role].bury(now_s, replica)
        for request, made in replica.abandon(now_s, self.clock.forget(replica)):
            if self.plan.failures is not None and self.plan.failures.retried:
                self.ledger.begin_anew(request, made)
                self._send_in(now_s, request)
            else:
                self.ledger.lose(request)

    def _ready_front(self, now_s: float) -> None:
        waiting = self._front.backlog
        while waiting:
            self._send_in(now_s, waiting.popleft())

    def _ready_decode(self, now_s: float) -> None:
        while self._decode.backlog:
            self._hand_over(now_s, self._decode.backlog.popleft())

    def _hand_over(self, now_s: float, request: int) -> None:
        """Send a finished prompt to a decode replica, or keep it until there is one."""
        if not self._decode.ready:
            self._decode.backlog.append(request)
            return
        replica = self._decode.choose()
        replica.expect(request)
        if self._handover_s:
            at_s = now_s + self._handover_s * self.ledger.isl_tokens[request]
            self.clock.schedule(at_s, replica.join, request)
        else:
            replica.join(now_s, request)
