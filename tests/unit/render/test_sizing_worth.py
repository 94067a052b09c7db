"""What a sizing is worth is said in the table and on the page, and only where it is known."""

from dataclasses import replace

from models.decision import Bill, Reshape, Sizing
from models.render.recommendation_page import render
from models.render.sizing_worth import worth_lines
from models.render.tables import recommendation_table
from models.values import Role
from tests.unit.render.report_values import record

PROPOSAL = Reshape(
    layouts={Role.PREFILL: "TP2"},
    instead_of={Role.PREFILL: "TP1"},
    replicas={Role.PREFILL: 14, Role.DECODE: 3},
    saves_ratio=0.22,
    saves_gpus=6.1,
    saves_per_h=None,
    switch_gpu_s=3720.0,
    payback_s=610.0,
    free_gpus=4,
    keeps=(),
    allowed=False,
    sentence="prefill TP1 -> TP2 would save 22 %, 6.1 GPUs on the mean of the last day",
)


def sized() -> Sizing:
    sizing = record().sizing
    assert sizing is not None
    bill = Bill(128.0, 1.104, "EUR")
    return replace(sizing, bill=bill, demand_quantile=0.931, reshape=PROPOSAL)


def test_money_demand_and_other_layouts_are_told() -> None:
    assert dict(worth_lines(sized())) == {
        "Cost as sized": "128.00 EUR/h of GPUs and 1.10 EUR/h of misses expected",
        "Sized for": "demand up to p93.1 of the forecast: until there every target is kept",
        "Other layouts": PROPOSAL.sentence,
    }


def test_table_and_page_tell_them() -> None:
    told = replace(record(), sizing=sized())

    table, page = recommendation_table(told), render(told)

    assert f"\nOther layouts: {PROPOSAL.sentence}.\n" in table
    assert "\nCost as sized: 128.00 EUR/h of GPUs" in table
    assert "prefill TP1 -&gt; TP2 would save 22 %" in page
    assert "1.10 EUR/h of misses" in page


def test_what_is_not_known_is_not_told() -> None:
    told = record()
    assert told.sizing is not None

    assert worth_lines(told.sizing) == ()
    assert "Other layouts" not in recommendation_table(told)
    assert "What it is worth" not in render(told)


def test_a_fleet_below_every_forecast_says_so() -> None:
    short = replace(sized(), demand_quantile=0.0)

    assert dict(worth_lines(short))["Sized for"] == "less than any demand that is forecast"
