"""A configuration meets the machines of its profile: hardware, budgets and prices fit, or it says why not."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from config.loading import load
from models.artifact import Machine, ProfileArtifact, Selection, dump
from models.errors import ArtifactError, ConfigError
from models.stock import Stock
from models.topology import Topology
from models.values import Role
from planner import wiring
from planner.stocks import Terms, alternatives, choose_layouts, stocks
from tests import builders

PREFILL, DECODE = Role.PREFILL, Role.DECODE
H100, GB200 = Machine("H100", 8, 8), Machine("GB200", 4, 72)


def profiled(apart: bool = True) -> ProfileArtifact:
    """Profile prefill on H100 (or GB200) in two widths, and decode on GB200 in three."""
    prefill = "H100" if apart else "GB200"
    layouts = [replace(builders.prefill_layout(tp=tp), hardware=prefill) for tp in (1, 2)]
    layouts += [replace(builders.decode_layout(tp=tp), hardware="GB200") for tp in (2, 4, 8)]
    return ProfileArtifact(
        model="gpt-oss-120b",
        machines=(H100, GB200) if apart else (GB200,),
        engine="analytic",
        backend="builder",
        created_at="2026-11-01T00:00:00Z",
        layouts=tuple(layouts),
        selection=Selection({PREFILL: "TP1", DECODE: "TP4"}, {PREFILL: 1, DECODE: 1}, 5, True, "for a test"),
    )


def of(
    budget: int | Mapping[str, int] | None,
    price: float | Mapping[str, float] | None = None,
    artifact: ProfileArtifact | None = None,
) -> tuple[Stock, ...]:
    artifact = artifact or profiled()
    layouts = choose_layouts(artifact, {}, (PREFILL, DECODE))
    return stocks(artifact, layouts, Terms("headgate.yaml", budget, price))


def test_each_kind_of_hardware_has_its_budget_its_nodes_and_its_price() -> None:
    assert of({"h100": 32, "gb200": 100}, {"H100": 2.1, "GB200": 6.8}) == (
        Stock("H100", (PREFILL,), 32, Topology(8, 32, 1), 2.1, 8),
        # Cliques of 72 are the GB200's alone: 100 GPUs are one, and 7 trays of another.
        Stock("GB200", (DECODE,), 100, Topology(4, 72, 1, rest_nodes=7), 6.8, 4),
    )


def test_hardware_that_no_budget_names_has_no_bound() -> None:
    prefill, decode = of({"GB200": 36})

    assert (prefill.gpus, prefill.topology, prefill.price_per_gpu_h) == (None, None, None)
    assert decode.gpus == 36


def test_one_number_and_no_price_say_nothing_per_hardware() -> None:
    assert of(40) == of(None) == ()


def test_one_price_is_that_of_every_kind() -> None:
    assert [stock.price_per_gpu_h for stock in of(None, 3.2)] == [3.2, 3.2]


def test_both_roles_on_one_machine_share_its_stock() -> None:
    (stock,) = of({"GB200": 40}, artifact=profiled(apart=False))

    assert stock == Stock("GB200", (PREFILL, DECODE), 40, Topology(4, 40, 1), None, 4)


@pytest.mark.parametrize(
    ("budget", "price", "said"),
    [
        ({"H200": 32}, None, "budget.gpus names H200, and the profile of gpt-oss-120b is of H100 and GB200"),
        (None, {"H100": 1.0, "B200": 2.0}, "price.gpu_h names B200"),
        (None, {"H100": 1.0}, "price.gpu_h has none for GB200, which decode runs on; add it"),
        ({"GB200": 3}, None, "budget.gpus.GB200 is 3, and one decode replica takes 4"),
    ],
)
def test_what_does_not_fit_the_profile_is_refused(
    budget: Mapping[str, int] | None, price: Mapping[str, float] | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        of(budget, price)


def test_a_layout_that_two_machines_have_needs_its_hardware_stated() -> None:
    both = profiled()
    both = replace(both, layouts=(*both.layouts, replace(builders.prefill_layout(), hardware="GB200")))

    with pytest.raises(
        ArtifactError, match=r"holds prefill=TP1 for H100 and GB200; state pools.prefill.hardware"
    ):
        choose_layouts(both, {}, (PREFILL, DECODE))
    chosen = choose_layouts(both, {}, (PREFILL, DECODE), {PREFILL: "gb200"})
    assert chosen[PREFILL].hardware == "GB200"
    with pytest.raises(
        ArtifactError, match=r"for H100 and GB200, not for the H200 that pools.prefill.hardware"
    ):
        choose_layouts(both, {}, (PREFILL,), {PREFILL: "H200"})


def test_alternatives_are_the_other_layouts_of_the_role_on_its_machine() -> None:
    artifact = profiled()
    chosen = choose_layouts(artifact, {}, (PREFILL, DECODE))

    found = alternatives(artifact, chosen)

    assert {role: [x.parallelism.name for x in each] for role, each in found.items()} == {
        PREFILL: ["TP2"],
        DECODE: ["TP2", "TP8"],
    }
    named = alternatives(artifact, chosen, {PREFILL: (), DECODE: ("TP8", "TP4")})
    assert {role: [x.parallelism.name for x in each] for role, each in named.items()} == {
        PREFILL: [],
        DECODE: ["TP8"],
    }
    with pytest.raises(
        ArtifactError, match=r"pools.decode.alternatives names TP16, .* it holds TP2, TP4, TP8"
    ):
        alternatives(artifact, chosen, {DECODE: ("TP16",)})


CONFIG = """\
deployments:
  - name: shop
    model: gpt-oss-120b
    profile: profile.json
    budget: {gpus: {H100: 16, GB200: 36}}
    price: {gpu_h: {H100: 2.1, GB200: 6.8}, currency: EUR, billed: gpu}
    pools:
      prefill: {hardware: h100, min: 2}
      decode: {layout: TP8, alternatives: [TP4]}
    classes: [{name: chat, slo: {ttft: 500ms, itl: 30ms}, miss_price: 0.002}]
    reshape: {payback: 2h, least_saving: 5%}
