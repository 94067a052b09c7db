"""Run a real Prometheus on samples of our own, on the loopback and in a folder of its own."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests import components
from tests.integration import loopback


def load(texts: Sequence[Path], data: Path) -> None:
    """Turn OpenMetrics text into blocks."""
    for text in texts:
        promtool = str(components.promtool())
        command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(text), str(data)]
        made = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert made.returncode == 0, made.stderr


@contextmanager
def serving(
    data: Path, folder: Path, scraped: Mapping[str, str] | None = None, every_s: int = 1
) -> Iterator[str]:
    """Serve a folder of blocks until the caller is done; yields the base URL.

    `scraped` names targets (HOST:PORT) by their job, which are scraped from now on, `every_s` seconds.
    """
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    jobs = [
        {"job_name": job, "scrape_interval": f"{every_s}s", "static_configs": [{"targets": [target]}]}
        for job, target in (scraped or {}).items()
    ]
    config.write_text(json.dumps({"scrape_configs": jobs}))
    port = loopback.free_port()
    command = [
        str(components.prometheus()),
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        # Samples are of another year; the default keeps 15 days.
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_until_ready(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"Prometheus did not become ready:\n{log.read_text()}")
