"""Simulate replicas that admit a sequence for its tokens so far, and pre-empt when KV cache runs short."""

from array import array
from collections.abc import Callable
from heapq import heapify, heappush
from math import ceil, floor, inf

from models.artifact import LayoutProfile
from models.simulation.aggregated import AggregatedReplica
from models.simulation.clockwork import Clockwork
from models.simulation.decode import EXACT, DecodeReplica
from models.simulation.ledger import Ledger
from models.simulation.pace import PrefillPace, StepPace

Seconds = Callable[[int], float]


class Preempting(DecodeReplica):
    """Schedule a batch as vLLM does (V1, first come first served).

    A sequence is admitted when its tokens so far fit, beside the next token of all that run. Before a step
    that would overflow the cache the newest of the batch is thrown out: it goes to the head of the queue
    without its cache, and what it had is computed again when it is admitted. The oldest always goes on. Cache
    counts in tokens: the half block that a sequence does not fill is left out.
    """

    # Tokens that a sequence has made when its first step begins.
    _before_first_step = 0

    def _prepare(self) -> None:
        """Forget everything; the step boundary at which each of the batch began is kept oldest first."""
        self._begun: dict[int, int] = {}
        self._made: dict[int, int] = {}
        self.preempted = 0

    @property
    def resident_tokens(self) -> float:
        """Tokens of KV cache that the batch holds, as of the last event."""
        return self._context + self._batch * self._fixed

    def made(self, request: int) -> int:
        """Return the tokens that a waiting sequence had made when it was thrown out."""
        return self._made.get(request, 0)

    def _needs(self, request: int) -> int:
        """Return what a sequence must have in the cache to go on: its prompt, and what it made before."""
        return self._ledger.isl_tokens[request] + self._made.get(request, 0)

    def _fits(self, tokens: float, sequences: int = 1) -> bool:
        """Say if so many more sequences, with so many tokens in all, leave everybody room for one step."""
        stepping = (self._batch + sequences) * self._accepted
        return self.resident_tokens + tokens + sequences * self._fixed + stepping <= self._capacity

    def _enter(self, request: int, need: float) -> None:
        begin = ceil(self._step - EXACT)
        left = self._ledger.osl_tokens[request] - self.made(request) - self._before_first_step
        handover = 0.0 if request in self._made else self._handover
        heappush(self._ends, (begin + handover + self._steps(left), request))
        self._begun[request] = begin
        self._batch += 1
        held = self._needs(request) + self._before_first_step
        self._context += held - (begin - self._step) * self._accepted

    def _leave(self, now_s: float, reached: float) -> None:
        context = self._context
        for end, request in self._ends:
            if end <= reached:
                context -= self._held(request, end)
                del self._begun[request]
                self._made.pop(request, None)
        super()._leave(now_s, reached)
        self._context = context

    def _held(self, request: int, step: float) -> float:
        """Return the context of a sequence of the batch at a step of the clock."""
        steps = step - self._begun[request]
        return self._needs(request) + self._before_first_step + steps * self._accepted

    def _settle(self, now_s: float) -> None:
        """Read the pace anew, and schedule the next departure or overflow, whichever comes first."""
        left = self._ends[0][0] - self._step
        ahead = self._context / self._batch + 0.5 * left * self._accepted
        self._itl_s = itl_s = self._pace.at(ahead, self._batch)
        due_s = max(now_s, self._at_s) + min(left, self._steps_to_overflow()) * itl_s
        if due_s < self._due_s:
            self._due_s = due_s
            self._clock.schedule(due_s, self._depart)

    def _steps_to_overflow(self) -> float:
        """Return the steps to the boundary behind which the cache overflows; infinite for one sequence."""
        if self._batch == 1:
            return inf
        free = self._capacity - self.resident_tokens
        last = floor(self._step + free / (self._batch * self._accepted) + EXACT)
        return max(last, ceil(self._step - EXACT)) - self._step

    def _depart(self, now_s: float, _: object) -> None:
        if now_s != self._due_s:
            return
        self._due_s = inf
        self._advance(now_s)
        reached = self._step + EXACT
        if self._ends[0][0] <= reached:
            self._leave(now_s, reached)
            if self._waiting:
                self._admit(now_s)
        self._make_room()
        if self._ends:
            self._settle(now_s)
        elif self.retire is not None and not self.held:
            self.retire(now_s)

    def _make_room(self) -> None:
        """Throw out the newest until the next step fits, but never the last one."""
        while self._batch > 1 and self._steps_to_overflow() <= EXACT:
            self._preempt(next(reversed(self._begun)))

    def _preempt(self, request: int) -> None:
        ends = self._ends
        self._context -= self._held(request, self._step)
        handover = 0.0 if request in self._made else self._handover
        steps = max(self._step - self._begun.pop(request) - handover + EXACT, 0.0)
        made = self.made(request) + self._before_first_step + int(steps * self._accepted)
        self._made[request] = min(made, self._ledger.osl_tokens[request] - 1)
        ends.remove(next(end for end in ends if end[1] == request))
        heapify(ends)
        self._batch -= 1
        self._waiting.appendleft(request)
        self.preempted += 1


