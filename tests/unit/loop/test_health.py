"""Probes tell a tick that hangs from one that fails, and never blame a server that does not answer."""

from models.decision import Outcome, Status
from planner.health import Health


class Elapsed:
    at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


def health() -> tuple[Health, Elapsed]:
    time = Elapsed()
    made = Health(time)
    made.expect("shop", 15.0)
    return made, time


def test_ready_is_who_was_seen_once_and_stays_so() -> None:
    made, _time = health()
    assert (made.ready().fine, str(made.ready())) == (False, "not ready shop: no tick has ended yet\n")
    made.ended("shop", Outcome(Status.FAILED, "the pools\ncannot be seen"))
    assert str(made.ready()) == "not ready shop: failed: the pools cannot be seen\n"
    made.ended("shop", None)
    assert str(made.ready()) == "ok shop: standing by\n"
    made.ended("shop", Outcome(Status.FAILED, "no answer"))
    assert made.ready().fine


def test_a_deployment_that_comes_later_must_be_seen_too() -> None:
    made, _ = health()
    made.ended("shop", Outcome(Status.UNCHANGED))
    made.expect("mail", 15.0)
    assert not made.ready().fine
    made.forget("mail")
    assert made.ready().fine


def test_a_tick_that_hangs_is_told_and_one_that_fails_is_not() -> None:
    made, time = health()
    for _ in range(100):
        time.at_s += 60.0
        made.ended("shop", Outcome(Status.FAILED, "Prometheus cannot be reached"))
    assert made.alive().fine
    time.at_s += 181.0
    assert not made.alive().fine
    assert str(made.alive()).startswith("hangs shop: tick 3m1s ago, and nothing for 3m1s")


def test_one_long_tick_whose_requests_end_is_alive() -> None:
    made, time = health()
    for _ in range(20):
        time.at_s += 60.0
        made.progress("shop")
    assert made.alive().fine


def test_a_long_interval_is_given_its_time() -> None:
    made, time = health()
    made.expect("shop", 600.0)
    time.at_s = 2999.0
    assert made.alive().fine
    time.at_s = 3001.0
    assert not made.alive().fine


def test_an_election_that_hangs_is_told() -> None:
    made, _ = health()
    made.election = lambda: ("standing by: n/headgate is held by a", 500.0)
    assert not made.alive().fine
    assert "hangs election: standing by: n/headgate is held by a; no attempt has ended for" in str(
        made.alive()
    )


def test_a_process_without_deployments_is_ready() -> None:
    assert Health().ready().fine
    assert Health().alive().fine
