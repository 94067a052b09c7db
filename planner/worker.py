"""Fit in a process of its own, so that no tick waits: the latest good fit answers until the next is made.

One process serves every deployment, one fit at a time, at a low priority. A fit that fails, ends the process
or runs longer than LIMIT_S leaves the one before it in place; the process is begun anew, and the subject is
tried again when its next fit is due.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe
from multiprocessing.process import BaseProcess

from models.forecast.base import NotYet
from models.forecast.signal import SignalFit, fit_signal
from models.forecast.staged import Memory
from models.policy import ForecastPolicy
from models.series import Series
from models.units import show_duration
from planner.fitting import Due, Fitting, Subject

_LOG = logging.getLogger(__name__)

# All models of one signal take seconds; what takes this long is stuck.
LIMIT_S = 600.0
# A fit that is due for longer than this is told of: until then it waits for those of other subjects.
LATE_S = 300.0
# Below the ticks and whatever else serves on this machine.
NICENESS = 10


@dataclass(frozen=True, slots=True)
class Task:
    """Ask for one fit; it is sent to the worker's process."""

    subject: Subject
    due: Due
    series: Series
    policy: ForecastPolicy

    @property
    def quick(self) -> "Task":
        """The same without the models that take seconds."""
        return replace(self, policy=replace(self.policy, forecasters=()))


@dataclass(frozen=True, slots=True)
class Failure:
    """Say why a fit was not made."""

    reason: str


_NOTHING = Fitting(None, None)


@dataclass(slots=True)
class _State:
    """Hold what is known of one subject: the latest good fit, what is asked for and what became of that."""

    last: Fitting = _NOTHING
    asked: Due | None = None
    open: bool = False
    open_since_s: float = 0.0
    quickly: bool = True
    failed: str | None = None

    def trouble(self, now_s: float) -> str | None:
        """Say what is wrong with the fit that was asked for; `None` while it may still come."""
        if self.failed is not None:
            return f"the last fit failed: {self.failed}"
        late_s = now_s - self.open_since_s
        if self.open and late_s > LATE_S:
            return f"a fit has been due for {show_duration(late_s)}"
        return None


class FittingWorker:
    """Implement the Fitter port with a process; used from any number of threads.

    The first fit of a subject is made twice: without the slow models, which takes a tenth of a second, and
    when every subject has that, with all.
    """

    def __init__(
        self,
        limit_s: float = LIMIT_S,
        serve: Callable[[Connection], None] | None = None,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without a process: it is made for the first fit. `serve` is what runs in it."""
        self._limit_s = limit_s
        self._serve = serve or serve_fits
        self._elapsed_s = elapsed_s
        self._states: dict[Subject, _State] = {}
        self._waiting: dict[Subject, Task] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def fit(
        self, subject: Subject, due: Due, series: Callable[[], Series], policy: ForecastPolicy
    ) -> Fitting:
        """Return the latest fit at once, and see to it that the one due is made."""
        with self._changed:
            state = self._states.setdefault(subject, _State())
            if state.asked != due and not self._stopped:
                state.asked = due
                if not state.open:
                    state.open, state.open_since_s = True, self._elapsed_s()
                # What waited for an earlier moment is overtaken, and keeps its place.
                self._waiting[subject] = Task(subject, due, series(), policy)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="fitting", daemon=True)
                    self._thread.start()
                self._changed.notify_all()
            return replace(state.last, trouble=state.trouble(self._elapsed_s()))

    def pending(self, subject: Subject, due: Due) -> bool:
        """Whether the fit that is due has not been made yet."""
        with self._changed:
            state = self._states.get(subject)
            return state is None or state.open or state.asked != due

    def stop(self) -> None:
        """End the process; a fit in progress is lost, and what was fitted stays."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            thread, process = self._thread, self._process
        if process is not None:
            _kill(process)
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            answer = self._ask(task)
            with self._changed:
                if not self._stopped:
                    self._settle(task, answer)
        self._end()

    def _next(self) -> Task | None:
        """Return what to fit now, waiting for it; `None` when stopped."""
        with self._changed:
            while not self._waiting and not self._stopped:
                self._changed.wait()
            if self._stopped:
                return None
            for subject, task in self._waiting.items():
                if self._states[subject].quickly and task.policy.forecasters:
                    self._states[subject].quickly = False
                    return task.quick
            return self._waiting.pop(next(iter(self._waiting)))

    def _settle(self, task: Task, answer: SignalFit | NotYet | Failure) -> None:
        state = self._states[task.subject]
        if isinstance(answer, Failure):
            state.failed = answer.reason
            _LOG.error("%s: a fit failed: %s", task.subject, answer.reason, extra=_fields(task.subject))
        else:
            state.last, state.quickly, state.failed = Fitting(answer, task.due), False, None
        state.open = task.subject in self._waiting

    def _ask(self, task: Task) -> SignalFit | NotYet | Failure:
        """Have one fit made; a process that does not answer is ended."""
        try:
            pipe = self._connected()
            pipe.send(task)
            if pipe.poll(self._limit_s):
                answer: SignalFit | NotYet | Failure = pipe.recv()
                return answer
            reason = f"it took longer than {show_duration(self._limit_s)}"
        except (EOFError, ConnectionError):
            reason = "the fitting process ended, perhaps for want of memory"
        except Exception as error:  # noqa: BLE001 (whatever it is, the next subject's fit must be made)
            reason = f"{type(error).__name__}: {error}"
        self._end()
        return Failure(reason)

    def _connected(self) -> Connection:
        if self._pipe is None:
            # Spawned, because a fork of a process with threads may hang.
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = Pipe()
            process = context.Process(target=self._serve, args=(theirs,), name="fitting", daemon=True)
            process.start()
            theirs.close()
            with self._changed:
                self._process = process
                stopped = self._stopped
            if stopped:
                _kill(process)
        return self._pipe

    def _end(self) -> None:
        with self._changed:
            process, self._process = self._process, None
        if process is not None:
            _kill(process)
            process.join()
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


def serve_fits(pipe: Connection) -> None:
    """Make the fits that come in, until the other end is closed; runs in the worker's process."""
    # A group of its own: an interrupt at a terminal is not for this process, and what a model starts ends
    # with it.
    os.setsid()
    os.nice(NICENESS)
    memories: dict[Subject, Memory] = {}
    with suppress(EOFError, OSError):
        while True:
            task: Task = pipe.recv()
            pipe.send(made(task, memories.setdefault(task.subject, Memory())))


def made(task: Task, memory: Memory | None = None) -> SignalFit | NotYet | Failure:
    """Return one fit as it is sent back, or why there is none."""
    try:
        if memory is not None:
            memory.turn()
        fit = fit_signal(task.series, task.due.at_s, task.policy, memory)
    except Exception as error:  # noqa: BLE001 (a defect in one model must not end the fits of all others)
        return Failure(f"{type(error).__name__}: {error}")
    return fit if isinstance(fit, NotYet) else fit.lean()


def _kill(process: BaseProcess) -> None:
    """Signal a process and what it started to end at once."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.kill()


def _fields(subject: Subject) -> dict[str, dict[str, str]]:
    return {
        "fields": {
            "deployment": subject.deployment,
            "class": subject.request_class,
            "signal": subject.signal.value,
        }
    }
