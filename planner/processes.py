"""Run tasks in processes of their own, watch their progress, and leave none of them behind."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

Answer = TypeVar("Answer")

# Called with the share of a task that is done, 0 to 1.
Progress = Callable[[float], None]

_POLL_S = 0.2


def side_by_side(
    tasks: Sequence[Callable[[Progress], Answer]], most: int, watch: Callable[[int, float], None]
) -> tuple[Answer, ...]:
    """Return the tasks' answers in their order, `most` of them running at once; all must be picklable.

    `watch` is called now and then with a task's number and the share of it that is done. Whatever ends this
    early, an interrupt or a task that raises, ends the processes too.
    """
    # Spawned, because a fork of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    shares = context.Array("d", len(tasks))
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(most, mp_context=context, initializer=_begin, initargs=(shares,)) as pool:
        with _deaf_to_interrupts():
            futures: list[Future[Answer]] = [pool.submit(_run, i, task) for i, task in enumerate(tasks)]
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for i in range(len(tasks)):
                    watch(i, shares[i])
                for future in done:
                    future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            # A task may take a minute yet, and nobody who interrupts wants to wait for it. The pool notices
            # and waits for their end, not for their work.
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
            raise
        return tuple(future.result() for future in futures)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that a terminal's Ctrl-C does not reach: who started them ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What is ignored when a process begins stays ignored in it.
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


# A process of the pool writes its progress here; set once, when the process begins.
_shares: Any = None


def _begin(shares: Any) -> None:
    global _shares  # noqa: PLW0603 - an initializer has no other way to hand a shared array to later calls
    _shares = shares
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it was killed: nobody is left to read its answer."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(i: int, task: Callable[[Progress], Answer]) -> Answer:
    def progress(share: float) -> None:
        _shares[i] = share

    return task(progress)
