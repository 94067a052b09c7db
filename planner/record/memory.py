"""Keep records in memory, for a replay or a single recommendation."""

from models.decision import Record


class Memory:
    """Implement the Recorder port with a list."""

    def __init__(self) -> None:
        """Begin empty."""
        self.records: list[Record] = []

    def record(self, record: Record) -> None:
        """Keep one tick."""
        self.records.append(record)
