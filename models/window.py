"""Know the maintenance windows in which a person wants fewer changes, or none.

Times are Unix seconds, UTC; a weekly window goes by the clock on a wall, through its clock changes.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT = time()


class Allowed(StrEnum):
    """Which changes of a count a window lets through."""

    NOTHING = "nothing"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Weekly:
    """Repeat every week: on `days` (0 is Monday) from `begin` until `end` on the wall of `timezone`.

    Where `end` is not after `begin` it lies on the next day; equal times are a whole day. Raises ValueError
    for an unknown time zone, and for no day.
    """

    days: frozenset[int]
    begin: time = MIDNIGHT
    end: time = MIDNIGHT
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what never comes round, and a time zone that is not known."""
        if not self.days or not self.days <= frozenset(range(7)):
            raise ValueError("a weekly window needs days of the week, 0 to 6")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"{self.timezone!r} is no IANA time zone; write one such as Europe/Berlin or UTC"
            ) from error

    def end_s(self, at_s: float) -> float | None:
        """Return when the window that holds `at_s` is over; `None` where none does."""
        zone = ZoneInfo(self.timezone)
        here = datetime.fromtimestamp(at_s, UTC).astimezone(zone)
        over = timedelta(days=0 if self.end > self.begin else 1)
        for day in (here.date(), here.date() - timedelta(days=1)):
            if day.weekday() not in self.days:
                continue
            begin = datetime.combine(day, self.begin, zone).timestamp()
            end = datetime.combine(day + over, self.end, zone).timestamp()
            if begin <= at_s < end:
                return end
        return None


@dataclass(frozen=True, slots=True)
class Once:
    """Cover [start_s, end_s) once; raises ValueError where it does not end after it begins."""

    start_s: float
    end_of_s: float

    def __post_init__(self) -> None:
        """Refuse a window that is never open."""
        if not self.start_s < self.end_of_s:
            raise ValueError("a window must end after it begins")

    def end_s(self, at_s: float) -> float | None:
        """Return when the window is over, if it holds `at_s`."""
        return self.end_of_s if self.start_s <= at_s < self.end_of_s else None


@dataclass(frozen=True, slots=True)
class Window:
    """Say which changes a named window allows while it is open."""

    name: str
    allowed: Allowed
    when: Weekly | Once
