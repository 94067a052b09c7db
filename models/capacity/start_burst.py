"""Predict what a closed-loop benchmark reports: the start burst, the waves after it and the end included."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.artifact import LayoutProfile
from models.capacity.predict import Latency
from models.mix import RequestMix
from models.simulation.closed_loop import run_closed
from models.simulation.fleet import FleetPlan
from models.simulation.workload import Floats
from models.values import Role, Router

REQUESTS_PER_USER = 8
# Beyond it a fleet of equal replicas is cut to a share of itself; one that cannot be cut is refused.
MOST_REQUESTS = 200_000
_SEED = 0


@dataclass(frozen=True, slots=True)
class BenchmarkView:
    """Hold what a benchmark of `requests` requests would report, `users` at a time from the first moment.

    TTFT is a mixture: the first request of each user waits for those of all others, the later ones come in
    waves that lose their shape as fast as lengths differ. Throughput is over the whole run, its end
    included, when users run out of requests.
    """

    users: int
    requests: int
    span_s: float
    ttft_s: Latency
    itl_s: Latency
    e2e_s: Latency
    output_tokens_per_s: float
    tokens_per_s_per_gpu: float


def with_start_burst(
    mix: RequestMix,
    users: int,
    fleet: Mapping[Role, tuple[LayoutProfile, int]],
    router: Router = Router.LOAD,
    requests_per_user: int = REQUESTS_PER_USER,
) -> BenchmarkView:
    """Simulate the benchmark on the fleet's surfaces; the same inputs give the same answer.

    Lengths are drawn from the mix with a fixed seed. A fleet whose replica counts share a divisor is cut by
    it where the benchmark is long: a router that balances makes the parts alike. Raises ValueError for a
    request that fits no replica, and for more requests than can be simulated.
    """
    counts = {role: n for role, (_, n) in fleet.items()}
    cut = _share(counts, users, requests_per_user, router)
    if users * requests_per_user // cut > MOST_REQUESTS:
        raise ValueError(
            f"a benchmark of {users * requests_per_user:,} requests is not simulated, "
            f"the most is {MOST_REQUESTS:,}: ask for fewer requests per user"
        )
    served = -(-users // cut)
    drawn = np.random.default_rng(_SEED).choice(
        len(mix.atoms), served * requests_per_user, p=[a.weight for a in mix.atoms]
    )
    isl, osl, cached = (
        np.array([max(round(getattr(a, name)), least) for a in mix.atoms], dtype=np.int32)[drawn]
        for name, least in (("isl_tokens", 1), ("osl_tokens", 1), ("cached_tokens", 0))
    )
    plan = FleetPlan(
        {role: layout for role, (layout, _) in fleet.items()},
        {role: n // cut for role, n in counts.items()},
        dict.fromkeys(counts, 0.0),
        router,
    )
    run = run_closed(plan, served, isl, osl, cached)
    gpus = sum(layout.gpus * (n // cut) for layout, n in fleet.values())
    return BenchmarkView(
        users=users,
        requests=users * requests_per_user,
        span_s=run.span_s,
        ttft_s=_latency(run.ttft_s),
        itl_s=_latency(run.tpot_s),
        e2e_s=_latency(run.e2e_s),
        output_tokens_per_s=float(osl.sum()) / run.span_s * cut,
        tokens_per_s_per_gpu=float(isl.sum() + osl.sum()) / run.span_s / gpus,
    )


def _share(counts: Mapping[Role, int], users: int, requests_per_user: int, router: Router) -> int:
    """Return into how many like parts the fleet is cut: 1, unless the benchmark is long."""
    if users * requests_per_user <= MOST_REQUESTS or router is Router.RANDOM:
        return 1
    return math.gcd(*counts.values())


def _latency(seconds: Floats) -> Latency:
    p50, p99 = np.quantile(seconds, (0.5, 0.99))
    return Latency(float(seconds.mean()), float(p50), float(p99))
