"""A page is one safe, complete file whose embedded data are the report."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from models import artifact
from models.render import profile_page, recommendation_page, replay_page
from models.render.page import embedded_json
from models.simulation.scorecard import ReplayResult
from tests.unit.render.report_values import held_record, profile, record, replay_result

EVIL = "</script><script>alert(1)</script><!--<script>&amp;'\"\u2028{{ 7*7 }}"


class Reader(HTMLParser):
    """Collect scripts by id, headings, and the attributes of every element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.scripts: dict[str, str] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._script = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._script = dict(attrs).get("id") or f"script{len(self.scripts)}"
            self.scripts[self._script] = ""

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = ""

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def small() -> ReplayResult:
    return replay_result(("headgate", "static-peak"))


def report(html: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(Reader(html).scripts["report"])
    return value


@pytest.mark.parametrize("text", [EVIL, "<!--", "a & b", "\u2029", "é"])
def test_embedded_json_holds_any_text_and_no_markup(text: str) -> None:
    embedded = embedded_json({"name": text})

    assert not set("<>&\u2028\u2029") & set(embedded)
    assert json.loads(embedded) == {"name": text}


def test_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        embedded_json({"x": float("nan")})


def test_names_from_outside_never_become_markup(small: ReplayResult) -> None:
    policy = replace(small.policies[0], policy=EVIL)
    html = replay_page.render(
        replace(small, deployment=EVIL, trace=EVIL, policies=(policy,), settings={EVIL: EVIL})
    )

    reader = Reader(html)
    assert len(reader.named("script")) == 4
    assert "alert(1)" not in "".join(
        code for name, code in reader.scripts.items() if name.startswith("script")
    )
    assert report(html)["result"]["deployment"] == EVIL


def test_a_replay_report_is_also_its_export(small: ReplayResult) -> None:
    exported = report(replay_page.render(small, "2026-11-28T12:30:00Z"))

    assert exported["schema"] == "headgate/replay-report/v1"
    assert exported["created_at"] == "2026-11-28T12:30:00Z"
    assert [p["policy"] for p in exported["result"]["policies"]] == ["headgate", "static-peak"]
    assert exported["result"]["policies"][0]["gpu_hours"] == small.policies[0].gpu_hours
    assert len(exported["data"]["load"]["at"]["load"]) == 480


def test_a_profile_report_carries_the_profile_whole() -> None:
    kept = profile()

    exported = report(profile_page.render(kept))

    assert exported["digest"] == kept.digest
    plain = json.loads(artifact.dump(kept.artifact))
    assert {k: v for k, v in plain.items() if k not in ("schema", "digest")} == exported["profile"]


def test_a_recommendation_report_carries_its_records() -> None:
    exported = report(recommendation_page.render([record(), held_record()]))

    assert [r["outcome"]["status"] for r in exported["records"]] == ["unchanged", "held"]


@pytest.mark.parametrize(
    "html",
    [
        pytest.param(lambda: replay_page.render(replay_result(("headgate",))), id="replay"),
        pytest.param(lambda: profile_page.render(profile()), id="profile"),
        pytest.param(lambda: recommendation_page.render(record()), id="recommendation"),
    ],
)
def test_a_page_can_be_read_without_eyes_or_mouse(html: Any) -> None:
    reader = Reader(html())

    assert reader.named("html") == [{"lang": "en"}]
    assert len(reader.named("h1")) == 1
    assert len(reader.named("caption")) == len(reader.named("table"))
    assert all(th.get("scope") in ("col", "row") for th in reader.named("th"))
    canvases = [e for e in reader.named("div") if e.get("class") == "canvas"]
    assert canvases
    assert all(len(c["aria-label"] or "") > 40 for c in canvases)
    ids = [e["id"] for _, e in reader.elements if e.get("id")]
    assert len(ids) == len(set(ids))
    anchors = {(a["href"] or "")[1:] for a in reader.named("a")}
    assert anchors <= set(ids)


def test_a_page_names_no_address_to_fetch() -> None:
    html = profile_page.render(profile())
    reader = Reader(html)

    for name in ("src", "data", "action", "poster", "srcset"):
        assert [e for _, e in reader.elements if e.get(name)] == []
    assert reader.named("link") == []
    policy = next(m["content"] for m in reader.named("meta") if m.get("http-equiv"))
    assert (policy or "").startswith("default-src 'none'")
    assert "unsafe-eval" not in (policy or "")
    assert re.search(r"@import|url\(", html.partition("</style>")[0]) is None


def test_a_crowded_replay_stays_under_its_size_bound(small: ReplayResult) -> None:
    talker = small.policies[0]
    points = tuple(replace(p, sentence="decode 4 -> 5: " + "x" * 280) for p in talker.timeline)
    crowd = tuple(replace(talker, policy=f"static:{i},{i}", timeline=points) for i in range(9))

    html = replay_page.render(replace(small, policies=crowd))

    assert len(html.encode()) <= 1_500_000
    assert "the first 300 of 1,440" in html


def test_nothing_replayed_is_a_page_and_not_an_error(small: ReplayResult) -> None:
    html = replay_page.render(replace(small, policies=()))

    assert "No policy was replayed" in html


def test_a_profile_without_a_question_is_a_page() -> None:
    html = profile_page.render(profile(question=None, selection=None, pareto=(), left_out=(), sources={}))

    assert "No layout was selected" in html


def test_no_record_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="at least one record"):
        recommendation_page.render([])


def test_the_same_value_gives_the_same_page() -> None:
    assert recommendation_page.render(record()) == recommendation_page.render(record())
