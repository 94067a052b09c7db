"""Tell the real time: the one place that reads it."""

import time


class SystemClock:
    """Implement the Clock port with the machine's clock."""

    def now_s(self) -> float:
        """Return Unix seconds, UTC."""
        return time.time()
