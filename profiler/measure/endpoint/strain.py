"""Watch the load generator itself: how late its event loop runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

TICK_S = 0.005


@dataclass(slots=True)
class Strain:
    """Collect by how many seconds ticks of the event loop came late."""

    late_s: list[float] = field(default_factory=list)

    @property
    def lag_s(self) -> float:
        """The lateness that 5 % of ticks exceed: what a time stamp may be off by."""
        ranked = sorted(self.late_s)
        return ranked[int(0.95 * (len(ranked) - 1))] if ranked else 0.0

    @property
    def worst_s(self) -> float:
        """The lateness of the latest tick."""
        return max(self.late_s, default=0.0)


@asynccontextmanager
async def watching() -> AsyncIterator[Strain]:
    """Watch the running event loop until the block ends."""
    strain = Strain()
    watcher = asyncio.ensure_future(_tick(strain))
    try:
        yield strain
    finally:
        watcher.cancel()


async def _tick(strain: Strain) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        strain.late_s.append(max(0.0, loop.time() - due))
