"""Say in the configuration how demand is forecast and how fast counts may change."""

from typing import Annotated

from pydantic import AwareDatetime, Field, model_validator

from config.quantities import Count, Duration, Share, at_most
from config.section import Problems, Section, refuse
from config.windows import WindowSettings
from models.calendar import Calendar, Event
from models.policy import FORECASTERS, LONGEST_REACH_S, USUAL_FORECASTERS, DecidePolicy, ForecastPolicy

_FORECAST = ForecastPolicy()
_DECIDE = DecidePolicy()

Level = Annotated[Share, Field(gt=0, lt=1)]


class EventSettings(Section):
    """One declared event."""

    name: str = Field(min_length=1, description="What it is called; events of one name are alike.")
    start: AwareDatetime = Field(description="When it begins, with an offset: 2026-11-27T00:00:00+01:00.")
    end: AwareDatetime = Field(description="When it is over.")
    factor: Annotated[float, Field(ge=0, le=1000)] | None = Field(
        default=None,
        description="What demand is multiplied by: 3 is three times, 0 is a maintenance window that lets "
        "nothing through. null: as in earlier events of the name, and no change before there was one.",
    )

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> "EventSettings":
        if self.end <= self.start:
            refuse([(("end",), "is not after `start`")])
        return self


class ForecastSettings(Section):
    """How demand is forecast, on a one-minute grid."""

    enabled: bool = Field(
        default=_FORECAST.enabled,
        description="Whether to forecast. false: the last value with its measured spread, at every horizon.",
    )
    reach_s: Annotated[Duration, at_most(LONGEST_REACH_S)] | None = Field(
        default=None,
        alias="reach",
        description="How far paths extend, a duration. null: twice the time in which new capacity can serve "
        "and past the time for which releasing it saves nothing, at least 30m.",
    )
    levels: tuple[Level, ...] = Field(
        default=_FORECAST.levels,
        min_length=1,
        max_length=50,
        description="Quantiles of demand handed to sizing, rising. The defaults are close together at the "
        "top, where a promise is broken.",
    )
    operating_level: Level = Field(
        default=_FORECAST.operating_level,
        description="The quantile, one of `levels`, by which models are compared and whose coverage is "
        "tracked.",
    )
    seasons_s: tuple[Duration, ...] = Field(
        default=_FORECAST.seasons_s,
        alias="seasons",
        max_length=5,
        description="Lengths after which demand repeats itself, whole minutes. Default: day and week. "
        "Empty: none.",
    )
    level_window_s: Duration = Field(
        default=_FORECAST.level_window_s,
        alias="level_window",
        description="How much of the recent past says by what factor demand differs from its season, a "
        "duration.",
    )
    calibration_s: Duration = Field(
        default=_FORECAST.calibration_s,
        alias="calibration",
        description="How much of the past the error bands are measured on, a duration. Two days see each "
        "hour twice and forget old errors.",
    )
    refit_s: Duration = Field(
        default=_FORECAST.refit_s,
        alias="refit",
        description="How often models are fitted and compared anew, a duration.",
    )

    forecasters: tuple[str, ...] = Field(
        default=USUAL_FORECASTERS,
        max_length=len(FORECASTERS),
        description="Models that compete beside the last value, the seasons and their blends: "
        f"{', '.join(FORECASTERS)}. They are fitted four times a day, by the scaler in a process of its "
        "own; a replay and a recommendation wait some seconds per signal. Empty: none of them.",
    )
    timezone: str = Field(
        default=_FORECAST.calendar.timezone,
        description="Time zone of the people who cause the demand, an IANA name such as Europe/Berlin: days "
        "and weeks are cut by its clock, through its clock changes.",
    )
    holidays: tuple[str, ...] = Field(
        default=_FORECAST.calendar.holidays,
        max_length=20,
        description="Countries whose public holidays count, as ISO 3166 codes, with a subdivision where one "
        "is meant: DE, DE-BY, US.",
    )
    events: tuple[EventSettings, ...] = Field(
        default=(),
        max_length=1000,
        description="What is known to change demand: a sale, a launch, a maintenance window. Where several "
        "overlap their factors multiply.",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "ForecastSettings":
        problems: Problems = []
        for i, name in enumerate(self.forecasters):
            if name not in FORECASTERS:
                problems.append((("forecasters", i), f"is none of {', '.join(FORECASTERS)}"))
            elif name in self.forecasters[:i]:
                problems.append((("forecasters", i), "is listed twice"))
        try:
            Calendar(self.timezone)
        except ValueError as error:
            problems.append((("timezone",), f"is wrong: {error}"))
        for i, code in enumerate(self.holidays):
            try:
                Calendar(holidays=(code,)).check()
            except ValueError as error:
                problems.append((("holidays", i), f"is wrong: {error}"))
        if any(high <= low for low, high in zip(self.levels, self.levels[1:], strict=False)):
            problems.append((("levels",), "do not rise strictly"))
        elif self.operating_level not in self.levels:
            listed = ", ".join(f"{level:g}" for level in self.levels)
            problems.append((("operating_level",), f"is not one of `levels` ({listed})"))
        for i, season_s in enumerate(self.seasons_s):
            if season_s % 60 or season_s < 120:
                problems.append((("seasons", i), "is not a whole number of minutes above one"))
            elif season_s in self.seasons_s[:i]:
                problems.append((("seasons", i), "is listed twice"))
        refuse(problems)
        return self

    def to_policy(self, least_reach_s: float) -> ForecastPolicy:
        """Return how demand is forecast; `least_reach_s` is what the pools need where nothing is stated."""
        return ForecastPolicy(
            reach_s=max(_FORECAST.reach_s, least_reach_s) if self.reach_s is None else self.reach_s,
            levels=self.levels,
            operating_level=self.operating_level,
            seasons_s=self.seasons_s,
            level_window_s=self.level_window_s,
            calibration_s=self.calibration_s,
            refit_s=self.refit_s,
            enabled=self.enabled,
            forecasters=self.forecasters,
            calendar=Calendar(
                self.timezone,
                self.holidays,
                tuple(Event(e.name, e.start.timestamp(), e.end.timestamp(), e.factor) for e in self.events),
            ),
        )


class DecideSettings(Section):
    """On what evidence, how fast and when counts may change."""

    max_demand_age_s: Duration = Field(
        default=_DECIDE.max_demand_age_s,
        alias="max_demand_age",
        description="Age up to which observed demand counts, a duration. Older demand holds every count: an "
        "outage is not an absence of requests.",
    )
    max_step_down: Count = Field(
        default=_DECIDE.max_step_down,
        ge=1,
        description="Replicas that a role may lose in one tick. One at a time, since nobody can name the "
        "replica that goes.",
    )
    step_down_ratio: Share = Field(
        default=_DECIDE.step_down_ratio,
        description="Share of its replicas that a role may lose in one tick where that is more than "
        "`max_step_down`, so that a large fleet shrinks in time. 0: never more.",
    )
    tolerance_ratio: Share = Field(
        default=_DECIDE.tolerance_ratio,
        lt=1,
        description="Surplus, as a share of a role's replicas, that is kept: to release a replica for noise "
        "costs more. 0: none; the band of the sizing alone decides.",
    )

    reactive: bool = Field(
        default=True,
        description="Whether measured demand and latency raise the need where they are above what was "
        "foreseen. They never lower it.",
    )
    windows: tuple[WindowSettings, ...] = Field(
        default=(),
        max_length=100,
        description="Maintenance windows, in which only some changes are made, or none. Where several are "
        "open at once all of them are kept.",
    )

    def to_policy(self, timezone: str = "UTC") -> DecidePolicy:
        """Return what the guards work with; `timezone` is that of windows which state none."""
        return DecidePolicy(
            max_demand_age_s=self.max_demand_age_s,
            max_step_down=self.max_step_down,
            step_down_ratio=self.step_down_ratio,
            tolerance_ratio=self.tolerance_ratio,
            windows=tuple(each.to_policy(timezone) for each in self.windows),
        )
