"""Start, watch and stop the server processes that tests talk to, on the loopback."""

import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Server:
    """A running program and where its output goes."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def check(self) -> None:
        """Fail the test, showing the log's end, where the program is gone."""
        code = self.process.poll()
        assert code is None, f"{self.name} ended with {code}:\n{self.log_end()}"

    def log_end(self, lines: int = 40) -> str:
        """Return the last lines that the program wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def start(
    name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> Server:
    """Start a program in a folder, its output in `<name>.log` there; `environment` adds to our own."""
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    return Server(name, process, log)


def stop(servers: Sequence[Server], patience_s: float = 10.0) -> None:
    """Ask all of them to end at once, then end those that did not."""
    for server in servers:
        if server.process.poll() is None:
            server.process.terminate()
    deadline = time.monotonic() + patience_s
    for server in servers:
        try:
            server.process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait(timeout=patience_s)


def wait_until(
    what: str,
    holds: Callable[[], bool],
    servers: Sequence[Server] = (),
    timeout_s: float = 60.0,
    every_s: float = 0.05,
) -> None:
    """Wait until a condition holds; fail early where one of the servers dies, and say what was waited for.

    An `OSError` of the condition counts as "not yet": nobody listens so far.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for server in servers:
            server.check()
        try:
            if holds():
                return
        except OSError:
            pass
        time.sleep(every_s)
    logs = "\n".join(f"-- {server.name}:\n{server.log_end()}" for server in servers)
    raise AssertionError(f"{what}: not within {timeout_s:g} s\n{logs}")


def free_port() -> int:
    """Return a TCP port that nobody listens on.

    It lies below the range from which Linux gives ports to outgoing connections (from 32768), so that none of
    those takes it before the server does. Random, because test processes run side by side.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_768), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free TCP port on the loopback")