class PreemptingReplica(Preempting):
    """Run a decode batch that pre-empts.

    What was thrown out is read again on the replica itself, and its batch stands still for that: the one
    token a chunk that it would gain is left out.
    """

    def __init__(
        self,
        layout: LayoutProfile,
        pace: StepPace,
        clock: Clockwork,
        ledger: Ledger,
        overhead_s: float,
        recompute_s: Seconds,
    ) -> None:
        """Stand idle; `recompute_s` is the time in which so many tokens are read again."""
        super().__init__(layout, pace, clock, ledger, overhead_s)
        self._prepare()
        self._recompute_s = recompute_s

    def join(self, now_s: float, request: int) -> None:
        """Take an expected request in."""
        self.expected -= 1
        self._waiting.append(request)
        if len(self._waiting) == 1:
            self._advance(now_s)
            self._admit(now_s)
            self._settle(now_s)

    def _advance(self, now_s: float) -> None:
        # While a sequence is read again the clock stands: it has been set to the end of that.
        if now_s > self._at_s:
            super()._advance(now_s)

    def _admit(self, now_s: float) -> None:
        """Let waiting sequences in, in order, until one does not fit."""
        waiting, first = self._waiting, array("q")
        stands_s = 0.0
        while waiting and self._batch < self._seqs:
            request = waiting[0]
            tokens = self._needs(request)
            if self._batch and not self._fits(tokens):
                break
            waiting.popleft()
            if request in self._made:
                stands_s += self._recompute_s(tokens)
            if not self.made(request):
                first.append(request)
            self._enter(request, 0.0)
        self._at_s = max(self._at_s, now_s) + stands_s
        if first:
            self._foretell(self._at_s, first)

    def _foretell(self, from_s: float, entered: "array[int]") -> None:
        """Write down when those that made no token yet will have their first."""
        ledger = self._ledger
        step_s = self._pace.at(self._context / self._batch, self._batch)
        for request in entered:
            handover = 0.0 if request in self._made else self._handover
            rest = self._begun[request] + handover + 1.0 - self._step
            ledger.first_token_s[request] = from_s + rest * step_s + self._overhead_s


class PreemptingAggregated(Preempting, AggregatedReplica):
    """Run prompts and steps in one batch that pre-empts: what was thrown out is a prompt again."""

    _before_first_step = 1

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
        AggregatedReplica.__init__(self, layout, prefill, pace, clock, ledger, overhead_s)
        self._prepare()

    def _settle(self, now_s: float) -> None:
        if self._mixing:
            AggregatedReplica._settle(self, now_s)
        else:
            Preempting._settle(self, now_s)

    def _make_room(self) -> None:
        if not self._mixing:
            super()._make_room()

    def _preempt(self, request: int) -> None:
        super()._preempt(request)
        self._ledger.prefill_tokens[request] = self._needs(request)

    def _room_for(self, request: int, taken: "array[int]") -> bool:
        """Say if a prompt fits the cache beside the batch and the prompts taken before it."""
        if not taken and not self._batch:
            return True
        coming = sum(self._needs(other) for other in taken) + self._needs(request)
        return self._fits(coming, len(taken) + 1)

    def _left(self, request: int) -> int:
        return super()._left(request) - self.made(request)

    def _mixed(self, now_s: float, taken: "array[int]") -> None:
        ledger = self._ledger
        known = {request: ledger.first_token_s[request] for request in taken if self.made(request)}
        super()._mixed(now_s, taken)
        for request, first_s in known.items():
            ledger.first_token_s[request] = first_s

    def _release(self, request: int, token_s: float) -> None:
        super()._release(request, token_s)
        self._made.pop(request, None)
