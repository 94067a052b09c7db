"""Draw charts as Vega-Lite with Altair, in one theme for light, dark and paper.

Colours are CSS variables that the page resolves, so that a change of scheme needs no new drawing. A page
carries Vega itself, bundled by vl_convert from its own wheel: nothing is fetched.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import altair as alt

from models.render.figure import Swatch
from models.render.panels import Curves, Fan, Label, Mark, Panel, Scale
from models.render.theme import INK, LEFT, PAPER, RIGHT, SOFT, THEME

HOVER, ZOOM = "hover", "zoom"
LOGARITHMIC_TICKS = tuple(digit * 10.0**power for power in range(-4, 9) for digit in (1, 3))


@cache
def runtime() -> str:
    """Return the JavaScript of Vega, Vega-Lite and Vega-Embed as one script without imports (0.9 MB)."""
    import vl_convert

    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)


def time_panels(panels: Sequence[Panel], parameters: Mapping[str, object]) -> dict[str, Any]:
    """Stack panels over one time axis: drag to pan, pinch or Ctrl+wheel to zoom, hover to read all panels.

    `parameters` are the initial values of what the panels call `shown` and `chosen`.
    """
    last = len(panels) - 1
    charts = [_panel(panel, i == last) for i, panel in enumerate(panels)]
    zoom = alt.IntervalSelectionConfig(
        type="interval", encodings=["x"], zoom="wheel![event.ctrlKey || event.metaKey]"
    )
    hover = alt.PointSelectionConfig(
        type="point", encodings=["x"], nearest=True, on="pointermove", clear="pointerout"
    )
    selections = [
        alt.TopLevelSelectionParameter(name=ZOOM, select=zoom, bind="scales", views=[]),
        alt.TopLevelSelectionParameter(name=HOVER, select=hover, views=[]),
    ]
    free = [alt.VariableParameter(name=name, value=value) for name, value in parameters.items()]
    stacked = alt.vconcat(*charts, spacing=10, params=[*free, *selections]).resolve_scale(
        x="shared", color="independent", strokeDash="independent"
    )
    return _finished(stacked)


def _panel(panel: Panel, with_axis: bool) -> Any:
    # Data carry Unix seconds: three digits fewer per point than the milliseconds that Vega counts in.
    base = alt.Chart(alt.NamedData(panel.data)).transform_calculate(time="datum.at * 1000")
    if panel.shown:
        base = base.transform_filter(f"indexof({panel.shown}, datum.series) >= 0")
    if panel.chosen:
        base = base.transform_filter(f"datum.group === {panel.chosen}")
    x = alt.X("time:T", scale=alt.Scale(type="utc", nice=False), axis=_time_axis(with_axis))
    layers: list[Any] = [_series(base, x, panel)]
    layers += [_mark_line(mark) for mark in panel.marks]
    layers.append(_hover_line(base, x, panel))
    return alt.layer(*layers).properties(
        width=600, height=panel.height, title=alt.Title(panel.title, anchor="start", frame="group")
    )


def _series(base: alt.Chart, x: alt.X, panel: Panel) -> Any:
    names = [s.name for s in panel.swatches]
    colour = alt.Color(
        "series:N", scale=alt.Scale(domain=names, range=[s.colour for s in panel.swatches]), legend=None
    )
    interpolate: Any = "linear" if panel.form == "line" else "step-after"
    if panel.form == "stack":
        y = _y(panel).stack("zero")
        order = alt.Order("rank:Q")
        ranked = base.transform_calculate(rank=f"indexof({json.dumps(names)}, datum.series)")
        return ranked.mark_area(interpolate=interpolate, clip=True, opacity=0.85).encode(x, y, colour, order)
    dash = alt.StrokeDash(
        "series:N",
        scale=alt.Scale(domain=names, range=[list(s.dash) or [1, 0] for s in panel.swatches]),
        legend=None,
    )
    return base.mark_line(interpolate=interpolate, clip=True, strokeWidth=1.8).encode(
        x, _y(panel), colour, dash
    )


def _y(panel: Panel) -> alt.Y:
    bounds: dict[str, Any] = {}
    if panel.top is not None:
        bounds["domainMax"] = panel.top
    if panel.bottom is not None and not panel.logarithmic:
        bounds["domainMin"] = panel.bottom
    kind: Any = "log" if panel.logarithmic else "linear"
    if not panel.logarithmic:
        bounds["zero"] = panel.bottom == 0.0
    scale = alt.Scale(type=kind, nice=True, **bounds)
    axis = _value_axis(panel.format)
    if panel.logarithmic:
        axis.values = list(LOGARITHMIC_TICKS)
    return alt.Y("value:Q", scale=scale, axis=axis)


def _time_axis(labelled: bool = True) -> alt.Axis:
    """Name the day at midnight, else the time above its day; Vega's own labels would be in twelve hours."""
    midnight = "utchours(datum.value) === 0 && utcminutes(datum.value) === 0"
    day = "utcFormat(datum.value, '%a %d %b')"
    label = f"{midnight} ? {day} : [utcFormat(datum.value, '%H:%M'), {day}]"
    return alt.Axis(labels=labelled, ticks=labelled, title=None, grid=True, labelExpr=label)


