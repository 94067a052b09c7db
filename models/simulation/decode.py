"""Simulate a decode replica: a batch that steps together, one token per sequence and step."""

from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from math import ceil, inf

from models.artifact import LayoutProfile
from models.simulation.clockwork import Clockwork
from models.simulation.ledger import COMPLETED, Ledger
from models.simulation.pace import StepPace

# Token clocks are sums of quotients of times; a boundary is met within this share of a step. Times count from
# the start of the replay: a year of them still resolves a thousandth of it at 1 ms a step.
EXACT = 1e-4


class DecodeReplica:
    """Run a batch on a token clock that counts steps instead of simulating each.

    The clock advances by one in the time of one step, read at the batch and its mean context half way to the
    next departure, and read again whenever a sequence joins or leaves. A sequence joins at the next step
    boundary, spends the layout's `handover_steps` in its place and leaves `output tokens` steps later; its
    first token ends its first step.

    A sequence is admitted when its whole prompt and output fit the KV cache, tiers included, as engines do
    that promise never to evict (TensorRT-LLM's default), and waits in order of arrival otherwise. With
    speculation a step emits `accepted_tokens`, the last one of an output what is left.
    """

    __slots__ = (
        "_accepted",
        "_at_s",
        "_batch",
        "_capacity",
        "_clock",
        "_context",
        "_due_s",
        "_ends",
        "_fixed",
        "_handover",
        "_itl_s",
        "_ledger",
        "_overhead_s",
        "_pace",
        "_reserved",
        "_seqs",
        "_step",
        "_waiting",
        "expected",
        "loads",
        "position",
        "retire",
    )

    def __init__(
        self, layout: LayoutProfile, pace: StepPace, clock: Clockwork, ledger: Ledger, overhead_s: float
    ) -> None:
        """Stand idle; `overhead_s` is added to the times of every token, and occupies nothing."""
        self._clock = clock
        self._pace = pace
        self._ledger = ledger
        self._overhead_s = overhead_s
        self._seqs = layout.limits.max_num_seqs
        tier = layout.features.tier
        self._capacity = layout.kv_capacity_tokens + (0.0 if tier is None else tier.tokens)
        self._accepted = layout.features.accepted_tokens
        self._fixed = layout.kv_fixed_tokens
        self._handover = layout.handover_steps
        self._step = 0.0
        self._at_s = 0.0
        self._itl_s = 0.0
        self._due_s = inf
        self._batch = 0
        self._context = 0.0
        self._reserved = 0.0
        self._ends: list[tuple[float, int]] = []
        self._waiting: deque[int] = deque()
        # Requests on their way over the network: a draining replica waits for them too.
        self.expected = 0
        self.loads: list[float] = [0.0]
        self.position = 0
        self.retire: Callable[[float], None] | None = None

    @property
    def batch(self) -> int:
        """Count the sequences that step."""
        return self._batch

    @property
    def waiting(self) -> int:
        """Count the sequences that wait for KV cache or a place in the batch."""
        return len(self._waiting)

    @property
    def held(self) -> int:
        """Count the requests that must leave before the replica may stop."""
        return self._batch + len(self._waiting) + self.expected

    def expect(self, request: int) -> None:
        """Count a request that was routed here and is still on its way."""
        self.expected += 1
        ledger = self._ledger
        self.loads[self.position] += ledger.isl_tokens[request] + ledger.osl_tokens[request]

    def join(self, now_s: float, request: int) -> None:
        """Take an expected request in."""
        self.expected -= 1
        ledger = self._ledger
        need = ledger.isl_tokens[request] + ledger.osl_tokens[request] + self._fixed
        if self._waiting or self._batch >= self._seqs or self._reserved + need > self._capacity:
            self._waiting.append(request)
            return
        self._advance(now_s)
        self._enter(request, need)
        self._settle(now_s)
        ledger.first_token_s[request] = (
            now_s
            + (ceil(self._step - EXACT) + self._handover + 1.0 - self._step) * self._itl_s
            + self._overhead_s
        )

    def abandon(self, now_s: float, events: Sequence[object]) -> list[tuple[int, int]]:
        """Die: return what was held, as (request, tokens made); `events` are what was to come."""
        self._advance(now_s)
        osl = self._ledger.osl_tokens
        running = [
            (
                request,
                min(
                    max(osl[request] - ceil((end - self._step - EXACT) * self._accepted), 0), osl[request] - 1
                ),
            )
            for end, request in self._ends
        ]
        waiting = [(request, self.made(request)) for request in (*self._waiting, *_requests(events))]
        self._ends.clear()
        self._waiting.clear()
        self._batch = self.expected = 0
        return running + waiting

    def made(self, request: int) -> int:
        """Return the tokens that a waiting request has: none, where nobody is thrown out."""
        return 0

    def _advance(self, now_s: float) -> None:
        if self._batch:
            steps = (now_s - self._at_s) / self._itl_s
            self._step += steps
            self._context += steps * self._batch * self._accepted
        else:
            self._step = 0.0
            self._context = 0.0
        self._at_s = now_s

    def _enter(self, request: int, need: float) -> None:
        ledger = self._ledger
        begin = ceil(self._step - EXACT)
        heappush(self._ends, (begin + self._handover + self._steps(ledger.osl_tokens[request]), request))
        self._batch += 1
        # Less what the clock counts until the boundary: a batch that never empties would keep it for good.
        self._context += ledger.isl_tokens[request] - (begin - self._step) * self._accepted
        self._reserved += need

    def _steps(self, tokens: int) -> int:
        """Return the steps that emit so many tokens."""
        return tokens if self._accepted == 1.0 else ceil(tokens / self._accepted)

    def _settle(self, now_s: float) -> None:
        """Read the pace anew, and schedule the next departure if it comes before the one scheduled."""
        left = self._ends[0][0] - self._step
        ahead = self._context / self._batch + 0.5 * left * self._accepted
        self._itl_s = itl_s = self._pace.at(ahead, self._batch)
        due_s = now_s + left * itl_s
        if due_s < self._due_s:
            self._due_s = due_s
            self._clock.schedule(due_s, self._depart)

    def _depart(self, now_s: float, _: object) -> None:
        if now_s != self._due_s:
            return  # an earlier departure was scheduled meanwhile, and rescheduled what is left
        self._due_s = inf
        self._advance(now_s)
        ends = self._ends
        # A batch that grew made its steps longer: then nobody has arrived at the end yet.
        reached = self._step + EXACT
        if ends[0][0] <= reached:
            self._leave(now_s, reached)
            if self._waiting:
                self._admit(now_s)
        if ends:
            self._settle(now_s)
        elif self.retire is not None and not self.expected:
            self.retire(now_s)

    def _leave(self, now_s: float, reached: float) -> None:
        ends, ledger = self._ends, self._ledger
        isl, osl, last = ledger.isl_tokens, ledger.osl_tokens, now_s + self._overhead_s
        while ends and ends[0][0] <= reached:
            request = heappop(ends)[1]
            tokens = isl[request] + osl[request]
            self._batch -= 1
            self._context -= tokens + self._handover if self._accepted == 1.0 else self._held_at_end(request)
            self._reserved -= tokens + self._fixed
            self.loads[self.position] -= tokens
            ledger.finish_s[request] = last
            # The first token was foretold at the pace of its batch then; a batch that shrank is faster.
            ledger.first_token_s[request] = min(ledger.first_token_s[request], last)
            ledger.state[request] = COMPLETED
            ledger.finished.append(request)

    def _held_at_end(self, request: int) -> float:
        """Return the context that a sequence takes along: the clock counts whole steps."""
        ledger = self._ledger
        steps = self._handover + self._steps(ledger.osl_tokens[request])
        return ledger.isl_tokens[request] + steps * self._accepted

    def _admit(self, now_s: float) -> None:
        """Let waiting sequences in, in order, until one does not fit."""
        waiting, ledger = self._waiting, self._ledger
        entered = array("q")
        while waiting and self._batch < self._seqs:
            request = waiting[0]
            need = ledger.isl_tokens[request] + ledger.osl_tokens[request] + self._fixed
            if self._reserved + need > self._capacity:
                break
            self._enter(waiting.popleft(), need)
            entered.append(request)
        if entered:
            step_s = self._pace.at(self._context / self._batch, self._batch)
            rest = ceil(self._step - EXACT) + self._handover + 1.0 - self._step
            first_s = now_s + rest * step_s + self._overhead_s
            for request in entered:
                ledger.first_token_s[request] = first_s


def _requests(events: Sequence[object]) -> Iterator[int]:
    """Return the requests that are to join alone, or by the batch."""
    for argument in events:
        if isinstance(argument, int):
            yield argument
        elif isinstance(argument, array):
            yield from argument
