"""Approximate how long a prompt waits for a prefill replica, under the deployment's router."""

import math
from dataclasses import dataclass, replace

from models.values import Router

# A replica that is never idle, as far as Erlang's formula can be asked.
_ALWAYS = 0.999


@dataclass(frozen=True, slots=True)
class WaitTail:
    """Describe a wait in seconds: P(W > t + shared) = probability * max(e^(-rate t), 1 - t / residual).

    `residual_s` bounds the rest of the iteration that a prompt finds at the replica it was sent to; 0 where
    the exponential holds it already. Who waits shares the next iteration: `shared_s` is by how much that
    outlasts an iteration of one's own. `utilisation` at or above 1 means that the queue grows without
    bound: then probability is 1 and the rate 0.
    """

    probability: float
    rate_per_s: float
    utilisation: float
    residual_s: float = 0.0
    shared_s: float = 0.0

    @property
    def mean_s(self) -> float:
        """Mean wait, at least half the residual for those who wait; infinite for a queue that grows."""
        if self.rate_per_s <= 0:
            return math.inf
        return self.probability * (self.shared_s + max(1.0 / self.rate_per_s, self.residual_s / 2))


def erlang_c(servers: int, offered: float) -> float:
    """Return the probability that an arrival to M/M/k waits; `offered` is in Erlangs, below `servers`.

    Uses the stable recursion of the Erlang-B formula.
    """
    blocking = 1.0
    for i in range(1, servers + 1):
        blocking = offered * blocking / (i + offered * blocking)
    rho = offered / servers
    return blocking / (1.0 - rho * (1.0 - blocking))


def wait_tail(
    replicas: int,
    rate_rps: float,
    service_s: float,
    service_cv2: float,
    router: Router,
    arrival_cv2: float = 1.0,
) -> WaitTail:
    """Return the waiting tail of `replicas` servers that share `rate_rps` requests of mean work `service_s`.

    Load-aware routing makes one M/G/k queue with the Kimura/Sakasegawa variability factor
    (Ca^2 + Cs^2) / 2, except that a prompt is committed to one replica when it arrives and waits at least
    for the rest of the iteration there, which a central queue would spare it (simulated with 11 replicas
    at 68 %, the p99 wait is 0.9 iterations; a central queue's would be 0.4). Round robin makes k queues of
    GI/G/1 whose arrivals are k times more regular, random routing k queues of M/G/1 (Kraemer and
    Langenbach-Belz for GI/G/1).
    """
    if rate_rps <= 0 or service_s <= 0:
        return WaitTail(0.0, math.inf, 0.0)
    utilisation = rate_rps * service_s / replicas
    if utilisation >= 1.0:
        return WaitTail(1.0, 0.0, utilisation)
    if router is Router.LOAD:
        variability = max((arrival_cv2 + service_cv2) / 2, 1e-3)
        slack = replicas / service_s - rate_rps
        waits = erlang_c(replicas, rate_rps * service_s)
        return WaitTail(waits, slack / variability, utilisation, service_s)
    own_cv2 = arrival_cv2 / replicas if router is Router.ROUND_ROBIN else 1.0 + (arrival_cv2 - 1.0) / replicas
    return _single_queue(utilisation, service_s, service_cv2, own_cv2)


def bulk(
    tail: WaitTail, replicas: int, iterations_per_s: float, iteration_s: float, alone_s: float, router: Router
) -> WaitTail:
    """Correct a tail for prompts that are served in shared iterations.

    Capacity follows from the marginal work of a prompt, but a replica is busy for whole iterations:
    `iterations_per_s` of `iteration_s` each, more of the time than the work alone would say. Who finds it
    busy waits for the rest of an iteration and then shares the next, which outlasts the `alone_s` of an
    iteration of one's own. A tail without bound stays as it is.
    """
    busy = min(iterations_per_s * iteration_s, _ALWAYS)
    if tail.utilisation >= 1.0 or busy <= tail.utilisation * (1 + 1e-6):
        return tail
    waits = erlang_c(replicas, busy * replicas) if router is Router.LOAD else busy
    return replace(
        tail,
        probability=max(tail.probability, waits),
        residual_s=max(tail.residual_s, iteration_s),
        shared_s=max(iteration_s - alone_s, 0.0),
    )


def _single_queue(rho: float, service_s: float, service_cv2: float, arrival_cv2: float) -> WaitTail:
    """Kraemer and Langenbach-Belz: mean wait and probability of waiting of GI/G/1, exponential tail."""
    spread = max(arrival_cv2 + service_cv2, 1e-3)
    if arrival_cv2 <= 1:
        damping = math.exp(-2 * (1 - rho) * (1 - arrival_cv2) ** 2 / (3 * rho * spread))
        waits = (1 + arrival_cv2 + rho * service_cv2) / (
            1 + rho * (service_cv2 - 1) + rho**2 * (4 * arrival_cv2 + service_cv2)
        )
    else:
        damping = math.exp(-(1 - rho) * (arrival_cv2 - 1) / (arrival_cv2 + 4 * service_cv2))
        waits = 4 * rho / (arrival_cv2 + rho**2 * (4 * arrival_cv2 + service_cv2))
    mean_s = rho * service_s * spread / (2 * (1 - rho)) * damping
    probability = min(max(rho + (arrival_cv2 - 1) * rho * (1 - rho) * waits, 1e-9), 1.0)
    return WaitTail(probability, probability / max(mean_s, 1e-12), rho)
