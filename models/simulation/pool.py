"""Keep the replicas of one role: starting, ready and draining, and the GPU time that they take."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from models.simulation.clockwork import Clockwork
from models.simulation.router import Choice


class Replica(Protocol):
    """What a pool needs of a replica.

    `loads[position]` is where it books its outstanding work; `retire` is set when it must stop, and it calls
    that once it holds nothing any more.
    """

    loads: list[float]
    position: int
    retire: Callable[[float], None] | None

    @property
    def held(self) -> int:
        """Count the requests that must leave before the replica may stop."""
        ...


R = TypeVar("R", bound=Replica)


@dataclass(slots=True, eq=False)
class Start:
    """One replica that was asked for at `since_s` and does not serve yet."""

    since_s: float
    cancelled: bool = False


class Pool(Generic[R]):
    """Own one role's replicas; times in seconds since the start of the replay.

    Scaling down cancels starting replicas first, newest first, then drains ready ones, newest first. A
    draining replica gets no new request and stops when it has finished what it holds. GPUs are paid for
    while starting, ready and draining.
    """

    def __init__(
        self, clock: Clockwork, startup_s: float, gpus: int, make: Callable[[], R], pick: Choice
    ) -> None:
        """Begin without replicas; `make` builds one, `pick` chooses among the ready."""
        self._clock = clock
        self._startup_s = startup_s
        self._gpus = gpus
        self._make = make
        self._pick = pick
        self.ready: list[R] = []
        self.loads: list[float] = []
        self.starting: list[Start] = []
        self.draining: list[R] = []
        # Requests that found no ready replica at all, in order; and who takes them when one is.
        self.backlog: deque[int] = deque()
        self.on_ready: Callable[[float], None] = _nothing
        # Who is told of each replica that becomes ready.
        self.on_born: Callable[[float, R], None] = _nobody
        self._gpu_seconds = 0.0
        self._counted_s = 0.0

    @property
    def desired(self) -> int:
        """Replicas asked for: ready and starting."""
        return len(self.ready) + len(self.starting)

    def choose(self) -> R:
        """Return the replica for the next request; there must be a ready one."""
        return self.ready[self._pick(self.loads)]

    def open(self, replicas: int) -> None:
        """Have replicas ready from the beginning."""
        for _ in range(replicas):
            self._add(0.0)

    def scale(self, now_s: float, replicas: int) -> None:
        """Ask for a count of replicas, from `now_s` on; raises ValueError for a negative one."""
        if replicas < 0:
            raise ValueError(f"a pool cannot have {replicas} replicas")
        self._count(now_s)
        while self.desired < replicas:
            self._start(now_s)
        while self.desired > replicas and self.starting:
            self.starting.pop().cancelled = True
        while self.desired > replicas:
            self._drain(now_s, self.ready[-1])

    def gpu_seconds(self, now_s: float) -> float:
        """Return the GPU time taken from the start until `now_s`."""
        self._count(now_s)
        return self._gpu_seconds

    def holds(self, replica: R) -> bool:
        """Say if a replica is ready or draining: identity counts."""
        return any(other is replica for other in (*self.ready, *self.draining))

    def bury(self, now_s: float, replica: R) -> None:
        """Take a replica that died out of the pool, and start another in place of one that was ready."""
        self._count(now_s)
        if replica in self.draining:
            self.draining.remove(replica)
        else:
            del self.ready[replica.position], self.loads[replica.position]
            for position, other in enumerate(self.ready):
                other.position = position
            self._start(now_s)
        replica.loads, replica.position, replica.retire = [0.0], 0, None

    def _start(self, now_s: float) -> None:
        start = Start(now_s)
        self.starting.append(start)
        self._clock.schedule(now_s + self._startup_s, self._started, start)

    def _count(self, now_s: float) -> None:
        billed = len(self.ready) + len(self.starting) + len(self.draining)
        self._gpu_seconds += billed * self._gpus * (now_s - self._counted_s)
        self._counted_s = now_s

    def _started(self, now_s: float, start: Start) -> None:
        if start.cancelled:
            return
        self._count(now_s)
        self.starting.remove(start)
        self._add(now_s)
        self.on_ready(now_s)

    def _add(self, now_s: float) -> None:
        replica = self._make()
        replica.loads, replica.position = self.loads, len(self.ready)
        self.ready.append(replica)
        self.loads.append(0.0)
        self.on_born(now_s, replica)

    def _drain(self, now_s: float, replica: R) -> None:
        """Take the newest replica out of routing; positions of the others stay."""
        self.ready.pop()
        replica.loads, replica.position = [self.loads.pop()], 0
        self.draining.append(replica)

        def retire(at_s: float) -> None:
            self._count(at_s)
            self.draining.remove(replica)
            replica.retire = None

        replica.retire = retire
        if not replica.held:
            retire(now_s)


def _nothing(now_s: float) -> None:
    """Wait for nobody."""


def _nobody(now_s: float, replica: object) -> None:
    """Take no notice."""
