"""Forecast with Prophet: alone in importing it, and the one model that leaves this process.

Prophet (Taylor & Letham 2018) runs CmdStan's optimiser as a program of its own and hands it data in
temporary files, which are removed when the fit is done. It is given real time, by the clock on the wall of
the calendar's time zone, and the public holidays; declared events are taken out before and put back after.
"""

import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import getLogger
from typing import Any

import numpy as np

from models.calendar import DAY_S, EPOCH, PLAIN, Calendar
from models.forecast.base import Fitted, NotYet
from models.forecast.logratio import AHEAD_S, Sample, ahead, expected, sample
from models.series import Floats, Series

# Time grows with the rows; quarters of an hour lose nothing that a day's wave in ten terms shows.
BIN_S = 900.0
LEAST_DAYS = 2.0
WEEKLY_DAYS = 9.0
DAILY_TERMS, WEEKLY_TERMS = 10, 8
SEED = 1
# What it says about itself goes nowhere: that plotly is absent, and a line per fit.
CHATTY = ("prophet", "prophet.plot", "prophet.forecaster", "prophet.models", "cmdstanpy")


@dataclass(frozen=True, slots=True)
class ProphetModel:
    """Fit Prophet to the logarithm, and follow what it expects from the level of now."""

    calendar: Calendar = PLAIN
    level_window_s: float = 1200.0

    @property
    def name(self) -> str:
        """The name that reports show."""
        return "Prophet"

    def fit(self, series: Series) -> Fitted | NotYet:
        """Fit; refuse less than two days, nothing but zeros, or what CmdStan fails on."""
        learned = sample(series, max(BIN_S, series.step_s))
        if learned.days < LEAST_DAYS:
            return NotYet(
                f"Prophet needs {24 * LEAST_DAYS:.0f} h of history, there are {24 * learned.days:.1f} h"
            )
        if learned.unit <= 0:
            return NotYet("Prophet needs demand above zero")
        middle_s = ahead(series, learned.series.step_s)
        low, high = float(np.nanmin(learned.z)), float(np.nanmax(learned.z))
        if high - low < 1e-9:
            z = np.full(len(middle_s), low)
        else:
            try:
                z = np.clip(self._fitted(learned, middle_s), low - 0.5, high + 0.5)
            except (RuntimeError, ValueError, OSError) as error:
                return NotYet(f"Prophet could not be fitted: {str(error).splitlines()[0]}")
        return expected(series, middle_s, z, learned.unit, self.level_window_s)

    def _fitted(self, learned: Sample, middle_s: Floats) -> Floats:
        for name in CHATTY:
            getLogger(name).disabled = True
        with warnings.catch_warnings():
            # Prophet is called as documented; what it does with pandas is between the two.
            warnings.simplefilter("ignore")
            return self._silently_fitted(learned, middle_s)

    def _silently_fitted(self, learned: Sample, middle_s: Floats) -> Floats:
        import pandas as pd  # type: ignore[import-untyped, unused-ignore]
        from prophet import Prophet

        model = Prophet(
            growth="flat",
            yearly_seasonality=False,
            weekly_seasonality=WEEKLY_TERMS if learned.days >= WEEKLY_DAYS else False,
            daily_seasonality=DAILY_TERMS,
            holidays=self._holidays(learned.series, pd),
            uncertainty_samples=0,
        )
        try:
            known = learned.known
            rows = pd.DataFrame({"ds": self._wall(learned.middle_s[known]), "y": learned.z[known]})
            model.fit(rows, seed=SEED)
            said = model.predict(pd.DataFrame({"ds": self._wall(middle_s)}))
        finally:
            if model.stan_backend is not None:
                model.stan_backend.cleanup()
        return np.asarray(said["yhat"], dtype=np.float64)

    def _wall(self, times_s: Floats) -> Any:
        return np.rint(self.calendar.local_s(times_s)).astype("datetime64[s]").astype("datetime64[ns]")

    def _holidays(self, series: Series, pd: Any) -> Any:
        """Return the local dates of the holidays up to the last step that is asked; `None` without."""
        days_s = np.arange(series.start_s, series.end_s + AHEAD_S + DAY_S, DAY_S / 2)
        free = np.unique(np.floor(self.calendar.local_s(days_s[self.calendar.holiday(days_s)]) / DAY_S))
        if not free.size:
            return None
        midnight = datetime(EPOCH.year, EPOCH.month, EPOCH.day)  # noqa: DTZ001 - the clock on the wall has no zone
        return pd.DataFrame(
            {"holiday": "public", "ds": [midnight + timedelta(days=int(day)) for day in free]}
        )
