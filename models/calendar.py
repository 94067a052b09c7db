"""Know what the calendar says of a moment: local time, public holidays, declared events.

Times are Unix seconds, UTC. Local time follows the IANA time zone through its clock changes: a day may have
23 or 25 hours. Nothing here reads demand.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from models.series import Flags, Floats

DAY_S = 86_400.0
# Clocks change at whole quarters of an hour UTC; so do zones that once changed their offset for good.
QUARTER_S = 900.0
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Event:
    """Declare that demand will be `factor` times what it would be in [start_s, end_s).

    0 to 1 is a maintenance window or a quiet day; `None`: not known beforehand, to be learned from earlier
    events of the same name. Raises ValueError for times or a factor that make no sense.
    """

    name: str
    start_s: float
    end_s: float
    factor: float | None = None

    def __post_init__(self) -> None:
        """Refuse an event that does not end after it begins, or whose factor is no number from 0."""
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s) and self.start_s < self.end_s):
            raise ValueError(
                f"event {self.name!r} must end after it begins: {self.start_s:.0f} to {self.end_s:.0f}"
            )
        if self.factor is not None and not (math.isfinite(self.factor) and self.factor >= 0):
            raise ValueError(f"event {self.name!r} needs a factor from 0, got {self.factor}")


@dataclass(frozen=True, slots=True)
class Calendar:
    """Hold the time zone of the people who cause the demand, their holidays and what is declared.

    `timezone` is an IANA name. `holidays` are ISO 3166 codes, with a subdivision where one is meant: `DE`,
    `DE-BY`, `US`. Of events that overlap the factors multiply. Raises ValueError for an unknown time zone.
    """

    timezone: str = "UTC"
    holidays: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a time zone that is not known."""
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"{self.timezone!r} is no IANA time zone; write one such as Europe/Berlin or UTC"
            ) from error

    def offset_s(self, times_s: Floats) -> Floats:
        """Return by how many seconds local time is ahead of UTC at each time."""
        if self.timezone == "UTC" or times_s.size == 0:
            return np.zeros(times_s.shape)
        days, where = np.unique(np.floor(times_s / DAY_S), return_inverse=True)
        begins = np.array([_offset(self.timezone, DAY_S * day) for day in days])
        ends = np.array([_offset(self.timezone, DAY_S * (day + 1) - 1) for day in days])
        out: Floats = begins[where].reshape(times_s.shape)
        changing = (begins != ends)[where].reshape(times_s.shape)
        if changing.any():
            quarters = np.floor(times_s[changing] / QUARTER_S) * QUARTER_S
            known = {q: _offset(self.timezone, q) for q in np.unique(quarters).tolist()}
            out[changing] = [known[q] for q in quarters.tolist()]
        return out

    def local_s(self, times_s: Floats) -> Floats:
        """Return what a clock on the wall shows, as seconds since 1 January 1970 on that wall."""
        return times_s + self.offset_s(times_s)

    def hour(self, times_s: Floats) -> Floats:
        """Return the local time of day in hours, [0, 24)."""
        return np.asarray(np.mod(self.local_s(times_s), DAY_S) / 3600.0)

    def weekday(self, times_s: Floats) -> NDArray[np.intp]:
        """Return the local day of the week, Monday 0 to Sunday 6."""
        # 1 January 1970 was a Thursday.
        return np.asarray(np.mod(np.floor(self.local_s(times_s) / DAY_S) + 3, 7), dtype=np.intp)

    def holiday(self, times_s: Floats) -> Flags:
        """Return whether each time lies on a public holiday, by the local date.

        Raises ValueError for a country or a subdivision whose holidays nobody keeps.
        """
        if not self.holidays or times_s.size == 0:
            return np.zeros(times_s.shape, dtype=np.bool_)
        days, where = np.unique(np.floor(self.local_s(times_s) / DAY_S), return_inverse=True)
        dates = [EPOCH + timedelta(days=int(day)) for day in days]
        kept = frozenset().union(*(_holidays(code, d.year) for code in self.holidays for d in dates))
        return np.array([d in kept for d in dates], dtype=np.bool_)[where].reshape(times_s.shape)

    def during(self, name: str, times_s: Floats) -> Flags:
        """Return whether each time lies in an event of this name."""
        inside = np.zeros(times_s.shape, dtype=np.bool_)
        for event in self.events:
            if event.name == name:
                inside |= (times_s >= event.start_s) & (times_s < event.end_s)
        return inside

    def check(self) -> None:
        """Raise ValueError for a country or a subdivision whose holidays nobody keeps."""
        for code in self.holidays:
            _holidays(code, EPOCH.year + 50)


# UTC, without holidays and without events.
PLAIN = Calendar()


def factors(events: Iterable[Event], starts_s: Floats, step_s: float) -> Floats:
    """Return the mean factor over each step [start, start + step); events without a factor count as 1.

    The factor of a moment is the product over all events that hold it; a step that an event covers in part
    takes its share by time.
    """
    told = [event for event in events if event.factor is not None and event.factor != 1.0]
    if not told or starts_s.size == 0:
        return np.ones(starts_s.shape)
    edges = np.unique([edge for event in told for edge in (event.start_s, event.end_s)])
    middle = (edges[:-1] + edges[1:]) / 2
    level = np.ones(len(middle))
    for event in told:
        level[(middle > event.start_s) & (middle < event.end_s)] *= event.factor or 0.0
    # The integral of (factor - 1), relative to the first edge: at Unix times a sum of it would lose digits.
    excess = np.concatenate(([0.0], np.cumsum((level - 1.0) * np.diff(edges))))
    until = np.interp(starts_s + step_s - edges[0], edges - edges[0], excess)
    return np.asarray(1.0 + (until - np.interp(starts_s - edges[0], edges - edges[0], excess)) / step_s)


@lru_cache(maxsize=4096)
def _offset(zone: str, time_s: float) -> float:
    moment = datetime.fromtimestamp(time_s, UTC).astimezone(ZoneInfo(zone))
    return (moment.utcoffset() or timedelta()).total_seconds()


@lru_cache(maxsize=256)
def _holidays(code: str, year: int) -> frozenset[date]:
    from holidays import country_holidays

    country, _, subdivision = code.partition("-")
    try:
        return frozenset(country_holidays(country, subdiv=subdivision or None, years=[year]))
    except NotImplementedError as error:
        raise ValueError(
            f"no holidays are known for {code!r}; write an ISO 3166 code such as DE, DE-BY or US"
        ) from error
