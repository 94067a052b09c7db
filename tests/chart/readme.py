"""Make the table of values in the chart's README from values.yaml."""

import json

from tests.chart.values import CHART, Value, values

README = CHART / "README.md"
BEGIN = "<!-- The table is made from values.yaml: python -m tests.chart -->"
END = "<!-- End of the table. -->"


def table() -> str:
    """Return the table; sections have no row of their own."""
    rows = [_row(each) for each in values() if not each.section]
    return "\n".join(["| value | default | what it is |", "|---|---|---|", *rows])


def renewed(text: str) -> str:
    """Return the README's text with the table as it should be."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{README} lacks {BEGIN}"
    assert end, f"{README} lacks {END}"
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def _row(value: Value) -> str:
    default = json.dumps(value.default, ensure_ascii=False)
    return f"| `{value.name}` | `{default}` | {value.said.replace('|', chr(92) + '|')} |"
