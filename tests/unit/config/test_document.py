"""YAML is read strictly: as its version 1.2 says, each value with its line."""

from typing import Any

import pytest

from config.document import read_text, read_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2026-11-27", "2026-11-27"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("010", 10),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-3", -3),
        ("true", True),
        ("~", None),
        ("", None),
        ('"3"', "3"),
        ("9" * 30, "9" * 30),
        ("!!int 5", 5),
        ("!!str 5", "5"),
    ],
)
def test_a_plain_value_is_what_it_looks_like(text: str, value: Any) -> None:
    found = read_text(f"key: {text}\n", "file").values["key"]

    assert (type(found), found) == (type(value), value)


def test_an_anchor_is_repeated_where_its_alias_stands() -> None:
    document = read_text("base: &b {min: 1, max: 2}\nmore: *b\nmerged: {<<: *b, max: 3}\n", "file")

    assert document.values["more"] == {"min": 1, "max": 2}
    assert document.values["merged"] == {"min": 1, "max": 3}
    assert document.faults == []


def test_what_an_alias_repeats_can_be_changed_alone() -> None:
    values = read_text("one: &a {x: {y: 1}}\ntwo: *a\n", "file").values

    values["two"]["x"]["y"] = 2

    assert values["one"]["x"]["y"] == 1


def test_of_merged_mappings_the_first_has_precedence() -> None:
    text = "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n"

    assert read_text(text, "file").values["c"] == {"x": 1, "y": 2}


def test_every_key_has_its_line() -> None:
    document = read_text("a: 1\nb:\n  - c: 2\n    d:\n      e: 3\n", "file")

    assert document.line(("a",)) == 1
    assert document.line(("b", 0, "c")) == 3
    assert document.line(("b", 0, "d", "e")) == 5
    # What is not there is reported at the section that should hold it.
    assert document.line(("b", 0, "d", "missing")) == 4


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system [ls]", "!!binary aGk=", "!mine {a: 1}", "!!set {a}"]
)
def test_a_tag_is_refused_and_runs_nothing(text: str) -> None:
    (fault,) = read_text(f"key: {text}\n", "file").faults

    assert (fault.line, fault.path) == (1, ("key",))
    assert "means nothing here" in fault.sentence


def test_every_key_that_comes_twice_is_told() -> None:
    faults = read_text("a: 1\nb: {c: 1, c: 2}\na: 3\n", "file").faults

    assert [(fault.line, fault.path) for fault in faults] == [(2, ("b", "c")), (3, ("a",))]


@pytest.mark.parametrize("text", ["{a: 1, a: 2}", "[", "*nowhere"])
def test_a_value_on_one_line_is_read_as_strictly(text: str) -> None:
    with pytest.raises(ValueError, match=r"keep one|not valid YAML"):
        read_value(text)
