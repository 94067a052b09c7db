"""Say in the configuration when a person wants fewer changes, or none: maintenance windows."""

import re
from datetime import time
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from config.section import Problems, Section, refuse
from models.window import MIDNIGHT, WEEKDAYS, Allowed, Once, Weekly, Window

_CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


def _day(value: object) -> object:
    """Read mon, Monday or monday."""
    text = str(value).strip().lower()[:3]
    if not isinstance(value, str) or text not in WEEKDAYS:
        raise ValueError(f"is no day of the week; write {', '.join(WEEKDAYS)}")
    return text


def _clock(value: object) -> object:
    """Read "22:00"; YAML reads an unquoted 22:00 as text, too."""
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or not re.match(_CLOCK, value.strip()):
        raise ValueError('wants a time of day such as "22:00", from "00:00" to "23:59"')
    return time.fromisoformat(value.strip())


Day = Annotated[str, BeforeValidator(_day), WithJsonSchema({"type": "string", "enum": list(WEEKDAYS)})]
Clock = Annotated[
    time,
    BeforeValidator(_clock),
    PlainSerializer(lambda value: value.strftime("%H:%M"), return_type=str),
    WithJsonSchema({"type": "string", "pattern": _CLOCK}),
]


class WindowSettings(Section):
    """One maintenance window: once, from `start` to `end`, or every week, on `days` between two times."""

    name: str = Field(min_length=1, max_length=100, description="What it is called; decisions name it.")
    allow: Allowed = Field(
        default=Allowed.NOTHING,
        description="Which changes are made meanwhile: nothing; up, where no replica may be lost (a sale); "
        "down, where none may be added. A role that is pinned follows its pin all the same.",
    )
    start: AwareDatetime | None = Field(
        default=None,
        description="When a window of once begins, with an offset: 2026-11-27T00:00:00+01:00. "
        "null: the window is a weekly one.",
    )
    end: AwareDatetime | None = Field(
        default=None, description="When a window of once is over. null: the window is weekly."
    )
    days: tuple[Day, ...] = Field(
        default=(),
        max_length=7,
        description="Days on which a weekly window begins: mon, tue, wed, thu, fri, sat, sun.",
    )
    from_: Clock = Field(
        default=MIDNIGHT, alias="from", description='Time of day at which a weekly window begins: "22:00".'
    )
    to: Clock = Field(
        default=MIDNIGHT,
        description="Time of day at which it is over; one that is not after `from` lies on the next day.",
    )
    timezone: str | None = Field(
        default=None,
        description="Time zone of `days`, `from` and `to`, an IANA name. null: that of `forecast`.",
    )

    @model_validator(mode="after")
    def _is_once_or_weekly(self) -> "WindowSettings":
        stated = self.model_fields_set
        problems: Problems = []
        once, weekly = stated & {"start", "end"}, stated & {"days", "from_", "to", "timezone"}
        if once and weekly:
            key = "from" if "from_" in weekly else min(weekly)
            problems.append(
                ((key,), "belongs to a weekly window, `start` and `end` to one of once; keep one")
            )
        elif once and (self.start is None or self.end is None):
            missing = "start" if self.start is None else "end"
            problems.append(((), f"a window of once needs its `{missing}`, too"))
        elif self.start is not None and self.end is not None and self.end <= self.start:
            problems.append((("end",), "is not after `start`"))
        elif not once and not self.days:
            problems.append(((), "says no time: give `start` and `end`, or `days` with `from` and `to`"))
        if len(set(self.days)) < len(self.days):
            problems.append((("days",), "lists a day twice"))
        if self.timezone is not None:
            try:
                Weekly(frozenset({0}), timezone=self.timezone)
            except ValueError as error:
                problems.append((("timezone",), f"is wrong: {error}"))
        refuse(problems)
        return self

    def to_policy(self, timezone: str) -> Window:
        """Return the window; `timezone` counts where it states none."""
        if self.start is not None and self.end is not None:
            return Window(self.name, self.allow, Once(self.start.timestamp(), self.end.timestamp()))
        days = frozenset(WEEKDAYS.index(day) for day in self.days)
        return Window(self.name, self.allow, Weekly(days, self.from_, self.to, self.timezone or timezone))
