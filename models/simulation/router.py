"""Choose the replica that a request goes to."""

import random
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from models.simulation.blocks import BlockCache, Prefixes
from models.values import Router

# Given the outstanding work per ready replica (never empty), return the position of the chosen one.
Choice: TypeAlias = Callable[[list[float]], int]


class Caching(Protocol):
    """What a cache-aware router asks of a replica."""

    cache: BlockCache


def choice(router: Router, seed: int) -> Choice:
    """Return a router with a state of its own.

    Load-aware takes the replica with the least outstanding work, the first of equals; round robin goes
    around whatever the replicas hold; random draws from a generator seeded with `seed`.
    """
    match router:
        case Router.LOAD:
            return _least_loaded
        case Router.ROUND_ROBIN:
            return RoundRobin()
        case Router.RANDOM:
            return Random(seed)


def _least_loaded(loads: list[float]) -> int:
    # Two passes in C beat one in Python up to hundreds of replicas.
    return loads.index(min(loads))


class RoundRobin:
    """Take replicas in turn."""

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        """Begin with the first replica."""
        self._turn = -1

    def __call__(self, loads: list[float]) -> int:
        """Return the next position."""
        self._turn = (self._turn + 1) % len(loads)
        return self._turn


class Random:
    """Take replicas independently and uniformly."""

    __slots__ = ("_draw",)

    def __init__(self, seed: int) -> None:
        """Seed the generator."""
        self._draw = random.Random(seed).random

    def __call__(self, loads: list[float]) -> int:
        """Return any position."""
        return int(self._draw() * len(loads))


def least_left(
    request: int, prefixes: Prefixes, loads: Sequence[float], replicas: Sequence[Caching], weight: float
) -> int:
    """Return the replica with least outstanding work and least of the prompt to compute, the first of equals.

    The cost of Dynamo's KV router, load + weight * what is not found, with loads in prompt tokens; the caches
    are known as they are.
    """
    hashes = prefixes.of(request)
    costs = [
        load + weight * prefixes.left(request, replica.cache.overlap(hashes))
        for load, replica in zip(loads, replicas, strict=True)
    ]
    return costs.index(min(costs))
