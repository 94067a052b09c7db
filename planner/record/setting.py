"""Keep beside a journal what its records were decided with, so that it can be judged without anything else.

A record names its configuration and profile by digests. The policy and the layouts that stand behind them
lie in the journal's folder as `setting-NAME.json`, one file for each deployment, configuration and profile
that ever wrote there.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from models import codec
from models.artifact import LayoutProfile
from models.decision import Record
from models.errors import StateError
from models.policy import TickPolicy
from models.track.criteria import Criteria
from models.values import Role

SCHEMA = "headgate/setting/v1"


@dataclass(frozen=True, slots=True)
class Setting:
    """Hold what a deployment's ticks were computed with; `criteria` say when it may be let act."""

    policy: TickPolicy
    layouts: Mapping[Role, LayoutProfile]
    profile_digest: str
    criteria: Criteria = field(default_factory=Criteria)


@dataclass(frozen=True, slots=True)
class _File:
    schema: str
    setting: Setting


def write_setting(folder: Path, setting: Setting) -> None:
    """Write a setting into a journal's folder, whole or not at all; raises StateError that says why not."""
    name = _name(setting.policy.deployment, setting.policy.config_digest, setting.profile_digest)
    path, part = folder / name, folder / f".{name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_text(codec.to_json(_File(SCHEMA, setting)), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise StateError(
            f"{path}: cannot be written: {error.strerror or error}; check its permissions, or set journal.dir"
        ) from None


def read_setting(folder: Path, record: Record) -> Setting | None:
    """Return what a record was computed with; `None` where the folder does not hold it.

    Raises StateError for a file that is damaged or of a newer version.
    """
    path = folder / _name(record.deployment, record.config_digest, record.profile_digest)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        found = codec.from_json(_File, text)
    except ValueError as error:
        raise StateError(f"{path}: is no setting that this version can read: {error}") from None
    if found.schema != SCHEMA:
        raise StateError(
            f"{path}: is of schema {found.schema}, and this version reads {SCHEMA}: upgrade headgate"
        )
    return found.setting


def _name(deployment: str, config_digest: str, profile_digest: str) -> str:
    return f"setting-{codec.digest([deployment, config_digest, profile_digest])[7:23]}.json"
