"""Let the planner decide for a made-up demand, at fixed moments, and report on it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.render import recommendation_page, track_page
from models.render.document import Document
from models.track.summary import summarise
from planner.record.setting import read_setting
from planner.report.tracks import read_tracks
from tests import builders
from tests.unit.report.journals import decided, write

FOLDER = Path(__file__).parent
# Shows how a page reads; a track record of a fortnight reads no differently.
JOURNAL_MINUTES = 120


def documents(scratch: Path) -> Mapping[str, Document]:
    """Return the reports by the name of their file; `scratch` takes the journal of the track record."""
    return {
        "recommendation": recommendation_page.document([decided()]),
        "track-record": _track(scratch / "journal"),
    }


def exported(document: Document) -> dict[str, Any]:
    """Return the data that the page carries, those of its charts aside."""
    plain: dict[str, Any] = json.loads(json.dumps({"schema": document.schema, **document.export}))
    return plain


def _track(journal: Path) -> Document:
    minutes = [decided(builders.AT_S + 60.0 * i, pages=80.0 + i % 40) for i in range(JOURNAL_MINUTES)]
    write(journal, minutes)
    [told] = read_tracks(journal, lambda record: read_setting(journal, record), 28)
    return track_page.document([summarise(told.track, told.setting.criteria, told.records, told.version)])
