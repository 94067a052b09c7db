"""Divide one pool of GPUs among deployments: guarantees first, then priority, then kept promises.

Each deployment offers a ladder of fleets, and one rung of each is chosen so that all fit the pool: a
multiple-choice knapsack (Kellerer, Pferschy & Pisinger, Knapsack Problems, 2004, ch. 11). GPUs are few
thousands and come whole, so dynamic programming over them is exact for every size that a cluster has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from models.series import Floats
from models.values import Role

# Promises that a GPU must keep to be worth its cost, as a share of those that a GPU keeps on average: a fleet
# that keeps a hundredth of a percent more for ten more GPUs is not bought.
WORTH_RATIO = 0.01
# What a GPU that changes hands must gain besides, likewise: it serves nobody while it starts.
MOVE_RATIO = 0.02
# What a request that is served late is worth, of one that keeps its promise: where no promise can be kept,
# GPUs still go where most is served, and never at the cost of a tenth as many promises.
LATE_RATIO = 0.1


@dataclass(frozen=True, slots=True)
class Rung:
    """Offer one fleet of a deployment: what it takes, and what it does with the demand that is expected.

    `kept_rps` requests per second keep their promise, `served_rps` are served at all.
    """

    gpus: int
    kept_rps: float
    counts: Mapping[Role, int] = field(default_factory=dict)
    served_rps: float = 0.0

    @property
    def worth_rps(self) -> float:
        """Requests per second that keep their promise, and a little for those that are served late."""
        return self.kept_rps + LATE_RATIO * max(self.served_rps - self.kept_rps, 0.0)


@dataclass(frozen=True, slots=True)
class Claim:
    """Say what one deployment asks of a shared pool.

    `ladder` rises in GPUs; its first rung is the floor, its last what the deployment needs, as far as the
    pool could ever give it: `needed_gpus` is all of it. `guaranteed_gpus` are its own as far as it needs
    them, `running_gpus` what its owner asks for now, `hold_gpus` what it had better keep where nobody needs
    it more. A higher `priority` goes first. `widths` are the GPUs of one replica of each role.
    """

    deployment: str
    ladder: tuple[Rung, ...]
    priority: int = 0
    guaranteed_gpus: int = 0
    running_gpus: int = 0
    needed_gpus: int = 0
    hold_gpus: int = 0
    widths: Mapping[Role, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a ladder that does not rise."""
        if not self.ladder:
            raise ValueError(f"{self.deployment}: a claim needs at least one fleet")
        if any(b.gpus <= a.gpus for a, b in zip(self.ladder, self.ladder[1:], strict=False)):
            raise ValueError(f"{self.deployment}: the fleets of a claim rise in GPUs")

    @property
    def least(self) -> int:
        """Index of the smallest fleet that it must get: the largest within its guarantee, or its floor."""
        return max((i for i, rung in enumerate(self.ladder) if rung.gpus <= self.guaranteed_gpus), default=0)


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Hold each deployment's rung; `short` names those that got less than they need, the pool's `used_gpus`.

    `overdrawn_gpus` is by how much floors and guarantees alone exceed the pool: then nobody gets more.
    """

    chosen: Mapping[str, Rung]
    short: tuple[str, ...]
    used_gpus: int
    overdrawn_gpus: int = 0


def plan_fleet(claims: Sequence[Claim], pool_gpus: int) -> FleetPlan:
    """Choose one fleet for each deployment within `pool_gpus`.

    Every deployment gets its floor, and its guarantee as far as it needs it. What is left goes to the highest
    priority until nothing more is gained there, then to the next. Within a priority the requests that keep
    their promise count, less what GPUs and moving them cost (WORTH_RATIO, MOVE_RATIO). O(deployments x
    GPUs x rungs), exact for this objective.
    """
    ordered = sorted(claims, key=lambda claim: (-claim.priority, claim.deployment))
    free = pool_gpus - sum(claim.ladder[claim.least].gpus for claim in ordered)
    chosen: dict[str, Rung] = {}
    left = max(free, 0)
    for _, tier in groupby(ordered, key=lambda claim: claim.priority):
        rungs = _divide(list(tier), left)
        for claim, rung in rungs:
            chosen[claim.deployment] = rung
            left -= rung.gpus - claim.ladder[claim.least].gpus
    short = tuple(c.deployment for c in ordered if chosen[c.deployment].gpus < c.ladder[-1].gpus)
    return FleetPlan(chosen, short, sum(rung.gpus for rung in chosen.values()), max(-free, 0))


def _divide(claims: Sequence[Claim], free: int) -> list[tuple[Claim, Rung]]:
    """Return the best rungs of claims of one priority, with `free` GPUs beyond what each must get."""
    if sum(c.ladder[-1].gpus - c.ladder[c.least].gpus for c in claims) <= free:
        return [(claim, claim.ladder[-1]) for claim in claims]
    each = sum(c.ladder[-1].worth_rps for c in claims) / max(sum(c.ladder[-1].gpus for c in claims), 1)
    # best[g]: the most that the claims so far are worth with g GPUs beyond their least.
    best = np.zeros(free + 1)
    taken: list[NDArray[np.intp]] = []
    for claim in claims:
        worth, more = _worth(claim, each)
        options = np.full((len(worth), free + 1), -np.inf)
        for i, (value, gpus) in enumerate(zip(worth, more, strict=True)):
            if gpus <= free:
                options[i, gpus:] = best[: free + 1 - gpus] + value
        taken.append(options.argmax(axis=0))
        best = options.max(axis=0)
    found = []
    left = free
    for claim, choice in zip(reversed(claims), reversed(taken), strict=True):
        rung = claim.ladder[claim.least + int(choice[left])]
        found.append((claim, rung))
        left -= rung.gpus - claim.ladder[claim.least].gpus
    return found[::-1]


def _worth(claim: Claim, each: float) -> tuple[Floats, list[int]]:
    """Return, per rung from the least on, what it is worth in requests/s and its GPUs beyond the least."""
    rungs = claim.ladder[claim.least :]
    gpus = np.array([rung.gpus for rung in rungs], dtype=np.float64)
    moved = np.abs(gpus - claim.running_gpus)
    worth = np.array([rung.worth_rps for rung in rungs])
    worth = worth - each * (WORTH_RATIO * gpus + MOVE_RATIO * moved)
    return worth, [int(n) for n in gpus - gpus[0]]
