"""What is promised of a shared pool must be there, and be asked of a pool that exists."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from models.topology import Topology
from planner.cli import headgate
from tests.unit.config.files import errors, loaded, write

SHARED = """\
gpu_pools:
  - {name: gb200, gpus: 32}
deployments:
  - name: chat
    model: gpt-oss-120b
    budget: {gpus: 24}
    share: {pool: gb200, guaranteed_gpus: 16, priority: 10}
    pools: {prefill: {layout: TP1, min: 2}, decode: {layout: TEP4}}
  - name: mail
    model: llama-3.1-70b
    share: {pool: gb200, guaranteed_gpus: 8}
    pools: {aggregated: {layout: TP4, min: 2}}
"""


def test_a_pool_is_read_with_what_each_deployment_was_promised(tmp_path: Path) -> None:
    settings = loaded(tmp_path, SHARED).settings
    chat, mail = (each.share for each in settings.deployments)

    assert settings.gpu_pools[0].gpus == 32
    assert chat is not None
    assert mail is not None
    assert (chat.pool, chat.guaranteed_gpus, chat.priority) == ("gb200", 16, 10)
    assert (mail.pool, mail.guaranteed_gpus, mail.priority) == ("gb200", 8, 0)


def test_nodes_are_those_of_the_profiled_hardware_unless_the_pool_states_its_own(tmp_path: Path) -> None:
    plain = loaded(tmp_path, SHARED).settings.gpu_pools[0]
    stated = "{name: gb200, gpus: 32, gpus_per_node: 8, clique_gpus: 16}"
    own = loaded(tmp_path, SHARED.replace("{name: gb200, gpus: 32}", stated)).settings.gpu_pools[0]

    assert plain.to_pool("gb200", 4, 72).topology == Topology(4, 32, 1)
    assert own.to_pool("gb200", 4, 72).topology == Topology(8, 16, 2)


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("share: {pool: gb200, g", "share: {pool: gb20, g", "is no pool; did you mean 'gb200'?, got 'gb20'"),
        ("share: {pool: gb200, g", "share: {pool: h100, g", "is no pool; known are gb200, got 'h100'"),
        ("{name: gb200, gpus: 32}", "{name: gb200, gpus: 12}", "take: chat 6, mail 8"),
        (
            "guaranteed_gpus: 8",
            "guaranteed_gpus: 20",
            "is below the 36 GPUs that are guaranteed: chat 16, mail 20",
        ),
        (
            "{name: gb200, gpus: 32}",
            "{name: gb200, gpus: 23}",
            "is below the 24 GPUs that are guaranteed: chat 16, mail 8",
        ),
        ("budget: {gpus: 24}", "budget: {gpus: 12}", "is above the 12 GPUs of the deployment's own budget"),
        ("budget: {gpus: 24}", "budget: {gpus: {gb200: 24}}", "a shared pool holds one kind of GPUs"),
        ("gpus: 32}", "gpus: 32}\n  - {name: gb200, gpus: 48}", "is the name of item 0 too"),
        ("gpus: 32}", "gpus: 32, gpus_per_node: 4, clique_gpus: 6}", "is not whole nodes of 4 GPUs"),
        ("gpus: 32}", "gpus: 32, gpus_per_node: 64}", "is above the 32 GPUs of the pool"),
        ("priority: 10", "prio: 10", "did you mean 'priority'?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, was: str, becomes: str, told: str) -> None:
    assert was in SHARED
    lines = errors(tmp_path, SHARED.replace(was, becomes, 1))

    assert len(lines) == 1
    assert told in lines[0]


def test_guarantees_and_floors_that_fit_apart_but_not_together_are_refused(tmp_path: Path) -> None:
    text = SHARED.replace("guaranteed_gpus: 16", "guaranteed_gpus: 26").replace("gpus: 24", "gpus: 28")
    lines = errors(tmp_path, text.replace(", guaranteed_gpus: 8", ""))

    assert len(lines) == 1
    assert lines[0].startswith("headgate.yaml:2: gpu_pools[0].gpus: is below the 34 GPUs that guarantees and")
    assert lines[0].endswith("`min` take together: chat 26, mail 8, got 32")


def test_a_share_of_a_file_without_pools_says_so(tmp_path: Path) -> None:
    lines = errors(tmp_path, SHARED.split("\n", 2)[2])

    assert all("names a pool, but the file has no `gpu_pools`" in line for line in lines)


def test_check_tells_who_shares_what(tmp_path: Path) -> None:
    result = CliRunner().invoke(headgate, ["config", "check", str(write(tmp_path, SHARED))])

    assert "  pool gb200: 32 GPUs for chat, mail\n" in result.stdout
    assert "at most 24 GPUs, shares pool gb200, 16 of them guaranteed, priority 10\n" in result.stdout
