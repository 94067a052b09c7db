"""How a pod of the sweep ends: 2 for what another try would not mend."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).parent / "headgate-profiler"


def test_wrong_inputs_end_with_the_code_that_the_job_does_not_retry(tmp_path: Path) -> None:
    ended = subprocess.run(
        [PROGRAM, "sweep-shard", "--name", "small", "--namespace", "lab"],
        env={"HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("Error: no cluster to talk to")


def test_a_cluster_that_does_not_answer_ends_with_the_code_that_is_retried(tmp_path: Path) -> None:
    for name in ("token", "ca.crt", "namespace"):
        (tmp_path / name).write_text("x")
    environ = {
        "HOME": str(tmp_path),
        "PATH": "",
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": "9",
        "HEADGATE_SERVICE_ACCOUNT": str(tmp_path),
    }

    ended = subprocess.run(
        [PROGRAM, "sweep-shard", "--name", "small", "--namespace", "lab"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("Error: https://127.0.0.1:9 ")
