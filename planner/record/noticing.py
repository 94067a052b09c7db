"""Tell what changed from one record to the next that a person should hear of."""

import logging
from collections.abc import Callable

from models.decision import Record
from models.notice import Notice, notices
from models.tick_notices import tick_notices

_LOG = logging.getLogger(__name__)

# Called with the record that changed something, and what that was.
Listener = Callable[[Record, Notice], None]


class Noticing:
    """Implement the Recorder port: compare each record with the one before, and tell listeners."""

    def __init__(self, *listeners: Listener) -> None:
        """Begin with nothing to compare with."""
        self._listeners = listeners
        self._last: dict[str, Record] = {}

    def record(self, record: Record) -> None:
        """Tell what changed since the last record of this deployment."""
        before = self._last.get(record.deployment)
        told = notices(None if before is None else before.forecast, record.forecast)
        for notice in (*told, *tick_notices(before, record)):
            for listener in self._listeners:
                listener(record, notice)
        self._last[record.deployment] = record


def log(record: Record, notice: Notice) -> None:
    """Log one notice: a warning where somebody may have to act, such as a demoted forecast."""
    fields = {
        "deployment": record.deployment,
        "event": notice.event.value,
        "tick": record.tick_id,
    }
    if notice.signal is not None:
        fields |= {"class": notice.request_class, "signal": notice.signal.value}
    if notice.role is not None:
        fields["role"] = notice.role.value
    level = logging.WARNING if notice.event.warning else logging.INFO
    _LOG.log(level, "%s: %s", notice.event.value, notice, extra={"fields": fields})