def _value_axis(form: str) -> alt.Axis:
    return alt.Axis(
        format=form, title=None, minExtent=LEFT - 10, maxExtent=LEFT - 10, tickCount=4, titlePadding=0
    )


def _mark_line(mark: Mark) -> Any:
    level = alt.Chart(alt.InlineData(values=[{"value": mark.value, "label": mark.label}]))
    rule = level.mark_rule(strokeDash=[2, 3], strokeWidth=1.4, color=INK, clip=True).encode(y="value:Q")
    side = {"baseline": "top", "dy": 4} if mark.below else {"baseline": "bottom", "dy": -3}
    style: dict[str, Any] = {"align": "left", "dx": 4, "fontSize": 11, **side}
    halo = level.mark_text(**style, stroke=PAPER, strokeWidth=4, strokeJoin="round", color=PAPER)
    texts = [halo, level.mark_text(**style, color=INK)]
    return alt.layer(rule, *(text.encode(y="value:Q", x=alt.value(0), text="label:N") for text in texts))


def _hover_line(base: alt.Chart, x: alt.X, panel: Panel) -> Any:
    """Draw the line under the pointer; it carries the values of all series as a tooltip."""
    tooltip = [
        alt.Tooltip("time:T", title="time (UTC)", formatType="utcFormat", format="%a %d %b %H:%M"),
        *(
            alt.Tooltip(field=_path(s.name), type="quantitative", title=s.name, format=panel.format)
            for s in panel.swatches
        ),
    ]
    pivoted = base.transform_pivot("series", value="value", groupby=["time"])
    opacity = alt.condition({"param": HOVER, "empty": False}, alt.value(0.9), alt.value(0.0))
    rule = pivoted.mark_rule(color=INK, strokeWidth=1).encode(x=x, opacity=opacity, tooltip=tooltip)
    return rule.properties(name=f"{panel.name}-hover")


