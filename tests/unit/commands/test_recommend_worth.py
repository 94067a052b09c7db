"""The recommend command tells what the fleet costs and which other layouts of the profile would do better."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.artifact import dump, parse
from models.values import Role
from planner.cli import headgate
from tests import builders
from tests.unit.loop.ground import frontend, prepare
from tests.unit.observe.http_server import answering

PRICE = "    price: {gpu_h: 3.20, currency: EUR, billed: gpu}\n"
BOUGHT = ("slo: {ttft: 500ms, itl: 30ms}", "slo: {ttft: 500ms, itl: 30ms}, miss_price: 0.05")


def ready(folder: Path, url: str, *changes: tuple[str, str]) -> list[str]:
    """Prepare a deployment whose profile also holds decode in half the width; return the command for it."""
    config = prepare(folder, url)
    path = folder / "profile.json"
    artifact = parse(path.read_text(), "profile").artifact
    narrow = builders.decode_layout(base_s=0.003, tp=2)
    path.write_text(dump(replace(artifact, layouts=(*artifact.layouts, narrow))))
    text = config.read_text()
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    config.write_text(text)
    return [
        "recommend",
        "--config",
        str(config),
        "--cluster-state",
        str(folder / "state.yaml"),
        "--history",
        "2d",
    ]


def test_a_layout_that_saves_its_switch_is_a_line_and_never_a_change(tmp_path: Path) -> None:
    with answering(frontend) as prometheus:
        asked = ready(tmp_path, prometheus.url)
        table = CliRunner().invoke(headgate, asked)
        told = CliRunner().invoke(headgate, [*asked, "-o", "json"])
        none = ready(tmp_path, prometheus.url, ("decode: {min: 1}", "decode: {min: 1, alternatives: []}"))
        without = CliRunner().invoke(headgate, [*none, "-o", "json"])

    line = next(line for line in table.stdout.splitlines() if line.startswith("Other layouts: "))
    assert "decode TP4 -> TP2 would save 40 %, 2 GPUs on the mean of the last day" in line
    assert line.endswith("only proposed, as reshape.allowed is false.")
    said, plain = json.loads(told.stdout), json.loads(without.stdout)
    assert said["sizing"]["reshape"]["layouts"] == {"decode": "TP2"}
    assert said["sizing"]["reshape"]["saves_gpus"] == pytest.approx(2.0)
    assert plain["sizing"]["reshape"] is None
    # A proposal changes no count, and no reason for one.
    assert said["decision"] == plain["decision"]


def test_with_prices_the_table_tells_money_and_the_sentence_weighs_it(tmp_path: Path) -> None:
    with answering(frontend) as prometheus:
        asked = ready(tmp_path, prometheus.url, ("    pools:", f"{PRICE}    pools:"), BOUGHT)
        table = CliRunner().invoke(headgate, asked)
        told = CliRunner().invoke(headgate, [*asked, "-o", "json"])

    assert table.exit_code == 0, table.output
    said = json.loads(told.stdout)["sizing"]
    assert said["bill"]["currency"] == "EUR"
    counts = {role: said["roles"][role]["target"] for role in ("prefill", "decode")}
    assert said["bill"]["gpu_per_h"] == pytest.approx(3.2 * (counts["prefill"] + 4 * counts["decode"]))
    one_more = said["roles"]["prefill"]["more"]["bill"]["gpu_per_h"]
    assert one_more == pytest.approx(said["bill"]["gpu_per_h"] + 3.2)
    assert f"Cost as sized: {said['bill']['gpu_per_h']:.2f} EUR/h of GPUs" in table.stdout
    assert 0.0 < said["demand_quantile"] <= 1.0
    assert Role.PREFILL in counts


def test_prices_alone_change_no_count(tmp_path: Path) -> None:
    with answering(frontend) as prometheus:
        plain = CliRunner().invoke(headgate, [*ready(tmp_path, prometheus.url), "-o", "json"])
        asked = ready(tmp_path, prometheus.url, ("    pools:", f"{PRICE}    pools:"))
        priced = CliRunner().invoke(headgate, [*asked, "-o", "json"])

    assert json.loads(plain.stdout)["decision"] == json.loads(priced.stdout)["decision"]
    assert json.loads(priced.stdout)["sizing"]["bill"]["miss_per_h"] == 0.0
