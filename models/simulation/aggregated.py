"""Simulate an aggregated replica: iterations that mix prompts with the steps of running sequences."""

from array import array
from heapq import heappush
from math import ceil

from models.artifact import LayoutProfile
from models.simulation.clockwork import Clockwork
from models.simulation.decode import EXACT, DecodeReplica
from models.simulation.ledger import COMPLETED, Ledger
from models.simulation.pace import PrefillPace, StepPace


class AggregatedReplica(DecodeReplica):
    """Run prompts and steps in one batch.

    While prompts wait, an iteration takes them in order under `max_num_batched_tokens`, less one token for
    each running sequence; a prompt longer than that is cut into chunks, and every running sequence gains one
    token per chunk. Its time is the prefill surface's for the prompts plus, per chunk, what the step takes
    beyond an idle one: the pass over the weights is paid once, and no chunk is faster than its step alone.
    Without prompts it is a decode replica.
    The last chunk of a prompt yields its first token.
    """

    __slots__ = ("_idle_step_s", "_mixing", "_prefill", "_tokens")

    def __init__(
        self,
        layout: LayoutProfile,
        prefill: PrefillPace,
        pace: StepPace,
        clock: Clockwork,
        ledger: Ledger,
        overhead_s: float,
    ) -> None:
        """Stand idle."""
        super().__init__(layout, pace, clock, ledger, overhead_s)
        self._handover = 0.0
        self._prefill = prefill
        self._tokens = layout.limits.max_num_batched_tokens
        self._idle_step_s = pace.at(0.0, 1)
        self._mixing = False

    def accept(self, now_s: float, request: int) -> None:
        """Queue a prompt, and start on it at the next step boundary."""
        ledger = self._ledger
        self.loads[self.position] += ledger.isl_tokens[request] + ledger.osl_tokens[request]
        self._waiting.append(request)
        if not self._mixing:
            self._advance(now_s)
            self._admit(now_s)
            if self._ends:
                self._settle(now_s)

    @property
    def waiting_tokens(self) -> int:
        """Count the prompt tokens that wait for an iteration."""
        return sum(self._ledger.prefill_tokens[request] for request in self._waiting)

    def _settle(self, now_s: float) -> None:
        if not self._mixing:
            super()._settle(now_s)
            return
        due_s = now_s + (self._ends[0][0] - self._step) * self._itl_s
        if due_s < self._due_s:
            self._due_s = due_s
            self._clock.schedule(due_s, self._depart)

    def _admit(self, now_s: float) -> None:
        """Begin an iteration that holds prompts, unless one runs or none fits."""
        if self._mixing:
            return
        budget = max(self._tokens - self._batch, 1)
        taken, total, squared, restore_s = self._take(budget)
        if not taken:
            return
        single = len(taken) == 1
        seconds = self._prefill.alone(total) if single else self._prefill.together(total, squared)
        seconds += restore_s
        chunks = ceil(total / budget)
        steps = float(chunks)
        if self._batch:
            step_s = self._pace.at(self._context / self._batch, self._batch)
            seconds += chunks * max(step_s - self._idle_step_s, 0.0)
            seconds = max(seconds, chunks * step_s)
            rest = ceil(self._step - EXACT) - self._step
            seconds += rest * self._itl_s
            steps += rest
        self._mixing = True
        self._itl_s = seconds / steps
        self._clock.schedule(now_s + seconds, self._mixed, taken)

    def _take(self, budget: int) -> tuple["array[int]", int, int, float]:
        """Take the prompts of one iteration.

        Returns requests, the sum of their tokens, that of the squares, and the seconds to restore caches.
        """
        waiting, ledger = self._waiting, self._ledger
        taken, total, squared = array("q"), 0, 0
        while waiting and self._batch + len(taken) < self._seqs:
            request = waiting[0]
            tokens = ledger.prefill_tokens[request]
            if (taken and total + tokens > budget) or not self._room_for(request, taken):
                break
            taken.append(waiting.popleft())
            self._reserved += self._need(request)
            total += tokens
            squared += tokens * tokens
        self.expected += len(taken)
        return taken, total, squared, 0.0

    def _need(self, request: int) -> float:
        """Return the place that a whole request takes in the cache."""
        return self._ledger.isl_tokens[request] + self._ledger.osl_tokens[request] + self._fixed

    def _room_for(self, request: int, taken: "array[int]") -> bool:
        """Say if a prompt fits the cache; room for those taken before it is spoken for already."""
        return self._reserved + self._need(request) <= self._capacity

    def _left(self, request: int) -> int:
        """Return the tokens that a request still wants."""
        return self._ledger.osl_tokens[request]

    def _mixed(self, now_s: float, taken: "array[int]") -> None:
        """End an iteration: its prompts have their first token and step from now on."""
        self._advance(now_s)
        self._mixing = False
        self.expected -= len(taken)
        ledger, token_s = self._ledger, now_s + self._overhead_s
        alone = array("q")
        for request in taken:
            ledger.first_token_s[request] = token_s
            if self._left(request) == 1:
                alone.append(request)
                continue
            self._enter(request, 0.0)
        for request in alone:
            self._release(request, token_s)
        if self._waiting:
            self._admit(now_s)
        if self._ends:
            self._settle(now_s)
        elif self.retire is not None and not self.held:
            self.retire(now_s)

    def _enter(self, request: int, need: float) -> None:
        """Step from the second token on: the iteration made the first."""
        ledger = self._ledger
        begin = ceil(self._step - EXACT)
        heappush(self._ends, (begin + self._steps(ledger.osl_tokens[request] - 1), request))
        self._batch += 1
        self._context += ledger.isl_tokens[request] + 1 - (begin - self._step) * self._accepted
        self._reserved += need

    def _held_at_end(self, request: int) -> float:
        """Return the context that a sequence takes along: the clock counts whole steps."""
        ledger = self._ledger
        return ledger.isl_tokens[request] + 1 + self._steps(ledger.osl_tokens[request] - 1) * self._accepted

    def _release(self, request: int, token_s: float) -> None:
        """Finish a request that wanted one token more, and so never steps."""
        ledger = self._ledger
        tokens = ledger.isl_tokens[request] + ledger.osl_tokens[request]
        self._reserved -= tokens + self._fixed
        self.loads[self.position] -= tokens
        ledger.finish_s[request] = token_s
        ledger.state[request] = COMPLETED
        ledger.finished.append(request)
