"""Write a report as one HTML file that needs nothing else: no network, no folder beside it."""

import json
from functools import cache
from typing import TYPE_CHECKING

from models.render.document import Document

if TYPE_CHECKING:
    from jinja2 import Environment


def to_html(document: Document) -> str:
    """Write the page with its style, its script, the chart library and its data inside.

    Raises ValueError for a number that JSON does not have (NaN or infinity): a report shows none.
    """
    from models.render.charts import runtime

    data: dict[str, object] = {}
    for figure in document.figures():
        data.update({name: columns.plain() for name, columns in figure.data.items()})
    export = {"schema": document.schema, **document.export, "data": data}
    drawings = {
        figure.name: {"spec": figure.spec, "data": list(figure.data), "zoom": figure.zoom}
        for figure in document.figures()
    }
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            document=document,
            runtime=runtime() if drawings else "",
            export=embedded_json(export),
            drawings=embedded_json(drawings),
        )
    )


def embedded_json(value: object) -> str:
    """Write JSON that stays data inside a script element, whatever strings it holds.

    HTML ends a script at `</script` and changes its reading at `<!--`; both begin with "<", which JSON may
    write as an escape.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("models.render", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
