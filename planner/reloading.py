"""Notice that the configuration, or a file that it names, has changed, and put it into force or refuse it."""

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from models.errors import HeadgateError
from planner.wiring import Configuration

_LOG = logging.getLogger(__name__)

# A kubelet takes a minute to bring a changed ConfigMap: five seconds more are not felt.
EVERY_S = 5.0

# What tells one content of a file from another: the file behind links, its size and its time.
Mark = tuple[str, int, int, int] | None


class Reloading:
    """Look at files every few seconds.

    A change is taken up when it has stood still from one look to the next, so that nothing is read half
    written. What is refused is looked at again when it changes again.
    """

    def __init__(
        self,
        read: Callable[[], Configuration],
        files: Callable[[Configuration], Iterable[Path]],
        take: Callable[[Configuration], None],
        tell: Callable[[Configuration | None, str], None],
    ) -> None:
        """Bind how a configuration is read, which files it rests on, and who puts it into force.

        `tell` hears of each change: the configuration that is in force now, or `None` and why it was refused.
        """
        self._read, self._files, self._take, self._tell = read, files, take, tell
        self._watched: tuple[Path, ...] = ()
        self._known: tuple[Mark, ...] = ()
        self._last: tuple[Mark, ...] = ()

    def begin(self, loaded: Configuration) -> None:
        """Count what the files hold now as in force."""
        self._watched = tuple(self._files(loaded))
        self._known = self._last = self._marks()

    def look(self) -> None:
        """Look once, and take up what has changed and stands still."""
        marks = self._marks()
        settled, self._last = marks == self._last, marks
        if marks == self._known or not settled:
            return
        self._known = marks
        try:
            loaded = self._read()
            self._take(loaded)
        except HeadgateError as error:
            _LOG.error("the changed configuration is refused, the one before stays: %s", error)
            self._tell(None, str(error))
            return
        self._watched = tuple(self._files(loaded))
        self._known = self._last = self._marks()
        _LOG.info("the changed configuration is in force: %s", loaded.digest)
        self._tell(loaded, "")

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop."""
        while not stop.wait(EVERY_S):
            try:
                self.look()
            except Exception:  # noqa: BLE001 (a defect in reading must not end all later reloads)
                _LOG.exception("the configuration could not be looked at; please report it")

    def _marks(self) -> tuple[Mark, ...]:
        return tuple(_mark(path) for path in self._watched)


def _mark(path: Path) -> Mark:
    try:
        found = path.stat()
        return str(path.resolve()), found.st_ino, found.st_size, found.st_mtime_ns
    except OSError:
        return None
