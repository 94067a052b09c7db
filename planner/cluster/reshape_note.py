"""Keep on an owner what a change of width is about: whoever comes next finishes it or takes it back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from models.values import Role

RESHAPE = "headgate.io/reshape"
"""Annotation of an owner while one of its roles gets another layout."""

FAILED = "headgate.io/reshape-failed"
"""Annotation of an owner on which a change of layout failed last."""


class Phase(StrEnum):
    """Which way a change goes."""

    FORWARD = "forward"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class ReshapeNote:
    """Say which role changes from which layout to which, until when it must be ready, and how to undo it.

    `undo` are guarded operations (RFC 6902) on the owner that bring the old template back.
    """

    role: Role
    phase: Phase
    before: str
    after: str
    started_s: float
    deadline_s: float
    undo: Sequence[Mapping[str, Any]]

    def dump(self) -> str:
        """Write it as the value of the annotation."""
        said = {
            "role": self.role.value,
            "phase": self.phase.value,
            "from": self.before,
            "to": self.after,
            "startedAt": self.started_s,
            "deadline": self.deadline_s,
            "undo": [dict(each) for each in self.undo],
        }
        return json.dumps(said, separators=(",", ":"))


def note_of(annotations: Mapping[str, str]) -> ReshapeNote | str | None:
    """Return the change that an owner carries; None: none; or why what is written cannot be read."""
    text = annotations.get(RESHAPE)
    if text is None:
        return None
    try:
        said = json.loads(text)
        return ReshapeNote(
            Role(said["role"]),
            Phase(said["phase"]),
            str(said["from"]),
            str(said["to"]),
            float(said["startedAt"]),
            float(said["deadline"]),
            [dict(each) for each in said["undo"]],
        )
    except (ValueError, KeyError, TypeError):
        return f"{RESHAPE} cannot be read; somebody has to look at the template and remove the annotation"


def reshaping(annotations: Mapping[str, str], role: Role) -> str:
    """Say that a role's layout is being changed; empty where it is not."""
    note = note_of(annotations)
    if isinstance(note, str):
        return note
    if note is None or note.role is not role:
        return ""
    way = "changes" if note.phase is Phase.FORWARD else "goes back, having failed to change,"
    return f"{role} {way} from {note.before} to {note.after}"


def failure_of(annotations: Mapping[str, str], role: Role, to: str) -> tuple[float, str] | None:
    """Return when the same change failed last (Unix seconds) and why; None where it did not."""
    try:
        said = json.loads(annotations.get(FAILED, "{}"))
        if said["role"] == role.value and said["to"] == to:
            return float(said["at"]), str(said["why"])
    except (ValueError, KeyError, TypeError):
        return None
    return None


def failure(note: ReshapeNote, now_s: float, why: str) -> str:
    """Write down that a change failed."""
    said = {"role": note.role.value, "to": note.after, "at": now_s, "why": why}
    return json.dumps(said, separators=(",", ":"))
