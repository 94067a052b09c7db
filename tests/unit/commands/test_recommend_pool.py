"""What the recommend command says of deployments that share a pool of GPUs, and run of one of them alone."""

import json
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from planner.cli import headgate
from tests.unit.loop.ground import frontend, prepare
from tests.unit.observe.http_server import answering

RPS = 300.0
POOL = "gpu_pools: [{{name: gb200, gpus: {gpus}}}]\n"
STATE = """\
deployments:
  shop: {pools: {prefill: {replicas: 2}, decode: {replicas: 1}}}
  mail: {pools: {prefill: {replicas: 1}, decode: {replicas: 1}}}
"""
MAIL_IS_NOT_SEEN = STATE.splitlines(keepends=True)[0] + STATE.splitlines(keepends=True)[1]


def shared(folder: Path, url: str, gpus: int, state: str = STATE) -> Path:
    """Let two deployments, the shop first, share a pool; each needs three prefill and one decode replica."""
    path = prepare(folder, url)
    text = path.read_text()
    head, shop = text.split("deployments:\n")
    shop += "    forecast: {forecasters: []}\n"
    shop = shop.replace("    budget: {gpus: 40}\n", "    share: {pool: gb200, priority: 5}\n")
    mail = shop.replace("name: shop", "name: mail").replace(
        "{pool: gb200, priority: 5}", "{pool: gb200, guaranteed_gpus: 5}"
    )
    path.write_text(head + POOL.format(gpus=gpus) + "deployments:\n" + shop + mail)
    (folder / "state.yaml").write_text(state)
    return path


def ask(folder: Path, gpus: int, *arguments: str, state: str = STATE) -> Result:
    with answering(partial(frontend, rps=RPS)) as prometheus:
        config = shared(folder, prometheus.url, gpus, state)
        pools = ["--cluster-state", str(folder / "state.yaml")]
        return CliRunner().invoke(headgate, ["recommend", "--config", str(config), *pools, *arguments])


def test_a_pool_with_room_gives_each_what_it_needs(tmp_path: Path) -> None:
    said = json.loads(ask(tmp_path, 40, "-o", "json").stdout)

    assert said["schema"] == "headgate/recommendations/v1"
    shop, mail = said["recommendations"]
    assert (shop["deployment"], mail["deployment"]) == ("shop", "mail")
    assert shop["share"]["gpus"] == shop["share"]["needed_gpus"]
    assert mail["decision"]["final"] == mail["decision"]["proposed"]
    assert shop["share"]["sentence"].endswith("of the 40 GPUs of pool gb200, as needed")


def test_a_pool_that_binds_serves_the_higher_priority_first_and_says_so(tmp_path: Path) -> None:
    said = json.loads(ask(tmp_path, 12, "-o", "json").stdout)
    shop, mail = said["recommendations"]
    table = ask(tmp_path, 12).stdout

    assert shop["share"]["gpus"] == shop["share"]["needed_gpus"] == 7
    assert (mail["share"]["needed_gpus"], mail["share"]["gpus"]) == (7, 5)
    assert mail["share"]["sentence"] == (
        "the pool gb200 of 12 GPUs binds: 5 of the 7 needed; shop goes first; 5 are guaranteed"
    )
    assert mail["decision"]["final"] == {"prefill": 1, "decode": 1}
    assert "the share of pool gb200, 5 of 12 GPUs, caps 3 to 1" in mail["summary"]
    assert "Pool gb200, 12 GPUs" in table
    assert f"mail: {mail['share']['sentence']}." in table


def test_one_deployment_is_answered_alone_and_shares_with_the_others_all_the_same(tmp_path: Path) -> None:
    both = json.loads(ask(tmp_path, 12, "-o", "json").stdout)["recommendations"]
    alone = json.loads(ask(tmp_path, 12, "-o", "json", "--deployment", "mail").stdout)

    assert alone["schema"] == "headgate/recommendation/v1"
    assert alone["share"] == both[1]["share"]
    assert alone["decision"] == both[1]["decision"]


def test_a_deployment_that_cannot_be_seen_stops_no_other_and_nobody_grows_meanwhile(tmp_path: Path) -> None:
    result = ask(tmp_path, 40, "-o", "json", "--exit-code", state=MAIL_IS_NOT_SEEN)
    shop, mail = json.loads(result.stdout)["recommendations"]

    assert "has no deployment 'mail'" in mail["error"]
    assert "mail was not looked at yet, 5 GPUs are kept for it" in shop["share"]["sentence"]
    assert shop["decision"]["final"] == shop["decision"]["current"]
    assert shop["decision"]["proposed"]["prefill"] > shop["decision"]["current"]["prefill"]
    assert result.exit_code == 4


def test_the_report_shows_how_the_pool_is_shared(tmp_path: Path) -> None:
    page = tmp_path / "both.html"
    result = ask(tmp_path, 12, "--report", str(page))

    assert result.exit_code == 0, result.output
    html = page.read_text(encoding="utf-8")
    assert "Recommendation for shop and mail" in html
    assert "Pool gb200, 12 GPUs" in html
    assert "shop goes first" in html


def test_a_profile_for_several_deployments_is_a_usage_error(tmp_path: Path) -> None:
    result = ask(tmp_path, 12, "--profile", str(tmp_path / "profile.json"))

    assert result.exit_code == 2
    assert "--profile is for one deployment; say --deployment shop|mail" in result.output


def test_a_pool_that_does_not_hold_the_smallest_fleets_is_refused(tmp_path: Path) -> None:
    result = ask(tmp_path, 9)

    assert "pool gb200 has 9 GPUs, and the smallest fleets of its deployments take 10" in str(
        result.exception
    )


@pytest.mark.parametrize("only", ["shop", "mail"])
def test_the_scaler_refuses_to_run_one_of_a_pool_alone(tmp_path: Path, only: str) -> None:
    config = shared(tmp_path, "http://127.0.0.1:9", 12)
    pools = ["--cluster-state", str(tmp_path / "state.yaml")]
    arguments = ["run", "--dry-run", "--config", str(config), *pools, "--deployment", only]
    result = CliRunner().invoke(headgate, arguments)

    assert result.exit_code == 1
    other = "mail" if only == "shop" else "shop"
    assert f"{only} shares a pool of GPUs with {other}" in str(result.exception)
