"""Events tell once per thing and hour, are never too many, and cost no tick anything."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from models.errors import ClusterError
from models.notice import Event, Notice
from models.target import ObjectRef
from models.values import Role
from planner.cluster.api import Manifest
from planner.record.events import BURST, ClusterEvents
from tests.integration import loopback
from tests.unit.leader.fake_lease import LeaseServer
from tests.unit.record.test_journal import NOON_S, record

DECODE = ObjectRef("apps/v1", "Deployment", "decode", "inference")
PATIENCE_S = 20.0


class Kept(LeaseServer):
    """Keep any number of objects by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Manifest] = {}
        self.failing: ClusterError | None = None

    def get(
        self, api_version: str, kind: str, name: str, namespace: str, subresource: str = ""
    ) -> Manifest | None:
        if kind == "Deployment":
            return {"metadata": {"uid": "u-1"}}
        return self.kept.get(name)

    def create(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        if self.failing:
            raise self.failing
        name = manifest["metadata"]["name"]
        if name in self.kept:
            raise ClusterError("already exists", 409)
        self.kept[name] = dict(manifest)
        return self.kept[name]

    def patch(self, manifest: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        name = manifest["metadata"]["name"]
        if name not in self.kept:
            raise ClusterError("not found", 404)
        self.kept[name] |= {key: value for key, value in manifest.items() if key != "metadata"}
        return self.kept[name]


def notice(event: Event = Event.SCALED_UP, sentence: str = "decode 2 -> 3: more is needed") -> Notice:
    return Notice(event, "", None, sentence, Role.DECODE)


def told(
    server: Kept, *notices: tuple[float, Notice], elapsed_s: Callable[[], float] = lambda: 0.0
) -> list[str]:
    """Tell notices, each at its time, as one process does; return what became of each."""
    results: list[str] = []
    events = ClusterEvents(server, server, lambda _: {Role.DECODE: DECODE}, "me", results.append, elapsed_s)
    for at_s, each in notices:
        events(record(at_s), each)
    events.stop(PATIENCE_S)
    return results


def test_what_is_told_again_within_the_hour_is_counted_up() -> None:
    server = Kept()
    told(
        server, (NOON_S, notice()), (NOON_S + 60, notice(sentence="decode 3 -> 4")), (NOON_S + 3600, notice())
    )

    first, later = server.kept.values()
    assert (first["count"], later["count"]) == (2, 1)
    assert first["message"] == "shop: decode 3 -> 4"
    assert first["firstTimestamp"] == "2026-11-27T12:00:00Z"
    assert first["lastTimestamp"] == "2026-11-27T12:01:00Z"
    assert first["involvedObject"]["uid"] == "u-1"
    assert (first["type"], first["reason"]) == ("Normal", "ScaledUp")


def test_a_successor_counts_on_what_its_predecessor_told() -> None:
    server = Kept()
    told(server, (NOON_S, notice()), (NOON_S + 15, notice()))
    told(server, (NOON_S + 30, notice()))

    [only] = server.kept.values()
    assert only["count"] == 3


def test_an_event_that_expired_is_made_anew() -> None:
    server = Kept()
    results: list[str] = []
    events = ClusterEvents(server, server, lambda _: {Role.DECODE: DECODE}, "me", results.append)
    events(record(NOON_S), notice())
    loopback.wait_until("it is written", lambda: bool(results))
    server.kept.clear()
    events(record(NOON_S + 15), notice())
    events.stop(PATIENCE_S)

    assert [each["count"] for each in server.kept.values()] == [1]


def test_more_than_a_burst_is_dropped_until_time_has_passed() -> None:
    server, now = Kept(), [0.0]
    many = [(NOON_S + 3600 * i, notice()) for i in range(40)]

    results = told(server, *many, elapsed_s=lambda: now[0])

    assert results.count("written") == BURST
    assert results.count("dropped") == 40 - BURST


def test_a_server_that_refuses_is_counted_and_the_next_is_written(caplog: pytest.LogCaptureFixture) -> None:
    server = Kept()
    server.failing = ClusterError("events is forbidden", 403)
    assert told(server, (NOON_S, notice()), (NOON_S + 15, notice())) == ["failed", "failed"]
    assert caplog.text.count("an Event could not be written") == 1
    server.failing = None
    assert told(server, (NOON_S, notice())) == ["written"]


def test_a_long_sentence_is_cut_to_what_an_event_holds() -> None:
    server = Kept()
    told(server, (NOON_S, notice(sentence="é " * 2000)))

    [only] = server.kept.values()
    assert len(only["message"].encode()) <= 1024
    assert only["message"].endswith("…")


def test_what_names_no_object_is_told_nobody() -> None:
    results: list[str] = []
    server = Kept()
    events = ClusterEvents(server, server, lambda _: {}, "me", results.append)
    events.config_refused("shop", "bad", NOON_S)
    events.stop(PATIENCE_S)
    assert results == []
    assert not server.kept
