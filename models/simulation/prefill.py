"""Simulate a prefill replica: a bulk server that takes queued prompts an iteration at a time."""

from collections import deque
from collections.abc import Callable, Sequence

from models.artifact import LayoutProfile
from models.simulation.clockwork import Clockwork
from models.simulation.ledger import Ledger
from models.simulation.pace import PrefillPace


class PrefillReplica:
    """Serve prompts first come, first served.

    An iteration takes the prompt at the head, whatever its length, and as many of the next as fit under
    `max_num_batched_tokens` and `max_num_seqs`; prompts are not split over iterations, and none joins a
    running one. All prompts of an iteration finish together, after the surface's time for them.
    The prompt's KV cache is taken to leave with the hand-over, so that it bounds a prompt and not the queue.
    """

    __slots__ = (
        "_clock",
        "_pace",
        "_pass_on",
        "_queue",
        "_running",
        "_running_tokens",
        "_seqs",
        "_tokens",
        "_work",
        "busy",
        "loads",
        "position",
        "queued_tokens",
        "retire",
    )

    def __init__(
        self,
        layout: LayoutProfile,
        pace: PrefillPace,
        clock: Clockwork,
        ledger: Ledger,
        pass_on: Callable[[float, int], None],
    ) -> None:
        """Stand idle; `pass_on(now_s, request)` is called for each finished prompt."""
        self._clock = clock
        self._pace = pace
        self._pass_on = pass_on
        self._work = ledger.prefill_tokens
        self._queue: deque[int] = deque()
        self._seqs = layout.limits.max_num_seqs
        self._tokens = layout.limits.max_num_batched_tokens
        self._running = 0
        self._running_tokens = 0
        self.busy = False
        self.queued_tokens = 0
        # The pool's outstanding tokens per ready replica, and where this replica stands in it.
        self.loads: list[float] = [0.0]
        self.position = 0
        self.retire: Callable[[float], None] | None = None

    @property
    def queued(self) -> int:
        """Count the prompts that wait for an iteration."""
        return len(self._queue)

    @property
    def held(self) -> int:
        """Count the prompts that must leave before the replica may stop."""
        return len(self._queue) + self._running

    def accept(self, now_s: float, request: int) -> None:
        """Queue a prompt, and start on it at once when idle."""
        tokens = self._work[request]
        self.loads[self.position] += tokens
        if self.busy:
            self._queue.append(request)
            self.queued_tokens += tokens
        else:
            self.busy = True
            self._running = 1
            self._running_tokens = tokens
            self._clock.schedule(now_s + self._pace.alone(tokens), self._finish, (request,))

    def abandon(self, now_s: float, events: Sequence[object]) -> list[tuple[int, int]]:
        """Die: return what was held, as (request, tokens made); `events` are what was to come."""
        running = [request for batch in events if isinstance(batch, tuple) for request in batch]
        held = [(request, 0) for request in (*running, *self._queue)]
        self._queue.clear()
        self._running = 0
        return held

    def _finish(self, now_s: float, batch: tuple[int, ...]) -> None:
        self.loads[self.position] -= self._running_tokens
        pass_on = self._pass_on
        for request in batch:
            pass_on(now_s, request)
        if self._queue:
            self._iterate(now_s)
        else:
            self.busy = False
            self._running = 0
            if self.retire is not None:
                self.retire(now_s)

    def _iterate(self, now_s: float) -> None:
        queue, work = self._queue, self._work
        request = queue.popleft()
        total = work[request]
        if not queue or total + work[queue[0]] > self._tokens or self._seqs == 1:
            batch: tuple[int, ...] = (request,)
            seconds = self._pace.alone(total)
        else:
            taken = [request]
            squared = total * total
            while queue and len(taken) < self._seqs:
                tokens = work[queue[0]]
                if total + tokens > self._tokens:
                    break
                taken.append(queue.popleft())
                total += tokens
                squared += tokens * tokens
            batch = tuple(taken)
            seconds = self._pace.together(total, squared)
        self.queued_tokens -= total
        self._running = len(batch)
        self._running_tokens = total
        self._clock.schedule(now_s + seconds, self._finish, batch)
