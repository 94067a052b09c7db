"""Keep records in memory, for a single recommendation, or none at all, for a replay."""

from models.decision import Record


class Memory:
    """Implement the Recorder port with a list."""

    def __init__(self) -> None:
        """Begin empty."""
        self.records: list[Record] = []

    def record(self, record: Record) -> None:
        """Keep one tick."""
        self.records.append(record)


class Forget:
    """Implement the Recorder port without keeping anything: who asked holds what the reports show."""

    def record(self, record: Record) -> None:
        """Drop a record."""
