"""Check each rule of the HorizontalPodAutoscaler on numbers from its documentation or by hand."""

import pytest

from models.observation import PoolState, StartingReplica
from models.policy import PoolPolicy
from planner.policies.hpa import HpaSettings, Metric, RoleScaler


def scaler(most: int | None = None, target: float = 10.0) -> RoleScaler:
    bounds = PoolPolicy(min_replicas=1, max_replicas=most)
    return RoleScaler({Metric.IN_FLIGHT: target}, bounds, HpaSettings(average_s=15.0))


def asked(some: RoleScaler, now_s: float, in_use: float, at: PoolState) -> int:
    return some.desired(now_s, {Metric.IN_FLIGHT: in_use}, at)


def pool(ready: int, starting: int = 0) -> PoolState:
    return PoolState(ready + starting, ready, tuple(StartingReplica(0.0) for _ in range(starting)))


@pytest.mark.parametrize(
    ("in_use", "ready", "wanted"),
    [
        (80.0, 4, 8),  # ratio 2
        (60.0, 5, 6),  # ratio 1.2
        (41.0, 4, 4),  # within 10 %
        (44.0, 4, 4),  # exactly 10 %
        (44.1, 4, 5),
        (36.1, 4, 4),  # within 10 % below
    ],
)
def test_desired_is_the_ratio_of_metric_and_target_rounded_up(in_use: float, ready: int, wanted: int) -> None:
    assert asked(scaler(), 0.0, in_use, pool(ready)) == wanted


def test_an_up_adds_at_most_the_larger_of_all_again_and_four_in_15_seconds() -> None:
    assert asked(scaler(), 0.0, 10_000.0, pool(2)) == 6
    assert asked(scaler(), 0.0, 10_000.0, pool(10)) == 20


def test_pods_added_in_the_last_15_seconds_count_against_the_limit() -> None:
    some = scaler()
    assert asked(some, 0.0, 10_000.0, pool(2)) == 6
    assert asked(some, 10.0, 10_000.0, pool(6)) == 6
    assert asked(some, 15.0, 10_000.0, pool(6)) == 12


def test_a_down_waits_until_five_minutes_agree() -> None:
    some = scaler()
    asked(some, 0.0, 80.0, pool(8))
    answers = [asked(some, 15.0 * i, 20.0, pool(8)) for i in range(1, 21)]

    # At 300 s the recommendation of 8 from 0 s has just left the window.
    assert answers == [8] * 19 + [2]


def test_a_short_dip_changes_nothing() -> None:
    some = scaler()
    for i in range(40):
        assert asked(some, 15.0 * i, 20.0 if i % 10 == 5 else 80.0, pool(8)) == 8


def test_starting_pods_count_as_idle_towards_an_up() -> None:
    # Without them: ceil(1.6 * 5) = 8. With three idle ones the mean is exactly on target.
    assert asked(scaler(), 0.0, 80.0, pool(5, starting=3)) == 8
    assert asked(scaler(), 0.0, 120.0, pool(5, starting=3)) == 12


def test_starting_pods_count_as_on_target_towards_a_down() -> None:
    some = scaler()
    answer = [asked(some, 15.0 * i, 5.0, pool(4, starting=4)) for i in range(21)][-1]

    # (5 + 4 * 10) / 10 rounded up; without them it would be 1.
    assert answer == 5


def test_a_pool_without_a_ready_pod_is_left_alone() -> None:
    assert asked(scaler(), 0.0, 0.0, pool(0, starting=3)) == 3


def test_bounds_hold() -> None:
    assert asked(scaler(most=3), 0.0, 10_000.0, pool(2)) == 3
    some = scaler()
    assert [asked(some, 15.0 * i, 0.0, pool(2)) for i in range(22)][-1] == 1


def test_the_metric_is_averaged_over_its_window() -> None:
    some = RoleScaler({Metric.IN_FLIGHT: 10.0}, PoolPolicy(), HpaSettings(average_s=60.0))
    for i, in_use in enumerate((40.0, 40.0, 40.0)):
        asked(some, 15.0 * i, in_use, pool(4))

    # (40 * 3 + 80) / 4 = 50 over four pods: ratio 1.25.
    assert asked(some, 45.0, 80.0, pool(4)) == 5


def by_work(target: float = 10.0, **more: float) -> RoleScaler:
    return RoleScaler({Metric.WORK: target}, PoolPolicy(), HpaSettings(average_s=15.0, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tokens_per_s", "wanted"),
    [(70.0, 7), (71.0, 8), (44.0, 4), (44.1, 5), (36.1, 4)],
)
def test_an_external_metric_is_divided_by_its_average_value_within_the_tolerance(
    tokens_per_s: float, wanted: int
) -> None:
    assert by_work().desired(0.0, {Metric.WORK: tokens_per_s}, pool(4)) == wanted


def test_starting_pods_count_fully_for_an_external_metric() -> None:
    assert by_work().desired(0.0, {Metric.WORK: 80.0}, pool(5, starting=3)) == 8
    assert by_work().desired(0.0, {Metric.WORK: 100.0}, pool(5, starting=3)) == 10


def test_of_two_metrics_the_higher_answer_counts() -> None:
    def both() -> RoleScaler:
        targets = {Metric.WORK: 10.0, Metric.IN_FLIGHT: 2.0}
        return RoleScaler(targets, PoolPolicy(), HpaSettings(average_s=15.0))

    assert both().desired(0.0, {Metric.WORK: 60.0, Metric.IN_FLIGHT: 10.0}, pool(5)) == 6
    assert both().desired(0.0, {Metric.WORK: 60.0, Metric.IN_FLIGHT: 16.0}, pool(5)) == 8


def test_a_metric_without_a_reading_forbids_a_down_and_no_up() -> None:
    def half(total: float) -> list[int]:
        some = RoleScaler(
            {Metric.WORK: 10.0, Metric.IN_FLIGHT: 2.0}, PoolPolicy(), HpaSettings(average_s=15.0)
        )
        return [some.desired(15.0 * i, {Metric.IN_FLIGHT: total}, pool(5)) for i in range(22)]

    assert half(2.0)[-1] == 5
    assert half(16.0)[0] == 8
