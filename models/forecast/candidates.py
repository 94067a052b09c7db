"""List the models that compete for each signal."""

from models.calendar import DAY_S
from models.forecast.backtest import ORIGIN_STEP_S, look_back
from models.forecast.base import Forecaster
from models.forecast.blend import Blend, Shared
from models.forecast.boosting import Boosting
from models.forecast.last_value import LastValue
from models.forecast.prophet import ProphetModel
from models.forecast.regression import FourierRegression
from models.forecast.seasonal_naive import SeasonalNaive
from models.forecast.smoothing import Smoothing
from models.forecast.staged import Memory, Staged
from models.policy import ForecastPolicy

BASELINE: Forecaster = LastValue()


def candidates(
    policy: ForecastPolicy, every_s: float = ORIGIN_STEP_S, memory: Memory | None = None
) -> tuple[Forecaster, ...]:
    """Return the models in order of trust: a later one must beat those before it, the first is the fallback.

    `every_s` is the distance of the origins of the backtest that they will be asked in; `memory` keeps the
    fits of the slow ones from one call to the next. A new model is one new file beside this one, one line
    below and one name in `models.policy.FORECASTERS`.
    """
    if not policy.enabled:
        return (BASELINE,)
    # A backtest goes back two calibration windows, and the level of its first origin a day further.
    back_s = 2 * look_back(policy.calibration_s, every_s) * every_s + DAY_S
    calendar, level_s = policy.calendar, policy.level_window_s
    seasonal = [
        Shared(SeasonalNaive(season_s, level_s, backtest_s=back_s, calendar=calendar))
        for season_s in policy.seasons_s
    ]
    slow: dict[str, Forecaster] = {
        "fourier": FourierRegression(calendar, level_s),
        "ets": Smoothing(level_s),
        "prophet": ProphetModel(calendar, level_s),
        "boosting": Boosting(calendar, policy.operating_level),
    }
    kept = Memory() if memory is None else memory
    baseline = Shared(BASELINE)
    return (
        baseline,  # no assumption at all: what every other must beat
        *(Blend(baseline, season) for season in seasonal),  # best on smooth traffic, which turns by the clock
        *seasonal,  # best where demand jumps by the clock, such as nightly batches
        *(Staged(model, back_s, kept) for name, model in slow.items() if name in policy.forecasters),
    )
