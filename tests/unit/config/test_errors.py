"""Every mistake is told with file, line, key, what was found and what to write instead."""

from pathlib import Path

import pytest
import yaml

from config.loading import load
from models.errors import ConfigError
from tests.unit.config.files import VALID, changed, errors, write

MISTAKES: dict[str, dict[str, str]] = yaml.safe_load(
    (Path(__file__).parent / "mistakes.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_line_key_and_remedy(tmp_path: Path, mistake: dict[str, str]) -> None:
    found = errors(tmp_path, changed(mistake["was"], mistake["becomes"]))

    assert found == [mistake["told"]]


WHOLE_FILES = {
    "empty": ("", "headgate.yaml: is empty; `headgate config schema` says what belongs into it"),
    "only a comment": (
        "# nothing\n",
        "headgate.yaml: is empty; `headgate config schema` says what belongs into it",
    ),
    "a list": (
        "- name: shop\n",
        "headgate.yaml:1: is a list; a configuration is a mapping that begins with `deployments:`",
    ),
    "a word": (
        "shop\n",
        "headgate.yaml:1: is a single value; a configuration is a mapping that begins with `deployments:`",
    ),
    "two documents": (
        f"{VALID}---\n{VALID}",
        "headgate.yaml:22: a second document begins; keep one configuration in a file",
    ),
    "a tab": (
        "interval: 60s\njournal:\n\tdir: x\n",
        "headgate.yaml:3: is not valid YAML: a tab stands where only spaces may; indent with spaces",
    ),
    "a bracket left open": (
        "deployments: [\n",
        "headgate.yaml:2: is not valid YAML: expected the node content, but found '<stream end>'",
    ),
    "an unknown alias": (
        "interval: *tick\n",
        "headgate.yaml:1: is not valid YAML: found undefined alias 'tick'",
    ),
    "a control character": (
        "interval: 60s\nmodel: \x07\n",
        "headgate.yaml:2: holds a character that no text has; remove it",
    ),
    "an alias of itself": (
        "deployments: &all [*all]\n",
        "headgate.yaml:1: aliases multiply or nest without end; write it out",
    ),
    "aliases that multiply": (
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(
            f"{y}: &{y} [{','.join([f'*{x}'] * 10)}]\n" for x, y in zip("abcdef", "bcdefg", strict=True)
        ),
        "headgate.yaml:1: aliases multiply or nest without end; write it out",
    ),
    "no deployment": (
        "deployments: []\n",
        "headgate.yaml:1: deployments: wants 1 or more items, got a list",
    ),
    "nothing said of deployments": (
        "interval: 60s\n",
        "headgate.yaml:1: deployments: is missing: the served models that Headgate looks after",
    ),
}


@pytest.mark.parametrize(("text", "expected"), WHOLE_FILES.values(), ids=WHOLE_FILES)
def test_a_file_that_is_no_configuration_is_refused_in_words(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert errors(tmp_path, text) == [expected]


def test_all_errors_of_a_file_are_told_at_once_and_in_its_order(tmp_path: Path) -> None:
    text = """\
interval: 60
deployments:
  - name: shop
    model: gpt-oss-120b
    pools:
      prefill: {min: 0}
      decode: {min: 3, max: 2}
    classes:
      - {name: pages, slo: {tfft: 300ms}}
  - name: shop
    pools: {aggregated: {}}
    budget: {gpus: few}
"""
    places = [line.split(" ")[0] + " " + line.split(" ")[1] for line in errors(tmp_path, text)]

    assert places == [
        "headgate.yaml:1: interval:",
        "headgate.yaml:6: deployments[0].pools.prefill.min:",
        "headgate.yaml:7: deployments[0].pools.decode.max:",
        "headgate.yaml:9: deployments[0].classes[0].slo.tfft:",
        "headgate.yaml:10: deployments[1].model:",
        "headgate.yaml:10: deployments[1].name:",
        "headgate.yaml:12: deployments[1].budget.gpus:",
    ]


def test_rules_between_sections_are_told_beside_an_unrelated_mistake(tmp_path: Path) -> None:
    found = errors(tmp_path, changed("gpus: 40", "gpus: 5").replace("interval: 60s", "intervall: 60s"))

    assert [line.split(": ")[1] for line in found] == ["intervall", "deployments[0].budget.gpus"]


def test_a_mistake_is_not_told_twice_by_the_rule_around_it(tmp_path: Path) -> None:
    found = errors(tmp_path, changed("      prefill:", "      prefil:"))

    assert found == ["headgate.yaml:11: deployments[0].pools.prefil: unknown key; did you mean 'prefill'?"]


def test_several_errors_begin_with_their_number(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^2 errors:\n"):
        load(write(tmp_path, changed("gpus: 40", "gpus: few").replace("60s", "60")), environ={})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: no such file$"):
        load(tmp_path / "absent.yaml", environ={})


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory; name the configuration file in it"):
        load(tmp_path, environ={})


def test_a_file_below_a_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(write(tmp_path) / "inner.yaml", environ={})


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # The tests may run as a user who may read everything.
    monkeypatch.setattr(Path, "open", refuse)

    with pytest.raises(ConfigError, match="may not be read by this user; check its permissions"):
        load(tmp_path / "secret.yaml", environ={})


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\x7fELF\x00\x01", "is a binary file; a configuration is YAML text"),
        ("interval: 60s\nmodel: caf\u00e9\n".encode("latin-1"), r":2: is not UTF-8 text; save it as UTF-8"),
        (b"#" * 1_000_001, "is larger than 1,000,000 bytes; this is not a configuration file"),
    ],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, raw: bytes, expected: str) -> None:
    path = tmp_path / "headgate.yaml"
    path.write_bytes(raw)

    with pytest.raises(ConfigError, match=expected):
        load(path, environ={})


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "headgate.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + VALID.encode())

    assert load(path, environ={}).settings.deployments[0].name == "shop"
