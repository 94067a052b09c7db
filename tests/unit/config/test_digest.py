"""One digest for what means the same, another for what does not."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.loading import load
from config.showing import as_json, as_yaml
from tests.unit.config.files import EXAMPLES, VALID, changed, loaded, write


def shuffled(value: Any, rng: random.Random) -> Any:
    """Return the value with the keys of every mapping in another order; lists keep theirs."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(tmp_path: Path, rng: random.Random) -> None:
    text = yaml.safe_dump(shuffled(yaml.safe_load(VALID), rng), sort_keys=False)

    assert loaded(tmp_path, text).digest == loaded(tmp_path).digest


def test_where_the_file_lies_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "deep" / "down").mkdir(parents=True)

    assert loaded(tmp_path / "deep" / "down").digest == loaded(tmp_path).digest


SAME = {
    "a unit": ("interval: 60s", "interval: 1m"),
    "a smaller unit": ("ttft: 300ms", "ttft: 0.3s"),
    "a suffix": ("min: 4k", "min: 4000"),
    "a percentage": ("quantile: 0.99", "quantile: 99%"),
    "a default that is written out": ("budget: {gpus: 40}", "budget: {gpus: 40}\n    router: load"),
    "an explicit nothing": ("layout: TEP4", "max: null, layout: TEP4"),
    "a comment": ("interval: 60s", "interval: 60s  # once a minute"),
    "quotes": ("model: gpt-oss-120b", 'model: "gpt-oss-120b"'),
    "an empty section": ("name: email", "name: email\n        slo: {}"),
    "a path": ("profile: profile.json", "profile: elsewhere/profile.json"),
    "a secret": ("tenant-secret", "another-secret"),
}


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_how_it_is_written_does_not_matter(tmp_path: Path, old: str, new: str) -> None:
    assert loaded(tmp_path, changed(old, new)).digest == loaded(tmp_path).digest


DIFFERENT = {
    "the budget": ("gpus: 40", "gpus: 41"),
    "a promise": ("ttft: 300ms", "ttft: 301ms"),
    "a priority": ("priority: 10", "priority: 11"),
    "a layout": ("layout: TEP4", "layout: TP4"),
    "a name": ("name: email", "name: mail"),
    "a bound": ("max: 36", "max: 35"),
    "a match": ("min: 4k", "min: 5k"),
    "the source": ("http://prometheus:9090", "http://prometheus:9091"),
    "a header": ("X-Scope-OrgID", "X-Other"),
}


@pytest.mark.parametrize(("old", "new"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_it_says_does_matter(tmp_path: Path, old: str, new: str) -> None:
    assert loaded(tmp_path, changed(old, new)).digest != loaded(tmp_path).digest


def test_a_variable_and_a_line_of_the_file_mean_the_same(tmp_path: Path) -> None:
    stated = loaded(tmp_path, changed("gpus: 40", "gpus: 44"))

    layered = load(write(tmp_path), {"HEADGATE_DEPLOYMENTS__SHOP__BUDGET__GPUS": "44"})

    assert layered.digest == stated.digest


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
@pytest.mark.parametrize("origin", [False, True])
def test_what_is_shown_loads_again_as_the_same(tmp_path: Path, example: Path, origin: bool) -> None:
    first = load(example, {})

    again = load(write(tmp_path, as_yaml(first, origin)), {})

    assert again.digest == first.digest
    assert as_yaml(again) == as_yaml(first)


def test_the_settings_in_the_json_load_again_as_the_same(tmp_path: Path) -> None:
    first = loaded(tmp_path)

    body = yaml.safe_load(as_json(first))

    assert body["schema"] == "headgate/config/v1"
    assert body["digest"] == first.digest
    assert loaded(tmp_path, yaml.safe_dump(body["settings"])).digest == first.digest


# What YAML, in one version or another, takes for a number, a truth, a time or an end.
AWKWARD = [
    "no",
    "1e3",
    "010",
    "1:30",
    "2026-01-01",
    "0x1F",
    "a: b",
    "a #b",
    "'",
    '"',
    "- x",
    "é\u2028\U0001f600",
]


@pytest.mark.parametrize("model", AWKWARD)
def test_awkward_text_survives_being_shown(tmp_path: Path, model: str) -> None:
    first = load(write(tmp_path), {}, {"deployments.shop.model": model} if model not in ("~", "null") else {})

    again = loaded(tmp_path, as_yaml(first))

    assert again.settings.deployments[0].model == model
    assert again.digest == first.digest


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=75)
@given(st.text(min_size=1).filter(lambda text: text.strip() and text.strip() not in ("~", "null")))
def test_any_model_name_survives_being_shown(tmp_path: Path, model: str) -> None:
    first = load(write(tmp_path), {}, {"deployments.shop.model": model})

    assert loaded(tmp_path, as_yaml(first)).digest == first.digest
