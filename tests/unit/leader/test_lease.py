"""A Lease is held by one at a time, whatever clocks, networks and administrators do."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ClusterError
from planner.leader.lease import Lease, Terms
from tests.unit.leader.fake_lease import LeaseServer

TERMS = Terms(15)


class Time:
    def __init__(self) -> None:
        self.at_s = 1000.0

    def now_s(self) -> float:
        return self.at_s


def lease(server: LeaseServer, time: Time, identity: str = "one") -> Lease:
    return Lease(server, "fleet", "headgate", identity, TERMS, time.now_s, lambda: 1.7e9 + time.at_s)


def taken(server: LeaseServer, time: Time, identity: str = "one") -> Lease:
    """Hold a Lease that somebody released before."""
    one = lease(server, time, identity)
    one.attempt()
    assert server.object is not None
    server.object["spec"]["holderIdentity"] = ""
    server.object["metadata"]["resourceVersion"] = "released"
    fresh = lease(server, time, identity)
    assert fresh.attempt()
    return fresh


def test_a_lease_that_is_new_is_led_by_after_a_whole_duration() -> None:
    server, time = LeaseServer(), Time()
    one = lease(server, time)

    assert not one.attempt()
    for _ in range(7):
        time.at_s += 2.0
        assert not one.attempt()
    time.at_s += 2.0
    assert one.attempt()


def test_who_holds_it_renews_by_one_request() -> None:
    server, time = LeaseServer(), Time()
    one = taken(server, time)
    server.requests.clear()

    for _ in range(10):
        time.at_s += 2.0
        assert one.attempt()

    assert server.requests == ["patch"] * 10
    assert server.object is not None
    assert server.object["spec"] | {"acquireTime": "", "renewTime": ""} == {
        "holderIdentity": "one",
        "leaseDurationSeconds": 15,
        "acquireTime": "",
        "renewTime": "",
        "leaseTransitions": 1,
    }


def test_another_waits_for_the_whole_duration_and_then_takes_it() -> None:
    server, time = LeaseServer(), Time()
    one, other = taken(server, time), lease(server, time, "other")
    assert not other.attempt()
    time.at_s += 14.9
    assert not other.attempt()
    assert not one.held
    time.at_s += 0.1
    assert other.attempt()
    assert not one.attempt()
    assert one.holder == "other"


def test_a_lease_that_is_given_up_is_taken_at_once() -> None:
    server, time = LeaseServer(), Time()
    one, other = taken(server, time), lease(server, time, "other")
    assert not other.attempt()

    one.release()

    assert not one.held
    assert other.attempt()


def test_without_an_answer_it_is_held_for_two_thirds_of_its_duration() -> None:
    server, time = LeaseServer(), Time()
    one = taken(server, time)

    def silent() -> None:
        raise ClusterError("does not answer")

    server.before = silent
    time.at_s += 9.9
    assert one.attempt()
    assert one.trouble == "does not answer"
    time.at_s += 0.2
    assert not one.held
    assert not one.attempt()


def test_an_answer_that_comes_late_gives_no_more_time_than_one_in_time() -> None:
    server, time = LeaseServer(), Time()
    one = taken(server, time)

    def slow() -> None:
        time.at_s += 8.0

    server.after = slow
    one.attempt()
    assert one.held
    time.at_s += 2.0
    assert not one.held


def test_a_write_whose_answer_was_lost_is_gone_on_from() -> None:
    server, time = LeaseServer(), Time()
    one = taken(server, time)

    def lost() -> None:
        raise ClusterError("cut off")

    server.after = lost
    time.at_s += 2.0
    assert one.attempt()
    server.after = lambda: None
    time.at_s += 2.0

    assert one.attempt()
    assert one.trouble is None


@pytest.mark.parametrize("stated", [None, 0, -5, 10**9])
def test_an_absurd_duration_neither_breaks_nor_blocks_it(stated: int | None) -> None:
    server, time = LeaseServer(), Time()
    taken(server, time)
    assert server.object is not None
    server.object["spec"]["leaseDurationSeconds"] = stated
    other = lease(server, time, "other")

    assert not other.attempt()
    time.at_s += 300.0
    assert other.attempt()


class World:
    """Let several processes stand for one Lease, interleaved at every request, and watch who leads."""

    def __init__(self, drifts: list[float], draw: Callable[[st.SearchStrategy[float]], float]) -> None:
        self.server, self.at_s, self.draw = LeaseServer(), 0.0, draw
        self.server.before = self.server.after = self.on_the_way
        self.busy: set[int] = set()
        self.led = 0
        self.leases = [
            Lease(self.server, "n", "l", f"p{i}", TERMS, self.clock(i, drift), self.clock(i, drift))
            for i, drift in enumerate(drifts)
        ]

    def clock(self, i: int, drift: float) -> Callable[[], float]:
        return lambda: 1e6 * (i + 1) + self.at_s * drift

    def on_the_way(self) -> None:
        """A request takes time, in which others go on; some are lost."""
        self.advance(self.draw(st.sampled_from([0.0, 0.1, 1.0, 9.0])))
        if len(self.busy) < len(self.leases) and self.draw(st.sampled_from([0.0, 0.0, 1.0])):
            self.step()
        if self.draw(st.sampled_from([0.0] * 7 + [1.0])):
            raise ClusterError("lost")

    def step(self) -> None:
        """Do one thing: an attempt of somebody, a pause, or a deletion."""
        kind = self.draw(st.sampled_from([0.0] * 12 + [1.0, 2.0]))
        if kind == 1.0:
            self.server.object = None
        elif kind == 2.0:
            self.advance(self.draw(st.sampled_from([3.0, 10.0, 20.0])))
        else:
            i = int(self.draw(st.sampled_from([float(i) for i in range(len(self.leases))])))
            if i not in self.busy:
                self.busy.add(i)
                self.leases[i].attempt()
                self.busy.discard(i)
        self.advance(self.draw(st.sampled_from([0.0, 0.5, 2.0])))

    def advance(self, seconds: float) -> None:
        for _ in range(max(round(seconds / 0.5), 1)):
            self.look()
            self.at_s += min(seconds, 0.5)
        self.look()

    def look(self) -> None:
        leaders = [lease.identity for lease in self.leases if lease.held]
        assert len(leaders) <= 1, leaders
        self.led += bool(leaders)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(st.floats(0.85, 1.15), min_size=2, max_size=3))
def test_two_never_lead_at_once(data: st.DataObject, drifts: list[float]) -> None:
    world = World(drifts, data.draw)
    for _ in range(50):
        world.step()


def test_the_world_that_is_watched_has_leaders() -> None:
    """The ground of the property above: without troubles somebody leads nearly all the time."""
    world = World([1.0, 1.1], lambda _: 0.0)
    world.draw = lambda strategy: 0.0
    for _ in range(20):
        for each in world.leases:
            each.attempt()
        world.advance(2.0)

    assert world.led > 40
