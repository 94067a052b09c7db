"""Write one record as one line of JSON, and read it back; or only in what it differs from one before."""

import json
from collections.abc import Mapping
from typing import Any

from models import codec
from models.decision import Record
from models.version import VERSION
from planner.record.difference import applied, difference

SCHEMA = "headgate/record/v1"
_FAMILY = "headgate/record/"
LIKE = "headgate/record-like/v1"
_LIKE_FAMILY = "headgate/record-like/"
GAP = "headgate/records-lost/v1"

Body = Mapping[str, Any]
# What lies beyond is no time: the year 5138.
_LATEST_S = 1e11


class BrokenLineError(ValueError):
    """Report a line that is no record: cut off, or changed since it was written."""


class NewerLineError(BrokenLineError):
    """Report a record that another version wrote in a form that this one does not know.

    `form` names the schema, or the version that wrote it; `at_s` (Unix seconds) is when it was made, `None`
    where even that cannot be told.
    """

    def __init__(self, form: str, at_s: float | None) -> None:
        """Say what to do about it."""
        super().__init__(f"is a record of {form}, which this version does not know: upgrade headgate")
        self.form, self.at_s = form, at_s


def body_of(record: Record) -> Body:
    """Return the record as plain data, with its schema."""
    return {"schema": SCHEMA, **codec.to_plain(record)}


def to_line(record: Record) -> str:
    """Return the record as JSON on one line, without the line's end."""
    return dumped(body_of(record))


def to_line_like(body: Body, before: Body) -> str | None:
    """Return a line that holds in what a record differs from one of the same deployment before.

    `None` where that would say little less than the record itself.
    """
    changes = difference(before, body)
    if changes is None:
        return None
    line = dumped(
        {
            "schema": LIKE,
            "tick_id": body["tick_id"],
            "deployment": body["deployment"],
            "like": before["tick_id"],
            "changes": changes,
        }
    )
    return line if 2 * len(line) < len(dumped(before)) else None


def to_gap(lost: int, from_s: float, until_s: float, why: str) -> str:
    """Return a line that tells of records that could not be written."""
    return dumped({"schema": GAP, "lost": lost, "from_s": from_s, "until_s": until_s, "why": why})


def dumped(body: Body) -> str:
    """Return plain data as JSON on one line."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def from_line(line: str) -> Record:
    """Return the record of a line that holds a whole one.

    Raises BrokenLineError for a line that is no whole record, or of a newer schema.
    """
    return Unfolding().record(line)


class Unfolding:
    """Read the lines of one file in order, those too that only say in what they differ from one before."""

    def __init__(self) -> None:
        """Begin a file."""
        self._whole: dict[str, Body] = {}
        # Records that others differ from and that cannot be read themselves: tick and form.
        self._unknown: dict[str, tuple[str, str]] = {}

    def record(self, line: str) -> Record:
        """Return the record of a line.

        Raises BrokenLineError for a line that is no record, or whose record before cannot be read: the one
        for newer lines where that is what keeps it from being read.
        """
        try:
            body = json.loads(line)
        except ValueError:
            raise BrokenLineError("is cut off or not JSON") from None
        schema = body.get("schema") if isinstance(body, dict) else None
        if schema == GAP:
            raise BrokenLineError(_gap(body))
        if isinstance(schema, str) and schema.startswith(_LIKE_FAMILY):
            body = self._unfolded(body, schema)
        elif not isinstance(schema, str) or not schema.startswith(_FAMILY):
            raise BrokenLineError("is no record")
        elif schema != SCHEMA:
            raise self._newer(body, schema)
        else:
            self._whole[str(body.get("deployment"))] = body
        try:
            return codec.from_plain(Record, {key: body[key] for key in body if key != "schema"})
        except ValueError as error:
            wrote = body.get("version")
            if isinstance(wrote, str) and wrote not in ("", VERSION):
                raise self._newer(body, f"headgate {wrote}") from None
            raise BrokenLineError(f"is no whole record: {error}") from None

    def _unfolded(self, body: Body, schema: str) -> Body:
        deployment, like = str(body.get("deployment")), body.get("like")
        tick, form = self._unknown.get(deployment, (None, ""))
        if schema != LIKE or (tick is not None and tick == like):
            raise NewerLineError(form if schema == LIKE else schema, _moment(body))
        before = self._whole.get(deployment)
        if before is None or before.get("tick_id") != like:
            raise BrokenLineError(f"differs from record {like}, which cannot be read")
        try:
            found: Body = applied(before, body["changes"])
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenLineError(f"does not fit record {body['like']}: {error}") from None
        return found

    def _newer(self, body: Body, form: str) -> NewerLineError:
        """Remember a record that cannot be read, for the lines that differ from it."""
        self._unknown[str(body.get("deployment"))] = str(body.get("tick_id")), form
        return NewerLineError(form, _moment(body))


def _moment(body: Body) -> float | None:
    """Return when a record was made, as far as any of its forms tells: in its observation, or by its name."""
    seen = body.get("observation")
    said = seen.get("at_s") if isinstance(seen, dict) else None
    try:
        at_s = float(str(body.get("tick_id")).rpartition("@")[2] if said is None else said)
    except (TypeError, ValueError):
        return None
    return at_s if 0 <= at_s < _LATEST_S else None


def _gap(body: Body) -> str:
    return f"{body.get('lost')} records before this line were lost: {body.get('why')}"
