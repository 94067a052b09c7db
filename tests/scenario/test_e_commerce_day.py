"""Replay the embedded e-commerce day with Headgate and hold it to the story that it must tell."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.simulation.scorecard import PolicyResult, TimelinePoint
from models.values import Role
from planner.contest import Setup, contest
from planner.staging import Asked, stage_for
from planner.wiring import deployment, read_config
from profiler.cli import profiler

PREFILL, DECODE = Role.PREFILL, Role.DECODE
BUDGET_GPUS = 28
DECODE_GPUS = 4
ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> PolicyResult:
    """Profile gpt-oss-120b as the demo does, and replay its day compressed twelve times."""
    profile = tmp_path_factory.mktemp("day") / "profile.json"
    question = "--rate 180 --isl 8k --osl 50 --ttft 300ms --e2e 500ms --budget 28 --layouts TP1,TP4"
    sweep = ["sweep", "--model", "gpt-oss-120b", "--hardware", "gb200", "--out", str(profile)]
    made = CliRunner().invoke(profiler, [*sweep, *question.split()])
    assert made.exit_code == 0, made.output
    shop = deployment(read_config(ROOT / "config/examples/demo.yaml"), profile_path=profile)
    assert shop.policy.plan.budget_gpus == BUDGET_GPUS
    stage, _ = stage_for(Asked("demo:12"), shop.policy, shop.served.layouts, shop.settings.matches())
    (result,) = contest(["headgate"], stage, Setup(shop.policy, shop.served), jobs=1)
    return result


def between(day: PolicyResult, begin: str, end: str) -> list[TimelinePoint]:
    """Return the points from `begin` to `end`, as "27 13:00"."""
    return [
        point
        for point in day.timeline
        if begin <= datetime.fromtimestamp(point.at_s, UTC).strftime("%d %H:%M") < end
    ]


def ready(role: Role) -> Callable[[TimelinePoint], int]:
    return lambda point: point.ready[role]


def held_gpus(point: TimelinePoint) -> int:
    def replicas(role: Role) -> int:
        return point.ready[role] + point.starting[role] + point.draining[role]

    return replicas(PREFILL) + DECODE_GPUS * replicas(DECODE)


def kept(points: Sequence[TimelinePoint], name: str) -> float:
    """Return the attainment of a class over points, by its arrivals."""
    pairs = [(p.attainment[name], p.arrivals_rps[name]) for p in points]
    known = [(share, rate) for share, rate in pairs if share is not None]
    return sum(share * rate for share, rate in known) / sum(rate for _, rate in known)


def test_every_request_is_accounted_for(day: PolicyResult) -> None:
    assert day.completed + day.rejected + day.in_flight == day.requests
    assert day.rejected == day.in_flight == 0


def test_the_story_has_its_rates(day: PolicyResult) -> None:
    surge = between(day, "27 14:30", "27 15:30")
    night = between(day, "27 23:00", "28 04:00")
    quiet = between(day, "28 05:10", "28 06:30")
    assert sum(p.arrivals_rps["pages"] for p in surge) / len(surge) == pytest.approx(1.5 * 180, rel=0.05)
    assert sum(p.arrivals_rps["email"] for p in night) / len(night) == pytest.approx(300, rel=0.02)
    assert max(p.arrivals_rps["email"] for p in quiet) == 0.0


def test_in_the_surge_prefill_grows_by_half_and_takes_gpus_from_decode(day: PolicyResult) -> None:
    before = between(day, "27 12:45", "27 13:00")
    surge = between(day, "27 14:00", "27 16:30")
    assert min(map(ready(PREFILL), surge)) >= 1.4 * max(map(ready(PREFILL), before))
    assert max(map(ready(PREFILL), surge)) >= 1.5 * min(map(ready(PREFILL), before))
    assert max(map(ready(DECODE), surge)) < min(map(ready(DECODE), before))


def test_the_budget_binds_in_the_surge_and_is_never_exceeded(day: PolicyResult) -> None:
    surge = between(day, "27 14:00", "27 16:30")
    assert all(held_gpus(point) == BUDGET_GPUS for point in surge)
    assert max(map(held_gpus, day.timeline)) <= BUDGET_GPUS
    before = between(day, "27 11:00", "27 12:00")
    assert max(map(held_gpus, before)) < BUDGET_GPUS


def test_at_night_the_gpus_go_to_decode(day: PolicyResult) -> None:
    surge = between(day, "27 14:00", "27 16:30")
    night = between(day, "27 22:10", "28 04:50")
    assert min(map(ready(DECODE), night)) >= 5
    assert min(map(ready(DECODE), night)) >= 3 * max(map(ready(DECODE), surge))
    assert max(map(ready(PREFILL), night)) <= 8


def test_the_night_is_ready_when_it_begins(day: PolicyResult) -> None:
    # 20 mails a second become 300 at once; only a forecast has decode replicas there in time.
    first = between(day, "27 22:00", "27 22:05")
    assert min(map(ready(DECODE), first)) >= 4
    assert kept(first, "pages") >= 0.90


def test_in_the_quiet_the_fleet_shrinks(day: PolicyResult) -> None:
    quiet = between(day, "28 05:30", "28 06:30")
    assert max(map(held_gpus, quiet)) <= 8
    assert kept(quiet, "pages") >= 0.99


def test_promises_are_kept_but_for_what_the_budget_denies(day: PolicyResult) -> None:
    everything = {c.name: c.slo_attainment or 0.0 for c in day.classes}
    shown = ", ".join(f"{name} {share:.2%}" for name, share in everything.items())
    sys.stdout.write(f"attained: {shown} with {day.gpu_hours:.0f} GPU-hours\n")
    assert everything["email"] >= 0.999
    assert everything["pages"] >= 0.94
    assert kept(between(day, "27 06:00", "27 13:00"), "pages") >= 0.985
    assert kept(between(day, "27 17:10", "27 21:50"), "pages") >= 0.975
    assert kept(between(day, "27 13:30", "27 16:30"), "pages") >= 0.88
    # The whole budget for 26 hours would be 728 GPU-hours.
    assert 420 <= day.gpu_hours <= 560
