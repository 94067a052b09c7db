"""Whatever stands in a file or a variable, the answer is settings that load again, or a ConfigError."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config.loading import load
from config.showing import as_yaml
from models.errors import ConfigError
from tests.unit.config.files import VALID, loaded, write

ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=12),
        st.sampled_from(
            ["300ms", "-1s", "8k", "99%", "1e400", "TP1", "observe", "http://x:0", "~", "{", "[1,"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every value in a tree, the root's excepted."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


PLACES = list(places(yaml.safe_load(VALID)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.sampled_from(PLACES), ANYTHING)
@example(("deployments", 0, "budget", "gpus"), 10**400)
@example(("interval",), "1" * 5000 + "s")
def test_any_value_at_any_place_is_taken_or_refused_in_words(
    tmp_path: Path, place: tuple[str | int, ...], value: Any
) -> None:
    tree = yaml.safe_load(VALID)
    here = tree
    for key in place[:-1]:
        here = here[key]
    here[place[-1]] = value

    with contextlib.suppress(ConfigError):
        first = loaded(tmp_path, yaml.safe_dump(tree, allow_unicode=True))
        assert loaded(tmp_path, as_yaml(first)).digest == first.digest


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=75)
@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused_in_words(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "headgate.yaml"
    path.write_bytes(raw)

    with pytest.raises(ConfigError):
        load(path, environ={})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=75)
@given(st.text(st.sampled_from("ABCDEFGLMOPRSTUY_012"), max_size=30), st.text(max_size=20))
@example("DEPLOYMENTS", "null")
@example("DEPLOYMENTS__0", "null")
@example("DEPLOYMENTS__0__CLASSES__0", "[]")
@example("DEPLOYMENTS__SHOP__CLASSES", "{a: b}")
@example("PROMETHEUS__HEADERS__", "x")
@example("", "x")
def test_any_variable_is_taken_or_refused_in_words(tmp_path: Path, name: str, value: str) -> None:
    variable = f"HEADGATE_{name}"

    with contextlib.suppress(ConfigError):
        first = load(write(tmp_path), environ={variable: value})
        assert loaded(tmp_path, as_yaml(first)).digest == first.digest
