"""Log what changed from one record to the next that a person should hear of."""

import logging

from models.decision import Record
from models.notice import notices
from models.prediction import Forecast

_LOG = logging.getLogger(__name__)


class Noticing:
    """Implement the Recorder port with log lines: a warning when a forecast is demoted, and so on."""

    def __init__(self) -> None:
        """Begin with nothing to compare with."""
        self._last: dict[str, Forecast] = {}

    def record(self, record: Record) -> None:
        """Tell what changed since the last record of this deployment."""
        for notice in notices(self._last.get(record.deployment), record.forecast):
            fields = {
                "deployment": record.deployment,
                "event": notice.event.value,
                "class": notice.request_class,
                "signal": notice.signal.value,
                "tick": record.tick_id,
            }
            level = logging.WARNING if notice.event.warning else logging.INFO
            _LOG.log(level, "%s: %s", notice.event.value, notice, extra={"fields": fields})
        self._last[record.deployment] = record.forecast
