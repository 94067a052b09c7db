"""Call every deployment's tick on its interval, each one at a time, until told to stop."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from planner.loop import Job
from planner.ports import Clock

if TYPE_CHECKING:
    from apscheduler.events import JobSubmissionEvent

_LOG = logging.getLogger(__name__)

# Threads that wait for servers cost little, and are made only when all others wait: one a deployment.
MOST_THREADS = 1000
# First ticks lie this far apart, so that many deployments do not all ask the same Prometheus at once.
SPREAD_S = 0.25


class Schedule:
    """Fire jobs in threads.

    A tick that overruns its interval skips the next one and never runs beside it; ticks that were missed (a
    suspended machine) are run once.
    """

    def __init__(
        self, clock: Clock, fire: Callable[[Job], object], skipped: Callable[[str], None] = lambda _: None
    ) -> None:
        """Begin without jobs: `fire` runs one tick, `skipped` hears of each that was left out."""
        from apscheduler.events import EVENT_JOB_MAX_INSTANCES
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        self._clock, self._fire, self._skipped = clock, fire, skipped
        executors = {"default": ThreadPoolExecutor(max_workers=MOST_THREADS)}
        self._scheduler = BackgroundScheduler(executors=executors, timezone=UTC)
        self._scheduler.add_listener(self._overrun, EVENT_JOB_MAX_INSTANCES)
        self._jobs: dict[str, Job] = {}
        self._ticking: set[str] = set()
        self._changed = threading.Condition()
        self._stopped = False

    def put(self, job: Job) -> None:
        """Tick a deployment from now on; one that ticks already keeps its rhythm where that is the same."""
        from apscheduler.triggers.interval import IntervalTrigger

        before = self._jobs.get(job.deployment)
        self._jobs[job.deployment] = job
        if before is not None and before.interval_s == job.interval_s:
            return
        wait_s = min(SPREAD_S, job.interval_s / len(self._jobs)) * (len(self._jobs) - 1)
        self._scheduler.add_job(
            self._run,
            IntervalTrigger(seconds=job.interval_s, timezone=UTC),
            args=(job.deployment,),
            id=job.deployment,
            name=f"tick of {job.deployment}",
            next_run_time=datetime.fromtimestamp(self._clock.now_s() + wait_s, UTC),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
            replace_existing=True,
        )

    def drop(self, deployment: str) -> None:
        """Tick a deployment no more; a tick in progress is finished."""
        if self._jobs.pop(deployment, None) is not None:
            self._scheduler.remove_job(deployment)

    def all_now(self) -> None:
        """Tick every deployment now, and on its interval from now on."""
        now = datetime.fromtimestamp(self._clock.now_s(), UTC)
        for i, each in enumerate(self._scheduler.get_jobs()):
            self._scheduler.modify_job(each.id, next_run_time=now + timedelta(seconds=0.05 * i))

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def stop(self, patience_s: float) -> tuple[str, ...]:
        """Begin no further tick, and return the deployments whose tick did not end within `patience_s`."""
        _LOG.info("stopping: no further tick begins")
        until_s = time.monotonic() + patience_s
        with self._changed:
            self._stopped = True
        self._scheduler.shutdown(wait=False)
        with self._changed:
            self._changed.wait_for(lambda: not self._ticking, max(until_s - time.monotonic(), 0.0))
            return tuple(sorted(self._ticking))

    def _run(self, deployment: str) -> None:
        with self._changed:
            job = self._jobs.get(deployment)
            if job is None or self._stopped:
                return
            self._ticking.add(deployment)
        try:
            self._fire(job)
        finally:
            with self._changed:
                self._ticking.discard(deployment)
                self._changed.notify_all()

    def _overrun(self, event: "JobSubmissionEvent") -> None:
        self._skipped(str(event.job_id))
