"""Judge forecasters on demand that a real Prometheus remembers."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from models.errors import ObserveError
from planner.cli import headgate
from tests.integration.prometheus_server import load, serving

pytestmark = [pytest.mark.integration, pytest.mark.timeout(100)]

STEP_S = 300
COUNTED = "shop_requests_total"
# Two hours in which nobody was scraped, out of a day and a half.
HOLE = range(200, 224)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a counter of two pods that rises by 30 to 330 requests every five minutes, up to now."""
    folder = tmp_path_factory.mktemp("backtest")
    end_s = int(time.time()) // STEP_S * STEP_S
    lines = [f"# TYPE {COUNTED.removesuffix('_total')} counter"]
    for pod in ("a", "b"):
        total = 0
        for i in range(432 + 1):
            total += 30 + 300 * (i % 12 > 6)
            if i not in HOLE:
                lines.append(f'{COUNTED}{{pod="{pod}"}} {total} {end_s - STEP_S * (432 - i)}')
    text = folder / "samples.txt"
    text.write_text("\n".join([*lines, "# EOF\n"]))
    load([text], folder / "data")
    with serving(folder / "data", folder) as found:
        yield found


def backtest(folder: Path, url: str, *arguments: str) -> Result:
    config = folder / "headgate.yaml"
    config.write_text(
        f"prometheus: {{url: '{url}'}}\n"
        "deployments: [{name: shop, model: small, classes: [{name: all, slo: {ttft: 1s}}], "
        "budget: {gpus: 8}, pools: {prefill: {}, decode: {}}, forecast: {enabled: false, refit: 6h}}]\n"
    )
    return CliRunner().invoke(headgate, ["backtest", "--config", str(config), *arguments])


def test_a_query_is_judged_like_a_file_with_its_hole_as_a_gap(url: str, tmp_path: Path) -> None:
    query = f"sum(rate({COUNTED}[{2 * STEP_S}s]))"

    result = backtest(tmp_path, url, "--query", query, "--since", "36h", "--step", "5m", "-o", "json")

    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    (series,) = found["series"]
    assert (series["name"], series["step_s"]) == (query, 300)
    # Two hours, to a step at either edge: versions differ in whether rate() counts the sample at its far end.
    (gap,) = [note for note in series["notes"] if "gap" in note]
    assert gap.split(" in all")[0] in ("1 gap, 1h50m", "1 gap, 1h55m", "1 gap, 2h", "1 gap, 2h5m")
    horizon = series["horizons"][0]
    assert horizon["models"][1]["model"] == "last value"
    # Both pods together: between 0.2 and 2.2 requests/s.
    assert 0.2 < series["mean"] < 2.2
    assert horizon["models"][1]["pinball"] > 0.0


def test_each_series_of_an_answer_is_judged_under_its_labels(url: str, tmp_path: Path) -> None:
    query = f"rate({COUNTED}[{2 * STEP_S}s])"

    result = backtest(
        tmp_path, url, "--prometheus", url, "--query", query, "--since", "36h", "--step", "5m", "-o", "json"
    )

    assert result.exit_code == 0, (result.output, result.exception)
    names = [series["name"] for series in json.loads(result.stdout)["series"]]
    assert names == ["pod=a", "pod=b"]


def test_a_query_that_is_none_says_what_prometheus_said(url: str, tmp_path: Path) -> None:
    result = backtest(tmp_path, url, "--query", "sum(rate(", "--since", "1h")

    assert isinstance(result.exception, ObserveError)
    assert "parse error" in str(result.exception)
