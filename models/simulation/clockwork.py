"""Run events in order of virtual time."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, TypeAlias

# An event is called with its time and its argument. Handlers take arguments of different kinds.
Handler: TypeAlias = Callable[[float, Any], None]


class Clockwork:
    """Keep events on a heap; those of one moment run in the order in which they were scheduled."""

    __slots__ = ("_heap", "_order")

    def __init__(self) -> None:
        """Start with no event; a sentinel at the end of time keeps the loop free of emptiness checks."""
        self._heap: list[tuple[float, int, Handler, Any]] = [(float("inf"), -1, _never, None)]
        self._order = count()

    def schedule(self, at_s: float, handler: Handler, argument: object = None) -> None:
        """Call `handler(at_s, argument)` at `at_s`; a time already past runs at the next opportunity."""
        heappush(self._heap, (at_s, next(self._order), handler, argument))

    def run_until(self, until_s: float) -> None:
        """Run every event at or before `until_s`, those that they schedule included."""
        heap = self._heap
        while heap[0][0] <= until_s:
            at_s, _, handler, argument = heappop(heap)
            handler(at_s, argument)

    def forget(self, owner: object) -> list[object]:
        """Drop the events that call methods of `owner`, and return their arguments in order of time."""
        gone = [event for event in self._heap if getattr(event[2], "__self__", None) is owner]
        if gone:
            self._heap[:] = [e for e in self._heap if getattr(e[2], "__self__", None) is not owner]
            heapify(self._heap)
        return [event[3] for event in sorted(gone, key=lambda event: event[:2])]

    @property
    def next_s(self) -> float:
        """The moment of the next event; infinite when none waits."""
        return self._heap[0][0]

    def __len__(self) -> int:
        """Count the events that wait."""
        return len(self._heap) - 1


def _never(at_s: float, argument: object) -> None:
    raise AssertionError("the end of time was reached")
