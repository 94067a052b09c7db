"""Say whether ticks go on (alive) and whether everything was seen once (ready), a line per deployment."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from models.decision import Outcome, Status
from models.units import show_duration

# A tick that is late by this many intervals hangs, unless its requests go on ending.
HANGING_INTERVALS = 5.0
# No request takes longer than a minute, so that one which is slow is not taken for one which hangs.
LEAST_S = 180.0


@dataclass(frozen=True, slots=True)
class Report:
    """Answer one question: whether it is so, and a line for each deployment that says why."""

    fine: bool
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """Return the lines."""
        return "".join(f"{line}\n" for line in self.lines)


@dataclass(slots=True)
class _Deployment:
    limit_s: float
    progress_s: float
    ended_s: float | None = None
    seen: bool = False
    said: str = "no tick has ended yet"


@dataclass(slots=True)
class Health:
    """Watch the ticks of all deployments; may be asked and told by any thread.

    `elapsed_s` measures. `election` says who leads, and how long it has been silent.
    """

    elapsed_s: Callable[[], float] = time.monotonic
    election: Callable[[], tuple[str, float]] | None = None
    _known: dict[str, _Deployment] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, deployment: str, interval_s: float) -> None:
        """Expect ticks of a deployment from now on."""
        limit_s = max(HANGING_INTERVALS * interval_s, LEAST_S)
        with self._lock:
            known = self._known.setdefault(deployment, _Deployment(limit_s, self.elapsed_s()))
            known.limit_s = limit_s

    def forget(self, deployment: str) -> None:
        """Expect no more."""
        with self._lock:
            self._known.pop(deployment, None)

    def progress(self, deployment: str) -> None:
        """Note that a request of a deployment's tick has ended, whatever the answer."""
        with self._lock:
            if deployment in self._known:
                self._known[deployment].progress_s = self.elapsed_s()

    def ended(self, deployment: str, outcome: Outcome | None) -> None:
        """Note the end of a tick; `None`: it only looked, while another leads."""
        with self._lock:
            known = self._known.get(deployment)
            if known is None:
                return
            known.ended_s = known.progress_s = self.elapsed_s()
            known.seen = known.seen or outcome is None or outcome.status is not Status.FAILED
            known.said = _said(outcome)

    def alive(self) -> Report:
        """Say whether every deployment's ticks go on; a Prometheus that is down stops none."""
        now_s = self.elapsed_s()
        with self._lock:
            lines = {name: self._alive(each, now_s) for name, each in self._known.items()}
        fine = all(ok for ok, _ in lines.values())
        found = [f"{'ok' if ok else 'hangs'} {name}: {said}" for name, (ok, said) in lines.items()]
        if self.election is not None:
            who, silent_s = self.election()
            goes_on = silent_s < LEAST_S
            said = "" if goes_on else f"; no attempt has ended for {show_duration(silent_s)}"
            found.append(f"{'ok' if goes_on else 'hangs'} election: {who}{said}")
            fine = fine and goes_on
        return Report(fine, tuple(found))

    def ready(self) -> Report:
        """Say whether every deployment was seen at least once; configuration and profiles are there then."""
        with self._lock:
            lines = {name: (each.seen, each.said) for name, each in self._known.items()}
        fine = all(seen for seen, _ in lines.values())
        found = [f"{'ok' if seen else 'not ready'} {name}: {said}" for name, (seen, said) in lines.items()]
        return Report(fine, tuple(found) or ("ok: no deployment is this process's",))

    def _alive(self, known: _Deployment, now_s: float) -> tuple[bool, str]:
        silent_s = now_s - known.progress_s
        ended = (
            "no tick has ended"
            if known.ended_s is None
            else f"tick {show_duration(now_s - known.ended_s)} ago"
        )
        if silent_s > known.limit_s:
            return False, f"{ended}, and nothing for {show_duration(silent_s)}"
        return True, f"{ended}: {known.said}" if known.ended_s is not None else ended


def _said(outcome: Outcome | None) -> str:
    """Return one line, without line breaks of others' messages."""
    if outcome is None:
        return "standing by"
    said = f"{outcome.status}: {outcome.detail}" if outcome.detail else str(outcome.status)
    return " ".join(said.split())[:300]
