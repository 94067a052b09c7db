"""Draw one tick: counts against their band, and the forecast as a fan."""

from collections.abc import Mapping

from models.decision import Record
from models.prediction import SignalForecast
from models.render.charts import fans, ranges
from models.render.figure import Choice, Columns, Figure, Rows, Swatch, Toggles
from models.render.formats import number
from models.render.panels import Fan
from models.render.recommendation_grid import SIGNALS
from models.values import Signal


def band_figure(record: Record, index: int = 0) -> Figure | None:
    """Draw each role's counts on its band; `None` when nothing was sized."""
    if record.sizing is None:
        return None
    decision = record.decision
    rows = tuple(
        {
            "role": role.value,
            "lower": sized.lower,
            "upper": sized.upper,
            "uncapped": sized.uncapped,
            "current": decision.current[role],
            "final": decision.final[role],
        }
        for role, sized in record.sizing.roles.items()
    )
    legend = (
        Swatch("current", "var(--ink)"),
        Swatch("recommended", "var(--series-1)"),
        Swatch("band", "var(--pale-1)"),
        Swatch("uncapped", "var(--series-2)"),
    )
    said = "; ".join(
        f"{r['role']} now {r['current']}, recommended {r['final']}, band {r['lower']} to {r['upper']}, "
        f"uncapped {r['uncapped']}"
        for r in rows
    )
    name = f"band-{index}"
    return Figure(
        name=name,
        title="Replicas on their band",
        summary=f"Replicas per role: {said}.",
        spec=ranges(name, "Replicas per role"),
        data={name: Rows(rows)},
        controls=(Toggles("Shown", legend, filled=True),),
    )


def fan_figure(record: Record, index: int = 0) -> Figure | None:
    """Draw the forecast of each class, one signal at a time; `None` when there is no forecast."""
    classes = {name: signals for name, signals in record.forecast.signals.items() if signals}
    if not classes:
        return None
    present = [s for s in SIGNALS if any(s in signals for signals in classes.values())]
    panels, data = [], {}
    for turn, (name, signals) in enumerate(classes.items()):
        columns, levels, median = _columns(record.forecast.at_s, signals)
        key = f"fan-{index}-{turn}"
        data[key] = columns
        panels.append(Fan(f"class{turn}", name, key, levels, median, _now(record, name)))
    first = SIGNALS[present[0]]
    said = "; ".join(
        f"{name} up to {number(signals[present[0]].peak(float('inf'))[-1])} {first}"
        for name, signals in classes.items()
        if present[0] in signals
    )
    return Figure(
        name=f"fan-{index}",
        title="Demand to come",
        summary=f"Forecast per class as nested bands around the median: {said}.",
        spec=fans(panels, "signal", first),
        data=data,
        caption="The dot is what was measured last, the line the median path, the bands hold the quantiles.",
        controls=(Choice("Signal", tuple(SIGNALS[s] for s in present), first, "signal"),),
    )


def _columns(at_s: float, signals: Mapping[Signal, SignalForecast]) -> tuple[Columns, tuple[str, ...], str]:
    """Lay out the quantile paths, a group a signal; levels are named p5, p50 and so on, lowest first."""
    at, values = {}, {}
    levels: tuple[float, ...] = ()
    for signal, forecast in signals.items():
        group = SIGNALS[signal]
        at[group] = [at_s + offset for offset in forecast.offsets_s]
        values[group] = {
            _level(level): [float(f"{v:.5g}") for v in path]
            for level, path in zip(forecast.levels, forecast.paths, strict=True)
        }
        levels = forecast.levels
    median = min(levels, key=lambda level: abs(level - 0.5))
    return Columns("at", at, values), tuple(_level(x) for x in levels), _level(median)


def _level(level: float) -> str:
    return f"p{level * 100:g}"


def _now(record: Record, name: str) -> list[dict[str, object]]:
    """Return what was measured, a row a signal; nothing for what is unknown."""
    demand = record.observation.demand.get(name)
    seen_s = record.observation.demand_at_s
    if demand is None or seen_s is None:
        return []
    readings = ((unit, demand.value(signal)) for signal, unit in SIGNALS.items())
    return [{"at": seen_s, "value": value, "group": unit} for unit, value in readings if value is not None]
