"""Run a fleet under a fixed number of users, each of whom sends the next request when one is answered."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.simulation.fleet import Fleet, FleetPlan
from models.simulation.ledger import REJECTED
from models.simulation.workload import Floats, Workload


@dataclass(frozen=True, slots=True)
class ClosedRun:
    """Hold a run's requests in the order in which they were sent; seconds, shape (requests,).

    `span_s` runs from the first request to the last answer.
    """

    ttft_s: Floats
    tpot_s: Floats
    e2e_s: Floats
    span_s: float


def run_closed(
    plan: FleetPlan,
    users: int,
    isl_tokens: NDArray[np.int32],
    osl_tokens: NDArray[np.int32],
    cached_tokens: NDArray[np.int32],
) -> ClosedRun:
    """Send requests of these lengths, shape (requests,), with all users starting at once at time 0.

    Requests are shared out as benchmarks do: who is free takes the next one, until none is left. Raises
    ValueError when a request fits no replica of the plan.
    """
    count = isl_tokens.size
    workload = Workload.of(np.zeros(count), isl_tokens, osl_tokens, cached_tokens)
    fleet = _ClosedFleet(workload, plan)
    if REJECTED in fleet.ledger.state:
        raise ValueError("a request is larger than the KV cache of one replica")
    fleet.run(users)
    ttft_s, tpot_s, e2e_s = fleet.ledger.latencies(np.arange(count))
    return ClosedRun(ttft_s, tpot_s, e2e_s, max(fleet.ledger.finish_s, default=0.0))


class _ClosedFleet(Fleet):
    """Take each request when a user is free for it instead of at a time given beforehand."""

    def run(self, users: int) -> None:
        """Answer every request of the workload."""
        ledger, clock = self.ledger, self.clock
        sent, seen, total = min(users, len(ledger.workload)), 0, len(ledger.workload)
        for request in range(sent):
            self._send(0.0, request)
        while seen < total:
            clock.run_until(clock.next_s)
            for request in ledger.finished[seen:]:
                if sent < total:
                    # The last token reaches its user `overhead_s` after the replica is done with it.
                    clock.schedule(ledger.finish_s[request], self._send, sent)
                    sent += 1
            seen = len(ledger.finished)

    def _send(self, now_s: float, request: int) -> None:
        self.ledger.arrival_s[request] = now_s
        self._front.choose().accept(now_s, request)
