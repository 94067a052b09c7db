"""Hold the configuration of forecasts to its time zones, holidays, events and models."""

from typing import Any

import pytest
from pydantic import ValidationError

from config.stages import ForecastSettings
from models.calendar import Calendar, Event
from models.policy import USUAL_FORECASTERS, ForecastPolicy

FRIDAY = {
    "name": "sale",
    "start": "2026-11-27T00:00:00+01:00",
    "end": "2026-11-28T00:00:00+01:00",
    "factor": 3,
}


def policy(**stated: Any) -> ForecastPolicy:
    return ForecastSettings.model_validate(stated).to_policy(1800.0)


def test_nothing_stated_is_the_default_policy() -> None:
    assert policy() == ForecastPolicy(forecasters=USUAL_FORECASTERS)


def test_the_calendar_reaches_the_policy() -> None:
    made = policy(timezone="Europe/Berlin", holidays=["DE-BY"], events=[FRIDAY], forecasters=["ets"])

    sale = Event("sale", 1_795_734_000.0, 1_795_820_400.0, 3.0)
    assert made.calendar == Calendar("Europe/Berlin", ("DE-BY",), (sale,))
    assert made.forecasters == ("ets",)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"timezone": "Berlin"}, "no IANA time zone"),
        ({"holidays": ["DE", "XX"]}, "no holidays are known for 'XX'"),
        ({"forecasters": ["arima"]}, "is none of fourier, ets, prophet, boosting"),
        ({"forecasters": ["ets", "ets"]}, "is listed twice"),
        ({"events": [{**FRIDAY, "end": FRIDAY["start"]}]}, "is not after `start`"),
        ({"events": [{**FRIDAY, "start": "2026-11-27T00:00:00"}]}, "timezone"),
        ({"events": [{**FRIDAY, "factor": -1}]}, "greater than or equal to 0"),
        ({"events": [{**FRIDAY, "factor": "nan"}]}, "finite number"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        policy(**stated)