"""


def test_a_deployment_is_wired_with_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(dump(profiled()))
    (tmp_path / "headgate.yaml").write_text(CONFIG)

    made = wiring.deployment(load(tmp_path / "headgate.yaml", environ={}))

    plan = made.policy.plan
    assert plan.stocks == (
        Stock("H100", (PREFILL,), 16, Topology(8, 16, 1), 2.1),
        Stock("GB200", (DECODE,), 36, Topology(4, 36, 1), 6.8),
    )
    assert plan.by_price
    assert plan.currency == "EUR"
    assert plan.classes[0].miss_price == 0.002
    assert (plan.reshape.payback_s, plan.reshape.least_saving_ratio) == (7200.0, 0.05)
    assert plan.budget_gpus is None
    assert plan.topology is None
    assert [x.parallelism.name for x in made.served.alternatives[DECODE]] == ["TP4"]


def test_floors_that_a_budget_of_hardware_does_not_hold_are_refused(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(dump(profiled()))
    (tmp_path / "headgate.yaml").write_text(CONFIG.replace("min: 2", "min: 17"))

    with pytest.raises(
        ConfigError, match="takes 17 GPUs in the profile's layouts, the 16-GPU budget of H100"
    ):
        wiring.deployment(load(tmp_path / "headgate.yaml", environ={}))


def test_the_environment_states_a_budget_per_hardware(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(dump(profiled()))
    (tmp_path / "headgate.yaml").write_text(CONFIG)

    for environ in (
        {"HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS__GB200": "48"},
        {"HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS": "{H100: 16, GB200: 48}"},
    ):
        loaded = load(tmp_path / "headgate.yaml", environ=environ)
        assert wiring.deployment(loaded).policy.plan.stocks[1].gpus == 48
    whole = load(tmp_path / "headgate.yaml", environ={"HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS": "48"})
    assert wiring.deployment(whole).policy.plan.budget_gpus == 48
