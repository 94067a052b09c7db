"""What records were decided with lies beside them, comes back equal, and is told when it cannot."""

from dataclasses import replace
from pathlib import Path

import pytest

from models import codec
from models.artifact import LayoutProfile
from models.errors import StateError
from models.policy import TickPolicy
from planner import wiring
from planner.record.journal import read_journal
from planner.record.setting import SCHEMA, read_setting, write_setting
from tests.unit.report.journals import SETTING, decided, write

EXAMPLES = Path(__file__).resolve().parents[3] / "config" / "examples"


def test_a_setting_comes_back_equal_and_is_no_line_of_the_journal(tmp_path: Path) -> None:
    record = decided()
    write(tmp_path, [record])

    assert read_setting(tmp_path, record) == SETTING
    assert [line.record for line in read_journal(tmp_path)] == [record]


def test_each_configuration_and_profile_has_a_setting_of_its_own(tmp_path: Path) -> None:
    later = replace(SETTING, policy=replace(SETTING.policy, config_digest="sha256:d"))
    for each in (SETTING, later, SETTING):
        write_setting(tmp_path, each)

    assert len(list(tmp_path.iterdir())) == 2
    assert read_setting(tmp_path, replace(decided(), config_digest="sha256:d")) == later
    assert read_setting(tmp_path, replace(decided(), profile_digest="sha256:q")) is None


def test_policies_and_layouts_lose_nothing_as_text() -> None:
    for name in ("demo.yaml", "replay.yaml", "shared.yaml"):
        policy = wiring.read_config(EXAMPLES / name).settings.deployments[0].to_tick_policy(60.0)
        assert codec.from_json(TickPolicy, codec.to_json(policy)) == policy
    for layout in SETTING.layouts.values():
        assert codec.from_json(LayoutProfile, codec.to_json(layout)) == layout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no setting that this version can read"),
        ('{"schema": "headgate/setting/v1"}', "setting: field required"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    write_setting(tmp_path, SETTING)
    [file] = tmp_path.iterdir()
    file.write_text(text)

    with pytest.raises(StateError, match=said):
        read_setting(tmp_path, decided())


def test_a_newer_setting_asks_for_an_upgrade(tmp_path: Path) -> None:
    write_setting(tmp_path, SETTING)
    [file] = tmp_path.iterdir()
    file.write_text(file.read_text().replace(SCHEMA, "headgate/setting/v9"))

    with pytest.raises(StateError, match=r"schema headgate/setting/v9.*upgrade headgate"):
        read_setting(tmp_path, decided())


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(StateError, match=r"cannot be written: .*set journal.dir"):
        write_setting(tmp_path / "taken", SETTING)
