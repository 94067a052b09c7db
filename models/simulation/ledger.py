"""Keep what happens to each request of a replay, in columns."""

from array import array
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.simulation.workload import Floats, Index, Workload

PENDING, COMPLETED, REJECTED, LOST = 0, 1, 2, 3
Flags: TypeAlias = NDArray[np.bool_]


class Ledger:
    """Hold one row per request, index = position in the workload; times in seconds since `origin_s`.

    Times are relative because a double holds Unix seconds to a quarter of a microsecond only, and token
    clocks divide them by milliseconds.

    The columns that the event loop touches are `array`s: reading and writing one element costs half of what
    numpy takes, and a tenth of the memory of a list. `finished` lists requests in order of completion.
    `cached_tokens` are the workload's, or what prefix caches of the fleet held when they were asked.
    """

    __slots__ = (
        "arrival_s",
        "arrivals",
        "cached_tokens",
        "finish_s",
        "finished",
        "first_kept_s",
        "first_token_s",
        "isl_tokens",
        "lost",
        "origin_s",
        "osl_tokens",
        "prefill_tokens",
        "state",
        "workload",
    )

    def __init__(self, workload: Workload, origin_s: float) -> None:
        """Copy the columns that the loop reads; nothing has arrived."""
        n = len(workload)
        self.workload = workload
        self.origin_s = origin_s
        self.arrival_s = workload.arrival_s - origin_s
        self.arrivals = 0
        self.isl_tokens = array("i", workload.isl_tokens.astype(np.int32).tobytes())
        self.osl_tokens = array("i", workload.osl_tokens.astype(np.int32).tobytes())
        self.prefill_tokens = array("i", workload.prefill_tokens().tobytes())
        self.cached_tokens = workload.cached_tokens
        self.first_token_s = array("d", bytes(8 * n))
        self.finish_s = array("d", bytes(8 * n))
        # The first token of requests that were begun anew after it.
        self.first_kept_s: dict[int, float] = {}
        self.lost = 0
        self.state = bytearray(n)
        self.finished = array("q")

    @property
    def completed(self) -> int:
        """Count the requests that got their last token."""
        return len(self.finished)

    def states(self) -> NDArray[np.uint8]:
        """Return PENDING, COMPLETED, REJECTED or LOST per request; rejection is known from the start."""
        return np.frombuffer(bytes(self.state), dtype=np.uint8)

    def reject(self, hopeless: Flags) -> None:
        """Mark requests that no replica could ever serve."""
        self.state = bytearray(np.where(hopeless, REJECTED, PENDING).astype(np.uint8).tobytes())

    def lose(self, request: int) -> None:
        """Write a request off whose replica died."""
        self.state[request] = LOST
        self.lost += 1

    def begin_anew(self, request: int, made: int) -> None:
        """Turn what a request has made into prompt, to be read with the rest of it."""
        if made:
            self.first_kept_s.setdefault(request, self.first_token_s[request])
            self.isl_tokens[request] += made
            self.osl_tokens[request] -= made
        cached = int(self.workload.cached_tokens[request])
        self.prefill_tokens[request] = max(self.isl_tokens[request] - cached, 1)

    def latencies(self, index: Index) -> tuple[Floats, Floats, Floats]:
        """Return TTFT, mean TPOT and end-to-end of completed requests, in seconds, shape of `index` each.

        TPOT is (last - first token) / (output tokens - 1); 0 for a single token, which breaks no promise.
        """
        arrival = self.arrival_s[index]
        # Copies: a view would lock the arrays against the loop that may still run.
        first_token_s = np.array(self.first_token_s, dtype=np.float64)
        for request, kept_s in self.first_kept_s.items():
            first_token_s[request] = kept_s
        first = first_token_s[index]
        last = np.array(self.finish_s, dtype=np.float64)[index]
        gaps = self.workload.osl_tokens[index] - 1
        tpot = np.divide(last - first, gaps, out=np.zeros(index.size), where=gaps > 0)
        return first - arrival, tpot, last - arrival
