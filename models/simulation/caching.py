"""Simulate replicas that keep what they have read, for prompts that begin alike."""

from array import array
from collections.abc import Callable

from models.artifact import LayoutProfile
from models.simulation.aggregated import AggregatedReplica
from models.simulation.blocks import Prefixes
from models.simulation.clockwork import Clockwork
from models.simulation.ledger import Ledger
from models.simulation.pace import PrefillPace
from models.simulation.preemption import PreemptingAggregated
from models.simulation.prefill import PrefillReplica


class CachingPrefillReplica(PrefillReplica):
    """Look a prompt up when its iteration begins, and hold its blocks from then on.

    The prompts of one iteration find each other's blocks, as layer by layer they do in an engine. What the
    tier held is moved back before the iteration, and takes its time.
    """

    __slots__ = ("_booked", "_prefixes", "cache")

    def __init__(
        self,
        layout: LayoutProfile,
        pace: PrefillPace,
        clock: Clockwork,
        ledger: Ledger,
        pass_on: Callable[[float, int], None],
        prefixes: Prefixes,
    ) -> None:
        """Stand idle, with nothing in the cache."""
        super().__init__(layout, pace, clock, ledger, pass_on)
        self._prefixes = prefixes
        # Tokens by which each waiting prompt counts for the router, as was foreseen when it came.
        self._booked: dict[int, int] = {}
        self.cache = prefixes.cache()

    def accept(self, now_s: float, request: int) -> None:
        """Queue a prompt, and start on it at once when idle."""
        prefixes = self._prefixes
        tokens = prefixes.left(request, self.cache.overlap(prefixes.of(request)))
        self.loads[self.position] += tokens
        self._booked[request] = tokens
        self._queue.append(request)
        self.queued_tokens += tokens
        if not self.busy:
            self.busy = True
            self._iterate(now_s)

    def _iterate(self, now_s: float) -> None:
        queue, work, prefixes = self._queue, self._work, self._prefixes
        taken: list[int] = []
        booked = total = squared = 0
        restore_s = 0.0
        while queue and len(taken) < self._seqs:
            request = queue[0]
            tokens = prefixes.left(request, self.cache.overlap(prefixes.of(request)))
            if taken and total + tokens > self._tokens:
                break
            restore_s += prefixes.read(queue.popleft(), self.cache)
            taken.append(request)
            booked += self._booked.pop(request)
            total += work[request]
            squared += work[request] ** 2
        seconds = self._pace.alone(total) if len(taken) == 1 else self._pace.together(total, squared)
        self.queued_tokens -= booked
        self._running = len(taken)
        self._running_tokens = booked
        self._clock.schedule(now_s + restore_s + seconds, self._finish, tuple(taken))


class _Remembers(AggregatedReplica):
    """Look waiting prompts up before an iteration takes them, and hold their blocks from then on."""

    def remember(self, prefixes: Prefixes) -> None:
        """Begin with nothing in the cache."""
        self._prefixes = prefixes
        self.cache = prefixes.cache()

    def _made_before(self, request: int) -> int:
        """Return the tokens that come behind a prompt."""
        return 0

    def _take(self, budget: int) -> tuple["array[int]", int, int, float]:
        prefixes, work, seen = self._prefixes, self._ledger.prefill_tokens, 0
        # As many as could be taken, as the cache stands now: behind the first ones some may find more.
        for request in self._waiting:
            if seen > budget:
                break
            found = self.cache.overlap(prefixes.of(request))
            work[request] = prefixes.left(request, found) + self._made_before(request)
            seen += work[request]
        taken, total, squared, restore_s = super()._take(budget)
        for request in taken:
            restore_s += prefixes.read(request, self.cache, self._made_before(request))
        return taken, total, squared, restore_s


class CachingAggregatedReplica(_Remembers):
    """Run prompts and steps in one batch, and keep what was read."""


class CachingPreemptingReplica(_Remembers, PreemptingAggregated):
    """Run prompts and steps in one batch that pre-empts, and find again what was thrown out."""

    def _made_before(self, request: int) -> int:
        return self.made(request)
