"""What a change is worth counts trays that stay in use."""

from dataclasses import replace

import pytest

from models.plan.outlook import MONTH_H, Outlook, outlook
from models.render.outlook_lines import outlook_lines
from models.stock import Stock
from models.values import Role
from tests import builders

ROLES = (Role.PREFILL, Role.DECODE)


def compared(now: int, after: int, billed_gpus: int = 4) -> Outlook:
    policy = replace(
        builders.plan_policy(),
        stocks=(Stock("GB200", ROLES, price_per_gpu_h=2.0, billed_gpus=billed_gpus),),
        currency="EUR",
    )
    fleets = {Role.PREFILL: now, Role.DECODE: 2}, {Role.PREFILL: after, Role.DECODE: 2}
    rates = {"pages": 60.0, "email": 20.0}
    found = outlook(builders.observation(rates), builders.forecast(rates), builders.layouts(), policy, fleets)
    assert found is not None
    return found


def test_a_tray_that_does_not_fall_empty_still_costs() -> None:
    same, fewer = compared(12, 11), compared(12, 8)

    assert same.saves_gpu_h == MONTH_H
    assert same.saves_money == 0.0
    assert "the bill stays at" in dict(outlook_lines(same))["Per month"]
    assert fewer.saves_money == pytest.approx(4 * 2.0 * MONTH_H)
    assert compared(12, 11, billed_gpus=1).saves_money == pytest.approx(2.0 * MONTH_H)


def test_fewer_replicas_never_lower_the_risk() -> None:
    found = compared(12, 6)

    assert found.after.risk >= found.now.risk
    assert found.after.attainment["pages"] <= found.now.attainment["pages"]


def test_a_fleet_without_a_replica_is_not_judged() -> None:
    fleets = {Role.PREFILL: 0, Role.DECODE: 2}, {Role.PREFILL: 2, Role.DECODE: 2}
    rates = {"pages": 60.0}

    found = outlook(
        builders.observation(rates),
        builders.forecast(rates),
        builders.layouts(),
        builders.plan_policy(),
        fleets,
    )

    assert found is None
    assert outlook_lines(None) == ()
