"""Write one record as one line of JSON, and read it back."""

import json

from models import codec
from models.decision import Record
from models.errors import StateError

SCHEMA = "headgate/record/v1"
_FAMILY = "headgate/record/"


class BrokenLineError(ValueError):
    """Report a line that is no record: cut off, or changed since it was written."""


def to_line(record: Record) -> str:
    """Return the record as JSON on one line, without the line's end."""
    body = {"schema": SCHEMA, **codec.to_plain(record)}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def from_line(line: str) -> Record:
    """Return the record of a line.

    Raises BrokenLineError for a line that is no whole record, StateError for a newer schema.
    """
    try:
        body = json.loads(line)
    except ValueError:
        raise BrokenLineError("is cut off or not JSON") from None
    schema = body.pop("schema", None) if isinstance(body, dict) else None
    if not isinstance(schema, str) or not schema.startswith(_FAMILY):
        raise BrokenLineError("is no record")
    if schema != SCHEMA:
        raise StateError(f"a record of schema {schema}, newer than {SCHEMA}: upgrade headgate to read it")
    try:
        return codec.from_plain(Record, body)
    except ValueError as error:
        raise BrokenLineError(f"is no whole record: {error}") from None
