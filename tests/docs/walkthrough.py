"""Follow the README in a folder of its own: run each command as it stands, and keep what it said."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.components import REPOSITORY
from tests.docs.readme import Command

# What a command may need of the clone; the programs themselves are on the PATH.
CLONED = ("Makefile", "pyproject.toml", "requirements.txt", "requirements-build.txt", "requirements-dev.txt")
PATIENCE_S = 100.0
README_ENDPOINT = "http://localhost:8000"


@dataclass(frozen=True)
class Ran:
    """What came of a command: its exit code and all that it wrote."""

    exit_code: int
    output: str


class Walk:
    """Hold a clone, and where in it the reader stands."""

    def __init__(self, folder: Path, prometheus_url: str, endpoint_url: str) -> None:
        """Lay out the clone; the two URLs stand for those that the README names."""
        self._clone = self._here = folder / "clone"
        self._stood = folder / "stood"
        self._url, self._endpoint = prometheus_url, endpoint_url
        shutil.copytree(REPOSITORY / "config/examples", self._clone / "config/examples")
        for name in CLONED:
            shutil.copy(REPOSITORY / name, self._clone / name)

    def run(self, command: Command) -> Ran:
        """Run one command as a reader's shell would."""
        if command.words[0] == "make":
            return self._make(command)
        if command.words[:2] == ["headgate", "run"]:
            return self._until_a_tick(command)
        # Of one command's shell only the place is kept for the next.
        text = command.text.replace(README_ENDPOINT, self._endpoint)
        script = f"{text}pwd > '{self._stood}'"
        ran = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self._here,
            env=self._environment(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if ran.returncode == 0:
            self._here = Path(self._stood.read_text().strip())
        return Ran(ran.returncode, ran.stdout)

    def _environment(self, command: Command) -> dict[str, str]:
        programs = Path(sys.executable).parent
        found = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "80"}
        return {**found, "HEADGATE_PROMETHEUS__URL": self._url} if command.live else found

    def _make(self, command: Command) -> Ran:
        """Ask make what it would do; for a target that does not exist it fails."""
        ran = subprocess.run(
            ["make", "--dry-run", *command.words[1:]],
            cwd=self._clone,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout)

    def _until_a_tick(self, command: Command) -> Ran:
        """Run the loop until its first tick is in the journal, then stop it as Kubernetes would."""
        log = self._stood.with_name("run.log")
        with log.open("w") as out:
            running = subprocess.Popen(
                ["bash", "-c", f"exec {command.text}"],
                cwd=self._here,
                env=self._environment(command),
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            try:
                ticked = self._ticks(running)
                running.send_signal(signal.SIGTERM)
                code = running.wait(timeout=30)
            finally:
                running.kill()
                running.wait()
        return Ran(code if ticked else code or 1, log.read_text())

    def _ticks(self, running: "subprocess.Popen[bytes]") -> bool:
        """Wait for the first line of the journal; false when the program ends without one, or time is up."""
        deadline = time.monotonic() + PATIENCE_S
        while running.poll() is None and time.monotonic() < deadline:
            if any(file.stat().st_size for file in self._here.glob("journal/*.jsonl")):
                return True
            time.sleep(0.1)
        return False
