"""Say until when the requests of a class may wait, and how much of it waits."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

# What is due sooner than this is due now: nothing that is ordered would serve it any earlier.
LEAST_S = 60.0


@dataclass(frozen=True, slots=True)
class Deferral:
    """Let requests wait: until `done_by` on the wall of `timezone` each day, or for `within_s` seconds each.

    One of the two is given. Requests wait outside the engines, and come as fast as there is room for them, or
    are served after all others there.
    """

    done_by: time | None = None
    within_s: float | None = None
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse a deferral without an end, and one with two."""
        if (self.done_by is None) == (self.within_s is None):
            raise ValueError("a deferral ends at a time of the day, or after a while: one of the two")

    def left_s(self, at_s: float, oldest_s: float | None) -> float:
        """Return the seconds in which what waits at `at_s` (Unix seconds) must be done.

        `oldest_s` is how long the oldest request has waited; it counts as half of what it may where that is
        not known.
        """
        if self.done_by is not None:
            here = datetime.fromtimestamp(at_s, UTC).astimezone(ZoneInfo(self.timezone))
            end = datetime.combine(here.date(), self.done_by, here.tzinfo)
            if end <= here:
                end = datetime.combine(here.date() + timedelta(days=1), self.done_by, here.tzinfo)
            return max(end.timestamp() - at_s, LEAST_S)
        assert self.within_s is not None
        waited_s = self.within_s / 2 if oldest_s is None else oldest_s
        return max(self.within_s - waited_s, LEAST_S)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Count the requests that wait, and how long the oldest of them has (`None`: not known)."""

    requests: float
    oldest_s: float | None = None
