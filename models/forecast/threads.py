"""Keep numerical libraries to one thread: alone in importing threadpoolctl.

Models are small: on more threads they spend more time waiting for one another than computing, and take the
cores of whatever else runs.
"""

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any


def one_thread(loaded: str = "") -> AbstractContextManager[Any]:
    """Return a context in which libraries loaded so far use one thread.

    `loaded` names a moment from which no more are loaded: what was found then is not looked for again, which
    takes some milliseconds.
    """
    controller: AbstractContextManager[Any] = (_found(loaded) if loaded else _find()).limit(limits=1)
    return controller


@lru_cache(maxsize=8)
def _found(loaded: str) -> Any:
    return _find()


def _find() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped, unused-ignore]

    return ThreadpoolController()
