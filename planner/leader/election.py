"""Attempt a Lease again and again in a thread of its own, and tell when it was won or lost."""

import logging
import threading
import time
from collections.abc import Callable

from planner.leader.lease import Lease

_LOG = logging.getLogger(__name__)


class Election:
    """Stand for election until stopped; `leading` may be asked by any thread, at any moment."""

    def __init__(self, lease: Lease, elapsed_s: Callable[[], float] = time.monotonic) -> None:
        """Prepare; nothing is asked before `start`."""
        self._lease = lease
        self._elapsed_s = elapsed_s
        self._listeners: list[Callable[[bool], None]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)
        self._attempted_s = elapsed_s()

    def listen(self, changed: Callable[[bool], None]) -> None:
        """Call `changed` when the Lease was won (true) or lost (false)."""
        self._listeners.append(changed)

    def leading(self) -> bool:
        """Whether this process may act now."""
        return self._lease.held

    def said(self) -> str:
        """Say who leads, in a few words."""
        if self._lease.held:
            return "leading"
        trouble = f"; {self._lease.trouble}" if self._lease.trouble else ""
        return f"standing by: {self._lease.name} is held by {self._lease.holder or 'nobody'}{trouble}"

    @property
    def silent_s(self) -> float:
        """Seconds since the last attempt ended: each ends within the time limits of its requests."""
        return self._elapsed_s() - self._attempted_s

    def start(self) -> None:
        """Begin to attempt it."""
        self._thread.start()

    def stop(self, release: bool) -> None:
        """Lead no longer.

        `release` gives the Lease up, so that another takes it at once; otherwise it runs out by itself, as it
        must where something may still be on its way to the cluster.
        """
        self._stop.set()
        if not release:
            self._lease.revoke()
        self._thread.join(timeout=self._lease.terms.duration_s)
        if release and not self._thread.is_alive():
            self._lease.release()
        else:
            self._lease.revoke()

    def _run(self) -> None:
        led = False
        while not self._stop.is_set():
            leads = self._lease.attempt()
            self._attempted_s = self._elapsed_s()
            if leads != led:
                self._tell(leads)
                led = leads
            self._stop.wait(self._lease.terms.every_s)

    def _tell(self, leads: bool) -> None:
        fields = {"lease": self._lease.name, "identity": self._lease.identity, "holder": self._lease.holder}
        if leads:
            _LOG.info("leading: %s is held", self._lease.name, extra={"fields": fields})
        else:
            why = self._lease.trouble or f"it is held by {self._lease.holder or 'nobody'}"
            _LOG.warning("no longer leading by %s: %s", self._lease.name, why, extra={"fields": fields})
        for listener in self._listeners:
            listener(leads)
