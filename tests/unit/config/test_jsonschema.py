"""The published JSON Schema accepts what the loader accepts and explains every key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from config.jsonschema import json_schema
from config.loading import load
from config.showing import plain
from tests.unit.config.files import EXAMPLES, VALID, changed, loaded

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def properties() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, section in {"Settings": SCHEMA, **SCHEMA["$defs"]}.items():
        for key, described in section.get("properties", {}).items():
            yield f"{name}.{key}", described


def test_it_is_a_schema_of_its_draft() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_it_accepts_the_examples(example: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(example.read_text(encoding="utf-8")))


def test_it_accepts_what_is_shown(tmp_path: Path) -> None:
    VALIDATOR.validate(plain(loaded(tmp_path)))


def test_every_key_is_described() -> None:
    short = [name for name, described in properties() if len(described.get("description", "")) < 10]

    assert short == []


def test_defaults_are_written_as_a_person_writes_them() -> None:
    defaults = {name: described["default"] for name, described in properties() if "default" in described}

    assert defaults["PoolSettings.startup"] == "2m"
    assert defaults["JournalSettings.dir"] == "journal"
    assert defaults["DeploymentSettings.mode"] == "observe"


def test_what_may_be_nothing_says_what_nothing_means() -> None:
    silent = [
        name
        for name, described in properties()
        if "default" in described and described["default"] is None and "null:" not in described["description"]
    ]

    # A pool that is absent is explained where the three stand together.
    assert silent == ["PoolsSettings.prefill", "PoolsSettings.decode", "PoolsSettings.aggregated"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("interval: 60s", "intervall: 60s"),
        ("ttft: 300ms", "ttft: 300"),
        ("gpus: 40", "gpus: 0"),
        ("min: 2", "min: 0"),
        ("layout: TEP4", "layout: EP4"),
        ("name: email", "name: Email"),
        ("quantile: 0.99", "quantile: 1.5"),
        ("      decode: {layout: TEP4, min: 1}\n", ""),
        ("    model: gpt-oss-120b\n", ""),
    ],
)
def test_it_refuses_what_the_loader_refuses(old: str, new: str) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(changed(old, new)))
    assert VALIDATOR.is_valid(yaml.safe_load(VALID))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_stands_alone(example: Path) -> None:
    assert load(example, {}).settings.deployments


def test_the_examples_are_those_that_the_readme_names() -> None:
    assert [example.name for example in EXAMPLES] == ["aks.yaml", "demo.yaml", "replay.yaml", "shared.yaml"]
