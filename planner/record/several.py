"""Hand every record to several recorders."""

from collections.abc import Callable

from models.decision import Record
from planner.ports import Recorder


class Several:
    """Implement the Recorder port with others, in order."""

    def __init__(self, *recorders: Recorder) -> None:
        """Bind the recorders."""
        self._recorders = recorders

    def record(self, record: Record) -> None:
        """Hand the record to each."""
        for each in self._recorders:
            each.record(record)


class To:
    """Implement the Recorder port with a function."""

    def __init__(self, take: Callable[[Record], None]) -> None:
        """Bind the function."""
        self._take = take

    def record(self, record: Record) -> None:
        """Hand the record over."""
        self._take(record)
