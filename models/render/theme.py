"""Hold the look of all charts: one theme whose colours the page resolves, for light, dark and paper."""

from typing import Any

INK, SOFT, RULE, PAPER = "var(--ink)", "var(--soft)", "var(--rule)", "var(--paper)"
# Room beside the plotting area: a fixed one, so that stacked panels share their time axis to the pixel.
LEFT, RIGHT = 56, 14

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
THEME: dict[str, Any] = {
    "background": "transparent",
    "font": _FONT,
    "padding": {"left": 0, "right": RIGHT, "top": 4, "bottom": 4},
    "autosize": {"type": "pad", "contains": "content"},
    "view": {"stroke": None},
    "axis": {
        "labelColor": SOFT,
        "titleColor": SOFT,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "domainColor": RULE,
        "tickColor": RULE,
        "gridColor": RULE,
        "labelOverlap": True,
    },
    "title": {"color": INK, "fontSize": 12.5, "fontWeight": 600, "offset": 6},
    "legend": {"labelColor": SOFT, "titleColor": SOFT, "labelFontSize": 11, "titleFontSize": 11},
    "text": {"color": INK, "fontSize": 11},
}
