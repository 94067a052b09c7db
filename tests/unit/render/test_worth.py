"""What is said of a forecast's worth follows from paired runs, and claims nothing within their noise."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.render.verdict import judge
from models.render.worth import SAME_ATTAINMENT, SAME_COST_RATIO, Run, Worth, run_of, worth
from models.simulation.scorecard import ClassResult, Percentiles
from tests.unit.render.test_verdict import replayed, scored

NONE = Percentiles()


def runs(*pairs: tuple[float, float]) -> list[Run]:
    return [Run(attainment, hours) for attainment, hours in pairs]


def test_fewer_gpu_hours_at_equal_attainment_are_what_it_bought() -> None:
    found = worth(runs((0.97, 90.0), (0.97, 92.0)), runs((0.97, 100.0), (0.97, 100.0)))

    assert found.worth is Worth.BOUGHT
    assert found.sentence == (
        "Forecasting bought 9 GPU-hours (9.0 %) at equal attainment: 97.00 % attained (without: 97.00 %) "
        "with 91 GPU-hours (without: 100)."
    )


def test_more_attainment_at_equal_gpu_hours_is_what_it_bought() -> None:
    found = worth(runs((0.98, 100.0)), runs((0.95, 100.5)))

    assert found.worth is Worth.BOUGHT
    assert found.sentence.startswith("Forecasting bought 3 points of attainment at equal GPU-hours:")


def test_both_are_told_where_both_were_bought() -> None:
    found = worth(runs((0.98, 80.0)), runs((0.95, 100.0)))

    assert found.sentence.startswith("Forecasting bought 3 points of attainment and 20 GPU-hours (20 %):")


def test_attainment_above_the_target_is_not_counted() -> None:
    on, off = runs((0.995, 97.0)), runs((0.9999, 100.0))

    assert worth(on, off).worth is Worth.TRADED
    found = worth(on, off, target=0.99)
    assert found.worth is Worth.BOUGHT
    assert found.sentence.startswith("Forecasting bought 3 GPU-hours (3.0 %) with the promise kept by both:")
    assert worth(on, off, target=0.999).worth is Worth.TRADED


def test_a_loss_is_called_a_loss() -> None:
    found = worth(runs((0.97, 110.0)), runs((0.97, 100.0)))

    assert found.worth is Worth.COST
    assert found.sentence.startswith("Forecasting cost 10 GPU-hours (10 %) at equal attainment:")


@pytest.mark.parametrize(
    ("on", "says"),
    [
        ((0.99, 120.0), "gained 2 points of attainment for 20 % more GPU-hours, a trade and no saving"),
        ((0.95, 80.0), "gave up 2 points of attainment for 20 % fewer GPU-hours, a trade and no saving"),
    ],
)
def test_more_for_more_and_less_for_less_are_a_trade(on: tuple[float, float], says: str) -> None:
    found = worth(runs(on), runs((0.97, 100.0)))

    assert found.worth is Worth.TRADED
    assert says in found.sentence


def test_what_one_seed_shows_and_another_denies_is_nothing() -> None:
    off = runs((0.97, 100.0), (0.97, 100.0))

    assert worth(runs((0.97, 85.0), (0.97, 99.0)), off).worth is Worth.BOUGHT
    assert worth(runs((0.97, 85.0), (0.97, 105.0)), off).worth is Worth.NOTHING
    assert worth(runs((0.99, 100.0), (0.96, 100.0)), off).worth is Worth.NOTHING


def test_where_the_future_itself_would_buy_nothing_it_is_said() -> None:
    same = runs((0.97, 100.0))

    assert worth(same, same, same).sentence.endswith(
        "There was nothing to buy: to know the future would have changed nothing either."
    )
    assert worth(same, same, runs((0.99, 80.0))).sentence.endswith(
        "To know the future would have meant 2 points more attainment and 20 % fewer GPU-hours than to react."
    )


@given(
    st.lists(
        st.tuples(st.floats(0.0, 1.0), st.floats(1.0, 1000.0), st.floats(0.0, 1.0), st.floats(1.0, 1000.0)),
        min_size=1,
        max_size=4,
    )
)
def test_a_purchase_is_claimed_only_where_the_mean_leaves_the_band(
    pairs: list[tuple[float, float, float, float]],
) -> None:
    on, off = runs(*[p[:2] for p in pairs]), runs(*[p[2:] for p in pairs])
    gains = [a.attainment - b.attainment for a, b in zip(on, off, strict=True)]
    saved = [1 - a.gpu_hours / b.gpu_hours for a, b in zip(on, off, strict=True)]
    found = worth(on, off).worth

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    assert found is not Worth.BOUGHT or mean(gains) > SAME_ATTAINMENT / 2 or mean(saved) > SAME_COST_RATIO / 2
    # Swapped, what was bought is lost; ratios of GPU-hours are not symmetric, so that noise may decide.
    if len(pairs) == 1 and found is Worth.BOUGHT:
        assert worth(off, on).worth is not Worth.BOUGHT


def test_classes_without_a_promise_do_not_count() -> None:
    pages = ClassResult("pages", 100, 100, 0.9, NONE, NONE, NONE)
    mail = ClassResult("email", 900, 900, 1.0, NONE, NONE, NONE)
    told = replace(scored("headgate", 0.99, 50.0), classes=(pages, mail))

    assert run_of(told, ["pages"]).attainment == pytest.approx(0.9)
    assert run_of(told, []) == Run(0.99, 50.0)
    assert run_of(told, ["pages", "email"]).attainment == pytest.approx(0.99)


def test_the_verdict_says_what_the_forecast_was_worth() -> None:
    said = str(
        judge(
            replayed(
                scored("headgate", 0.98, 80.0),
                scored("static-peak", 0.995, 200.0),
                scored("headgate-reactive", 0.98, 100.0),
                scored("headgate-perfect", 0.995, 75.0),
                target=0.97,
            )
        )
    )

    assert "Forecasting bought 20 GPU-hours (20 %) with the promise kept by both: 98.00 %" in said
    assert "To know the future would have meant 25 % fewer GPU-hours than to react." in said
    # A bound is no rival: nobody could run it.
    assert "headgate-perfect did better" not in said
