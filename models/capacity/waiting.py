"""Approximate how long a prompt waits for a prefill replica, under the deployment's router."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.values import Router

Floats = NDArray[np.float64]
# Arrays of shapes that broadcast with each other, or numbers.
Values = Floats | float

# A replica that is never idle, as far as Erlang's formula can be asked.
_ALWAYS = 0.999
# Stands for a wait that ends at once, and for work that takes no time.
_AT_ONCE_PER_S, _NO_TIME_S = 1e12, 1e-12
# A residual that is over, in place of the logarithm of nothing.
_SPENT = -1.0 + 1e-15
# Nearer to exponential than that a residual is taken for it.
_EXPONENTIAL = 0.05
# The iteration at the replica of the fewest tokens ends as the least of k to this power would: simulated with
# 4 and 16 replicas.
_CHOSEN = 0.32
# By how much heavy traffic understates at no load how fast a queue of equal prompts shrinks.
_EVEN = 0.33
# Which part of the work that arrives behind a waiting prompt is done before its iteration ends.
_AFTER = 0.75


@dataclass(frozen=True, slots=True)
class WaitTail:
    """Describe waits: P(W > t + shared) = probability * max(e^(-rate t), (1 - t / residual)^fading).

    `residual_s` bounds the rest of the iteration that a prompt finds at the replica it was sent to, `fading`
    says how that is distributed: 1 evenly, as among prompts that are all alike. Who waits shares the next
    iteration: `shared_s` is by how much that outlasts an iteration of one's own, and `stretch` by what factor
    those who come after, who share it too, slow the queue; they slow the residual by half of that.
    `utilisation` at or above 1 means that the queue grows without bound: then probability is 1 and the rate
    0. All are arrays of one shape, an element per queue; seconds.
    """

    probability: Floats
    rate_per_s: Floats
    utilisation: Floats
    residual_s: Floats
    fading: Floats
    shared_s: Floats
    stretch: Floats

    @property
    def mean_s(self) -> Floats:
        """Mean wait, at least the mean residual for those who wait; infinite for a queue that grows."""
        bounded = self.rate_per_s > 0
        queued = 1.0 / np.where(bounded, self.rate_per_s, 1.0)
        residual_s = self.mean_residual_s * (1.0 + self.stretch) / 2.0
        waiting = self.shared_s + np.maximum(queued * self.stretch, residual_s)
        return np.where(bounded, self.probability * waiting, np.inf)

    @property
    def mean_residual_s(self) -> Floats:
        """Mean rest of the iteration that a prompt waits for."""
        mean: Floats = self.residual_s / (self.fading + 1.0)
        return mean

    def beyond(self, slack_s: Floats) -> Floats:
        """Return P(W > slack) for slack of at least 0 with two axes behind those of the queues."""
        rest = (..., None, None)
        if not self.probability.any():
            return np.zeros(np.broadcast_shapes(self.probability[rest].shape, slack_s.shape))
        late_s = np.asarray(slack_s - self.shared_s[rest])
        # These are the largest arrays of a tick: fresh memory would cost more than the arithmetic.
        np.maximum(late_s, 0.0, out=late_s)
        bound_s = np.maximum(self.residual_s * (1.0 + self.stretch) / 2.0, _NO_TIME_S)
        left: Floats = late_s * (-1.0 / bound_s)[rest]
        np.log1p(np.maximum(left, _SPENT, out=left), out=left)
        np.multiply(left, self.fading[rest], out=left)
        queued: Floats = late_s * (-self.rate_per_s / self.stretch)[rest]
        np.maximum(queued, left, out=queued)
        np.exp(queued, out=queued)
        np.multiply(queued, self.probability[rest], out=queued)
        return queued


def erlang_c(servers: Values, offered: Values) -> Floats:
    """Return the probability that an arrival to M/M/k waits; 1 from as many Erlangs `offered` as servers.

    Erlang's B is the Poisson probability of `servers` over that of at most `servers`, for any number of
    either at the price of one.
    """
    from scipy.special import gammaincc, gammaln

    load = np.maximum(np.minimum(offered, servers), 1e-300)
    exactly = np.exp(servers * np.log(load) - load - gammaln(servers + 1.0))
    blocking = exactly / gammaincc(servers + 1.0, load)
    waits: Floats = blocking / (1.0 - load / servers * (1.0 - blocking))
    return waits


def wait_tail(
    replicas: Values,
    rate_rps: Values,
    service_s: Values,
    service_cv2: Values,
    router: Router,
    arrival_cv2: Values = 1.0,
    busy: Values = 0.0,
    together: float = 0.5,
) -> WaitTail:
    """Return the waiting tails of `replicas` servers that share `rate_rps` requests of mean work `service_s`.

    Load-aware routing makes one M/G/k queue with the Kimura/Sakasegawa variability factor
    (Ca^2 + Cs^2) / 2, except that a prompt is committed to one replica when it arrives and waits at least
    for the rest of the iteration there, which a central queue would spare it (simulated with 11 replicas
    at 68 %, the p99 wait is 0.9 iterations; a central queue's would be 0.4). Arrivals of peakedness z find
    all replicas busy as k / z replicas of Poisson arrivals would (Hayward; Fredericks 1980), with `together`
    as in `Holding` for the prompts' work. Round robin makes k queues of GI/G/1 whose arrivals are k times
    more regular, random routing k queues of M/G/1 (Kraemer and Langenbach-Belz for GI/G/1). `busy` is the
    share of the time for which whole iterations keep a replica busy, as in `bulk`.
    """
    work_s = np.maximum(service_s, _NO_TIME_S)
    utilisation = np.asarray(rate_rps * work_s / replicas)
    bounded = utilisation < 1.0
    residual_s, fading = _residual(work_s, service_cv2)
    if router is Router.LOAD:
        found_busy = np.where(_longer(busy, utilisation), busy, utilisation)
        peaked = np.maximum(1.0 + (np.asarray(arrival_cv2) - 1.0) * together, 0.05)
        groups = np.maximum(replicas / peaked, np.minimum(replicas, 1.0))
        probability = erlang_c(groups, found_busy * groups)
        variability = np.maximum((arrival_cv2 + service_cv2) / 2, 1e-3)
        rate_per_s = (replicas / work_s - rate_rps) / variability
        # Heavy traffic understates how fast a queue of equal prompts shrinks where there is little (M/D/1:
        # rho (e^x - 1) = x); half of it, as iterations that are shared take some of that back.
        even = np.maximum((1.0 - utilisation) * (1.0 - 2.0 * service_cv2), 0.0)
        rate_per_s = rate_per_s * (1.0 + _EVEN * even)
        # The more replicas there are, the shorter is the iteration at the one that holds the fewest tokens.
        fading = fading * np.asarray(replicas) ** (_CHOSEN * np.minimum(service_cv2, 1.0))
    else:
        evenly = router is Router.ROUND_ROBIN
        own_cv2 = arrival_cv2 / replicas if evenly else 1.0 + (arrival_cv2 - 1.0) / replicas
        # Even arrivals meet little of an iteration, if any.
        fading = fading / np.maximum(np.minimum(own_cv2, 1.0), 0.05)
        rho = np.where(bounded, np.maximum(utilisation, _NO_TIME_S), 0.5)
        probability, mean_s = _single_queue(rho, work_s, service_cv2, own_cv2)
        rate_per_s = probability / np.maximum(mean_s, _NO_TIME_S)
    empty = utilisation <= 0.0
    return WaitTail(
        np.where(bounded, np.where(empty, 0.0, probability), 1.0),
        np.where(bounded, np.where(empty, _AT_ONCE_PER_S, np.minimum(rate_per_s, _AT_ONCE_PER_S)), 0.0),
        utilisation,
        np.where(bounded & ~empty, residual_s, 0.0),
        fading + np.zeros(utilisation.shape),
        np.zeros(utilisation.shape),
        np.ones(utilisation.shape),
    )


def _residual(work_s: Values, service_cv2: Values) -> tuple[Floats, Floats]:
    """Return bound and fading of the rest of an iteration that an arrival finds.

    Its mean is that of the equilibrium distribution, E[S^2] / (2 E[S]); from even for prompts that are all
    alike to exponential from Cs^2 = 1 on: the generalised Pareto survival (1 - t / bound)^fading.
    """
    shape = np.maximum(1.0 - np.asarray(service_cv2), _EXPONENTIAL)
    mean_s = work_s * (1.0 + service_cv2) / 2.0
    fading = 1.0 / shape
    return np.asarray(mean_s * (1.0 + fading)), fading


def stretched(tail: WaitTail, bulk_ratio: Values) -> WaitTail:
    """Make those who wait finish with those who came after and share their iteration.

    While a prompt waits, others arrive at its replica for `utilisation` of the time; `bulk_ratio` says how
    many of them fit into one iteration, 0 where prompts are served one at a time. The part of their work
    that is found in simulation (1 to 16 replicas, 30 to 80 % busy) is 0.75.
    """
    used = np.minimum(tail.utilisation, 1.0)
    return replace(tail, stretch=1.0 + _AFTER * used * bulk_ratio)


def bulk(tail: WaitTail, busy: Values, iteration_s: Values, alone_s: Values, router: Router) -> WaitTail:
    """Correct tails for prompts that are served in shared iterations.

    Capacity follows from the marginal work of a prompt, but a replica is `busy` for whole iterations of
    `iteration_s` each, more of the time than the work alone would say. Who finds it busy waits for the rest
    of an iteration and then shares the next, which outlasts the `alone_s` of an iteration of one's own. A
    tail without bound stays as it is; behind a load-aware router `wait_tail` knew how busy replicas are.
    """
    longer = (tail.utilisation < 1.0) & _longer(busy, tail.utilisation)
    if not longer.any():
        return tail
    waits = tail.probability if router is Router.LOAD else np.maximum(tail.probability, busy)
    return replace(
        tail,
        probability=np.where(longer, waits, tail.probability),
        residual_s=np.where(
            longer, np.maximum(tail.residual_s, iteration_s * (tail.fading + 1.0) / 2.0), tail.residual_s
        ),
        shared_s=np.where(longer, np.maximum(iteration_s - alone_s, 0.0), tail.shared_s),
    )


def busy_share(iterations_per_s: Values, iteration_s: Values) -> Values:
    """Return the share of the time for which a replica runs iterations, as far as Erlang's formula goes."""
    share: Values = np.minimum(iterations_per_s * iteration_s, _ALWAYS)
    return share


def _longer(busy: Values, utilisation: Values) -> NDArray[np.bool_]:
    return np.asarray(busy > utilisation * (1 + 1e-6))


def _single_queue(
    rho: Floats, service_s: Values, service_cv2: Values, arrival_cv2: Values
) -> tuple[Floats, Floats]:
    """Kraemer and Langenbach-Belz: probability of waiting and mean wait of GI/G/1."""
    spread = np.maximum(arrival_cv2 + service_cv2, 1e-3)
    even, uneven = np.minimum(arrival_cv2, 1.0), np.maximum(arrival_cv2, 1.0)
    regular = np.asarray(arrival_cv2) <= 1.0
    damping = np.exp(
        np.where(
            regular,
            -2 * (1 - rho) * (1 - even) ** 2 / (3 * rho * spread),
            -(1 - rho) * (uneven - 1) / (uneven + 4 * service_cv2),
        )
    )
    waits = np.where(
        regular,
        (1 + even + rho * service_cv2) / (1 + rho * (service_cv2 - 1) + rho**2 * (4 * even + service_cv2)),
        4 * rho / (uneven + rho**2 * (4 * uneven + service_cv2)),
    )
    mean_s = rho * service_s * spread / (2 * (1 - rho)) * damping
    probability = np.clip(rho + (arrival_cv2 - 1) * rho * (1 - rho) * waits, 1e-9, 1.0)
    return probability, mean_s