def points(
    data: str,
    swatches: Sequence[Swatch],
    x: Scale,
    y: Scale,
    joined: bool = False,
    labels: Sequence[Label] = (),
    marks: Sequence[Mark] = (),
    shown: str = "",
    height: int = 300,
    size: int = 110,
    diagonal: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Draw rows {x, y, series} as points, `joined` by one line from left to right or named by `labels`.

    `shown` names the parameter that lists the visible series; all are at first. `diagonal` draws y = x
    between two values.
    """
    base = alt.Chart(alt.NamedData(data))
    if shown:
        base = base.transform_filter(f"indexof({shown}, datum.series) >= 0")
    names = [s.name for s in swatches]
    colour, _ = _look(swatches)
    across, up = _axes(x, y)
    tooltip = [
        alt.Tooltip("series:N", title=" "),
        alt.Tooltip("x:Q", title=x.title, format=x.format),
        alt.Tooltip("y:Q", title=y.title, format=y.format),
    ]
    dots = base.mark_point(filled=True, size=70 if joined else size, opacity=1)
    layers: list[Any] = [_mark_line(mark) for mark in marks]
    if diagonal:
        ends = alt.Chart(alt.InlineData(values=[{"x": end, "y": end} for end in diagonal]))
        layers.append(ends.mark_line(strokeDash=[2, 3], strokeWidth=1.4, color=INK).encode(across, up))
    if joined:
        layers.append(base.mark_line(strokeWidth=1.6, color=SOFT).encode(across, up))
    else:
        layers += [_name(base, across, up, label) for label in labels]
    layers.append(dots.encode(across, up, colour, tooltip=tooltip))
    title = alt.Title(y.title, anchor="start", frame="group")
    params = [alt.VariableParameter(name=shown, value=names)] if shown else []
    return _finished(alt.layer(*layers, params=params).properties(width=600, height=height, title=title))


def curves(plot: Curves) -> dict[str, Any]:
    """Draw rows {x, y, low, high, series, group} as lines with bands, and `measured` ones as error bars."""
    colour, dash = _look(plot.swatches)
    across, up = _axes(plot.x, plot.y)
    low = _axes(plot.x, plot.y, "low")[1]
    tooltip = [
        alt.Tooltip("series:N", title=" "),
        alt.Tooltip("x:Q", title=plot.x.title, format=plot.x.format),
        *(alt.Tooltip(f"{f}:Q", title=t, format=plot.y.format) for f, t in plot.fields),
    ]

    def rows(name: str) -> Any:
        base = alt.Chart(alt.NamedData(name))
        if plot.chosen:
            base = base.transform_filter(f"datum.group === {plot.chosen}")
        return base.transform_filter(f"indexof({plot.shown}, datum.series) >= 0")

    lines = rows(plot.data)
    layers: list[Any] = [_mark_line(mark) for mark in plot.marks]
    if plot.banded:
        layers.append(lines.mark_area(opacity=0.16).encode(across, low, alt.Y2("high:Q"), colour))
    layers.append(lines.mark_line(strokeWidth=1.8).encode(across, up, colour, dash))
    if plot.measured:
        points = rows(plot.measured)
        layers.append(points.mark_rule(strokeWidth=1.6).encode(across, low, alt.Y2("high:Q"), colour))
        dots = points.mark_point(filled=True, size=46, opacity=1)
    else:
        dots = lines.mark_point(filled=True, size=36, opacity=1)
    layers.append(dots.encode(across, up, colour, tooltip=tooltip))
    params = [alt.VariableParameter(name=plot.shown, value=[s.name for s in plot.swatches])]
    if plot.chosen:
        params.append(alt.VariableParameter(name=plot.chosen, value=plot.initial))
    title = alt.Title(plot.y.title, anchor="start", frame="group")
    return _finished(alt.layer(*layers, params=params).properties(width=600, height=plot.height, title=title))


def _look(swatches: Sequence[Swatch]) -> tuple[alt.Color, alt.StrokeDash]:
    names = [s.name for s in swatches]
    colours, dashes = [s.colour for s in swatches], [list(s.dash) or [1, 0] for s in swatches]
    return (
        alt.Color("series:N", scale=alt.Scale(domain=names, range=colours), legend=None),
        alt.StrokeDash("series:N", scale=alt.Scale(domain=names, range=dashes), legend=None),
    )


def _axes(x: Scale, y: Scale, field: str = "y") -> tuple[alt.X, alt.Y]:
    x_axis, y_axis = alt.Axis(title=x.title, format=x.format, tickCount=6), _value_axis(y.format)
    for axis, scale in ((x_axis, x), (y_axis, y)):
        if scale.ticks:
            axis.values = list(scale.ticks)
    return alt.X("x:Q", scale=_scale(x), axis=x_axis), alt.Y(f"{field}:Q", scale=_scale(y), axis=y_axis)


def _name(base: Any, across: alt.X, up: alt.Y, label: Label) -> Any:
    side: Any = "right" if label.left else "left"
    text = base.transform_filter(f"datum.series === {json.dumps(label.series)}").mark_text(
        align=side, dx=-9 if label.left else 9, dy=-14 * label.lines_up, color=INK, fontSize=12
    )
    return text.encode(across, up, text="series:N")


def heat_map(data: str, x: str, y: str, title: str, chosen: str, initial: str) -> dict[str, Any]:
    """Draw rows {x, y, value, group, beyond} as shaded cells with their figures written in them.

    `x`, `y` and `title` name the axes and the value; shades are logarithmic, within the chosen group. Cells
    `beyond` the data are faint.
    """
    base = (
        alt.Chart(alt.NamedData(data))
        .transform_filter(f"datum.group === {chosen}")
        .transform_joinaggregate(low="min(value)", high="max(value)")
        .transform_calculate(
            # From the middle of the shades on, dark figures would not be readable.
            dark="log(datum.value / datum.low) > 0.68 * log(datum.high / datum.low)",
            text="format(datum.value, datum.value < 1000 ? '.3~r' : '.3~s')",
        )
    )
    across = alt.X("x:O", axis=alt.Axis(title=x, labelAngle=0, format=".3~s", ticks=False, domain=False))
    up = alt.Y("y:O", sort="descending", axis=_value_axis(".3~s"))
    shade = alt.Color("value:Q", scale=alt.Scale(type="log", scheme="blues"), legend=None)
    tooltip = [
        alt.Tooltip("group:N", title="layout"),
        alt.Tooltip("x:Q", title=x, format=","),
        alt.Tooltip("y:Q", title=y, format=","),
        alt.Tooltip("value:Q", title=title, format=",.3~r"),
    ]
    faint = alt.condition("datum.beyond", alt.value(0.3), alt.value(1.0))
    cells = base.mark_rect(stroke=PAPER, strokeWidth=1).encode(
        across, up, shade, opacity=faint, tooltip=tooltip
    )
    ink = (
        alt.when("datum.beyond")
        .then(alt.value(INK))
        .when("datum.dark")
        .then(alt.value("#ffffff"))
        .otherwise(alt.value("#10233d"))
    )
    figures = base.mark_text(fontSize=11).encode(across, up, text="text:N", color=ink)
    params = [alt.VariableParameter(name=chosen, value=initial)]
    heading = alt.Title(f"up: {y}", anchor="start", frame="group")
    chart = alt.layer(cells, figures, params=params).properties(width=600, height=alt.Step(26), title=heading)
    return _finished(chart)


def fans(panels: Sequence[Fan], chosen: str, initial: str) -> dict[str, Any]:
    """Stack forecasts as fans of nested quantile bands around the median, over one time axis."""
    charts = [_fan(panel, chosen) for panel in panels]
    hover = alt.PointSelectionConfig(
        type="point", encodings=["x"], nearest=True, on="pointermove", clear="pointerout"
    )
    params = [
        alt.VariableParameter(name=chosen, value=initial),
        alt.TopLevelSelectionParameter(name=HOVER, select=hover, views=[]),
    ]
    return _finished(alt.vconcat(*charts, spacing=14, params=params).resolve_scale(x="shared"))


def _fan(panel: Fan, chosen: str) -> Any:
    colour = "var(--series-1)"
    base = (
        alt.Chart(alt.NamedData(panel.data))
        .transform_filter(f"datum.group === {chosen}")
        .transform_calculate(time="datum.at * 1000")
        .transform_pivot("series", value="value", groupby=["time"])
    )
    x = alt.X("time:T", scale=alt.Scale(type="utc", nice=False), axis=_time_axis())
    form = ",.3~s"
    axis, scale = _value_axis(form), alt.Scale(zero=True, nice=True)
    layers: list[Any] = []
    outer_in = len(panel.levels) // 2
    for low, high in zip(panel.levels[:outer_in], reversed(panel.levels[-outer_in:]), strict=True):
        band = base.mark_area(color=colour, opacity=0.18, clip=True)
        y = alt.Y(field=_path(low), type="quantitative", scale=scale, axis=axis)
        layers.append(band.encode(x, y, alt.Y2(field=_path(high))))
    middle = alt.Y(field=_path(panel.median), type="quantitative", scale=scale, axis=axis)
    layers.append(base.mark_line(color=colour, strokeWidth=2, clip=True).encode(x, middle))
    if panel.now:
        seen = alt.Chart(alt.InlineData(values=list(panel.now))).transform_filter(f"datum.group === {chosen}")
        dot = seen.transform_calculate(time="datum.at * 1000").mark_point(
            color=INK, filled=True, size=60, opacity=1
        )
        tip = [alt.Tooltip("value:Q", title="measured now", format=form)]
        layers.append(dot.encode(x, alt.Y("value:Q", scale=scale, axis=axis), tooltip=tip))
    tooltip = [
        alt.Tooltip("time:T", title="time (UTC)", formatType="utcFormat", format="%a %d %b %H:%M"),
        *(
            alt.Tooltip(field=_path(n), type="quantitative", title=n, format=form)
            for n in reversed(panel.levels)
        ),
    ]
    opacity = alt.condition({"param": HOVER, "empty": False}, alt.value(0.9), alt.value(0.0))
    rule = base.mark_rule(color=INK).encode(x=x, opacity=opacity, tooltip=tooltip)
    layers.append(rule.properties(name=f"{panel.name}-hover"))
    title = alt.Title(panel.title, anchor="start", frame="group")
    return alt.layer(*layers).properties(width=600, height=panel.height, title=title)


def ranges(data: str, title: str) -> dict[str, Any]:
    """Draw rows {role, lower, upper, current, final, uncapped}: a band with the counts on it."""
    base = alt.Chart(alt.NamedData(data))
    up = alt.Y("role:N", sort=None, axis=alt.Axis(title=None, minExtent=LEFT + 6, domain=False, ticks=False))
    scale = alt.Scale(zero=True, nice=True)
    axis = alt.Axis(title="replicas", format="d", tickMinStep=1)
    names = ("current", "final", "lower", "upper", "uncapped")
    tooltip = [alt.Tooltip("role:N"), *(alt.Tooltip(f"{n}:Q", title=n, format="d") for n in names)]

    def at(name: str) -> alt.X:
        return alt.X(f"{name}:Q", scale=scale, axis=axis)

    band = base.mark_bar(height=18, color="var(--series-1)", opacity=0.3, cornerRadius=3)
    current = base.mark_tick(thickness=3, size=26, color=INK)
    final = base.mark_point(filled=True, size=130, color="var(--series-1)", opacity=1)
    uncapped = base.mark_point(shape="diamond", size=110, color="var(--series-2)", strokeWidth=2, opacity=1)
    layers = alt.layer(
        band.encode(at("lower"), alt.X2("upper:Q"), up, tooltip=tooltip),
        uncapped.encode(at("uncapped"), up, tooltip=tooltip),
        current.encode(at("current"), up, tooltip=tooltip),
        final.encode(at("final"), up, tooltip=tooltip),
    )
    heading = alt.Title(title, anchor="start", frame="group")
    return _finished(layers.properties(width=600, height=alt.Step(44), title=heading))


def _scale(scale: Scale) -> alt.Scale:
    kind: Any = "log" if scale.logarithmic else "linear"
    bounds: dict[str, Any] = {"padding": 18} if scale.logarithmic or not scale.zero else {"zero": True}
    if not scale.logarithmic:
        bounds["zero"] = scale.zero
    return alt.Scale(type=kind, nice=not scale.logarithmic, reverse=scale.reverse, **bounds)


def _path(name: str) -> str:
    """Escape a field name, which Vega would else read as a path into nested data."""
    return "".join(f"\\{c}" if c in ".[]\\'\"" else c for c in name)


def _finished(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Apply the theme and return the specification; the page adds the data and the width."""
    spec: dict[str, Any] = chart.to_dict()
    # Altair renames a view when it layers it, so that a selection can name its views only now.
    views = [
        layer["name"] for panel in spec.get("vconcat", ()) for layer in panel["layer"] if "name" in layer
    ]
    for parameter in spec.get("params", ()):
        if "select" in parameter:
            parameter["views"] = views
    spec["config"] = THEME
    spec["usermeta"] = {"beside": LEFT + RIGHT}
    spec.pop("$schema", None)
    return spec
