"""Divide the deployments of a configuration among processes, by their names alone."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """Name one of `count` equal shares of a fleet, counted from 0."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `0/4`; raises ValueError that says what to write."""
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
        if found is None:
            raise ValueError(f"{text!r}: write INDEX/COUNT, such as 0/4")
        index, count = int(found[1]), int(found[2])
        if index >= count:
            raise ValueError(f"{text!r}: of {count} shards the last is {max(count - 1, 0)}/{count}")
        return cls(index, count)

    def holds(self, key: str) -> bool:
        """Say whether what goes by this key is in the shard; the same in every process and release."""
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        return number % self.count == self.index

    def lease(self, name: str) -> str:
        """Return the name of its own Lease."""
        return name if self.count == 1 else f"{name}-{self.index}-of-{self.count}"

    def __str__(self) -> str:
        """Write it as it is read."""
        return f"{self.index}/{self.count}"


WHOLE = Shard(0, 1)


def of_shard(shard: Shard, names: Sequence[str], pool: Callable[[str], str | None]) -> list[str]:
    """Return the deployments of a shard; those that share a `pool` of GPUs are in the same one.

    Who divides a pool must see all that it is divided among.
    """
    return [name for name in names if shard.holds(_key(name, pool(name)))]


def _key(name: str, pool: str | None) -> str:
    return f"deployment {name}" if pool is None else f"pool {pool}"
