"""Draw a backtest: what was measured inside the band that had been forecast for it, at each horizon."""

import math

import numpy as np

from models.forecast.trial import Trial
from models.render.charts import time_panels
from models.render.figure import Columns, Figure, Number, Swatch, Toggles
from models.render.panels import Panel
from models.series import Floats
from models.units import show_duration

# Of a longer backtest every so many-th origin is drawn: more would be seen by nobody, and be megabytes.
MOST_POINTS = 1500


def band_figure(trial: Trial, index: int = 0) -> Figure:
    """Stack one panel a horizon over shared time: what was measured, and the band that was forecast."""
    lived, q = trial.lived, trial.quantile
    low, high = f"{1 - q:.4g} quantile", f"{q:.4g} quantile"
    swatches = (
        Swatch("measured", "var(--ink)"),
        Swatch(high, "var(--series-1)"),
        Swatch("median", "var(--series-1)", (2, 2)),
        Swatch(low, "var(--series-1)", (6, 3)),
    )
    every = max(math.ceil(len(lived.origins_s) / MOST_POINTS), 1)
    panels, data = [], {}
    for j, horizon_s in enumerate(lived.horizons_s):
        name = f"band-{index}-{j}"
        title = f"{show_duration(float(horizon_s))} ahead"
        panels.append(Panel(name, title, name, swatches, format=",.4~r", shown=f"lines{index}", height=140))
        said = lived.selected
        columns = {
            "measured": _numbers(lived.actual[::every, j]),
            high: _numbers(said.high[::every, j]),
            "median": _numbers(said.middle[::every, j]),
            low: _numbers(said.low[::every, j]),
        }
        at = np.round(lived.origins_s[::every] + horizon_s - trial.step_s).tolist()
        data[name] = Columns("at", {"band": at}, {"band": columns})
    notes = () if every == 1 else (f"Every {every}th forecast is drawn; all were scored.",)
    covered = ", ".join(
        f"{cell.selected.coverage:.3f} at {show_duration(cell.horizon_s)}"
        for cell in trial.cells
        if cell.selected.coverage is not None
    )
    return Figure(
        name=f"bands-{index}",
        title="What came, and what had been forecast",
        summary=f"Measured values of {trial.name} with the quantiles forecast for the same time, a panel a "
        f"horizon. The {high} covered {covered or 'nothing'}.",
        spec=time_panels(panels, {f"lines{index}": [s.name for s in swatches]}),
        data=data,
        caption="A forecast stands at the time it is of, not at the time it was made. Drag to move in time, "
        "pinch or hold Ctrl and scroll to zoom; or use the buttons, or + - and the arrow keys.",
        controls=(Toggles("Lines", swatches, f"lines{index}"),),
        zoom=f"band-{index}-0",
        notes=notes,
    )


def _numbers(values: Floats) -> list[Number]:
    """Keep four significant digits, what a chart can show; what is unknown is none."""
    return [float(f"{v:.4g}") if math.isfinite(v) else None for v in values.tolist()]
