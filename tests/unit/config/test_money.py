"""Prices, budgets per hardware and layouts to propose: read, shown again, and handed on."""

from pathlib import Path

import pytest

from config.showing import as_yaml, plain
from models.policy import ReshapePolicy
from tests.unit.config.files import changed, loaded, write

MONEY = """\
    budget: {gpus: {H100: "1k", GB200: 36}}
    price: {gpu_h: {H100: 2.10, GB200: "6.8"}, currency: EUR, billed: gpu}
    reshape: {payback: 2h, least_saving: 5%, allowed: true}"""


def test_what_is_shown_loads_again_and_is_the_same(tmp_path: Path) -> None:
    first = loaded(
        tmp_path, changed("    budget: {gpus: 40}", MONEY).replace("TEP4, min", "TEP4, hardware: GB200, min")
    )

    again = loaded(tmp_path, as_yaml(first).replace('"***"', "x"))

    assert plain(again)["deployments"] == plain(first)["deployments"]
    shown = plain(first)["deployments"][0]
    assert shown["budget"] == {"gpus": {"H100": 1000, "GB200": 36}}
    assert shown["price"] == {"gpu_h": {"H100": 2.1, "GB200": 6.8}, "currency": "EUR", "billed": "gpu"}
    assert shown["pools"]["decode"]["hardware"] == "GB200"


def test_one_number_is_shown_as_one_number(tmp_path: Path) -> None:
    shown = plain(loaded(tmp_path))["deployments"][0]

    assert shown["budget"] == {"gpus": 40}
    assert shown["price"] is None


def test_they_become_policies(tmp_path: Path) -> None:
    text = changed("    budget: {gpus: 40}", MONEY).replace("priority: 10", "miss_price: 0.002")

    policy = loaded(tmp_path, text).tick_policy("shop")

    # Which hardware is whose the profile says: only then there are bounds and prices.
    assert policy.plan.budget_gpus is None
    assert policy.plan.stocks == ()
    assert not policy.plan.by_price
    assert policy.plan.currency == "EUR"
    assert policy.plan.reshape == ReshapePolicy(allowed=True, payback_s=7200.0, least_saving_ratio=0.05)
    assert [c.miss_price for c in policy.plan.classes] == [0.002, None]


@pytest.mark.parametrize(("gpus", "told"), [("40", 40), ("{GB200: 36}", None)])
def test_only_one_number_bounds_all_pools_together(tmp_path: Path, gpus: str, told: int | None) -> None:
    text = changed("gpus: 40", f"gpus: {gpus}")

    assert loaded(tmp_path, text).tick_policy("shop").plan.budget_gpus == told


def test_the_digest_knows_prices(tmp_path: Path) -> None:
    dear, cheap = (
        loaded(tmp_path, changed("budget: {gpus: 40}", f"price: {{gpu_h: {gpu_h}}}"))
        for gpu_h in ("3.2", "3.1")
    )

    assert dear.digest != cheap.digest
    assert write(tmp_path).exists()
