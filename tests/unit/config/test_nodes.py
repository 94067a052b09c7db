"""Check what a configuration may say of nodes ahead of need, and what each mistake is answered with."""

from pathlib import Path

import pytest

from models.nodes import AgentPoolPolicy, HeadroomPolicy, NodesPolicy
from models.values import Role
from tests.unit.config.files import errors, loaded

ID = "5f1a6f0e-0000-4000-8000-2d2f5c6b7a10"
POOL = f"subscription: {ID}, resource_group: fleet, cluster: aks-fleet, pool: gb200"
FLEET = """\
deployments:
  - name: chat
    model: gpt-oss-120b
    pools:
      prefill: {{layout: TP1}}
      decode: {{layout: TEP4}}
    nodes: {nodes}
"""


def _told(folder: Path, nodes: str) -> str:
    (line,) = errors(folder, FLEET.format(nodes=nodes))
    return line


def test_headroom_is_named_after_its_deployment(tmp_path: Path) -> None:
    stated = loaded(tmp_path, FLEET.format(nodes="{lead: 8m, headroom: {image: 'pause:3.10'}}"))

    (each,) = stated.settings.deployments
    assert each.nodes is not None
    assert each.nodes.to_policy() == NodesPolicy(lead_s=480.0)
    assert each.nodes.to_headroom("chat") == HeadroomPolicy(
        "pause:3.10", "headgate-headroom", "chat-headroom"
    )


def test_an_agent_pool_may_serve_some_roles_within_bounds(tmp_path: Path) -> None:
    stated = loaded(
        tmp_path,
        FLEET.format(nodes=f"{{agent_pools: [{{{POOL}, roles: [decode], min: 2, max: 8, spare: 1}}]}}"),
    )

    nodes = stated.settings.deployments[0].nodes
    assert nodes is not None
    assert [pool.to_policy() for pool in nodes.agent_pools] == [
        AgentPoolPolicy(
            ID,
            "fleet",
            "aks-fleet",
            "gb200",
            "https://management.azure.com",
            frozenset({Role.DECODE}),
            2,
            8,
            1,
        )
    ]


def test_forecasts_reach_past_the_making_of_a_node(tmp_path: Path) -> None:
    plain = loaded(tmp_path, FLEET.format(nodes="null")).settings
    first = loaded(tmp_path, FLEET.format(nodes="{lead: 20m, headroom: {image: pause}}")).settings

    reaches = [s.deployments[0].to_tick_policy(s.interval_s).forecast.reach_s for s in (plain, first)]
    assert reaches[0] == 1800, "what a start-up of two minutes needs is less than half an hour"
    assert reaches[1] >= 2 * (1200 + 120)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ("{lead: 5m}", "orders no nodes: state `headroom`, or `agent_pools`"),
        (
            f"{{headroom: {{image: p}}, agent_pools: [{{{POOL}}}]}}",
            "would order the same nodes as `headroom`",
        ),
        (f"{{agent_pools: [{{{POOL}, roles: [decode]}}, {{{POOL}, roles: [prefill]}}]}}", "a second time"),
        (
            f"{{agent_pools: [{{{POOL}}}, {{{POOL.replace('gb200', 'other')}, roles: [decode]}}]}}",
            "share decode with a pool above",
        ),
        (f"{{agent_pools: [{{{POOL}, min: 3, max: 2}}]}}", "is below `min` (3)"),
        (f"{{agent_pools: [{{{POOL.replace(ID, 'mine')}}}]}}", "is no subscription"),
        (f"{{agent_pools: [{{{POOL}, endpoint: 'http://arm'}}]}}", "is no https address"),
        ("{headroom: {image: p, name: Not A Name}}", "is no name of an object"),
    ],
)
def test_each_mistake_is_told_where_it_was_made(tmp_path: Path, nodes: str, said: str) -> None:
    assert said in _told(tmp_path, nodes)


def test_two_deployments_cannot_share_headroom(tmp_path: Path) -> None:
    one = FLEET.format(nodes="{headroom: {image: p, name: spare}}")
    other = one.partition("\n")[2].replace("name: chat", "name: mail")

    (line,) = errors(tmp_path, one + other)
    assert "is that of deployment chat too" in line
