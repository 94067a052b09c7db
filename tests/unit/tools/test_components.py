"""Servers that tests need are looked for where it is documented, and their absence is told with a remedy."""

import os
import subprocess
from pathlib import Path

import pytest

from tests import components

TOOLS = components.REPOSITORY / "tests" / "tools"
SKIPPED: type[BaseException] = pytest.skip.Exception
FAILED: type[BaseException] = pytest.fail.Exception


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give an empty cache, on a machine that names nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("KUBEBUILDER_ASSETS", "HEADGATE_REQUIRE_COMPONENTS", "CI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "headgate"


def _put(folder: Path, *names: str, mode: int = 0o755) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch(mode)
    return folder


@pytest.mark.parametrize(
    ("component", "remedy"),
    [
        (components.kube_assets, "tests/tools/build-kube-apiserver"),
        (components.dynamo, "tests/tools/make-dynamo-environment"),
        (components.peers, "tests/tools/make-peers-environment"),
    ],
)
def test_an_absent_server_skips_with_its_remedy_and_fails_where_required(
    component: object, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(component)
    with pytest.raises(SKIPPED, match=remedy):
        component()
    monkeypatch.setenv("HEADGATE_REQUIRE_COMPONENTS", "1")
    with pytest.raises(FAILED, match=remedy):
        component()
    assert os.access(components.REPOSITORY / remedy, os.X_OK)


def test_an_api_server_is_found_in_the_cache_unless_one_is_named(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = _put(elsewhere / "kube", "kube-apiserver", "etcd")
    assert components.kube_assets() == built

    named = _put(tmp_path / "newer", "kube-apiserver")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(named))
    with pytest.raises(SKIPPED, match="newer"):
        components.kube_assets()
    _put(named, "etcd")
    assert components.kube_assets() == named


def test_a_half_made_dynamo_is_absent(elsewhere: Path) -> None:
    environment = elsewhere / "dynamo-1.4.2"
    python = _put(environment / "bin", "python") / "python"
    with pytest.raises(SKIPPED, match="Dynamo not found"):
        components.dynamo()
    # The script copies the pins last.
    _put(environment, "pins.txt", mode=0o644)
    assert components.dynamo() == python


@pytest.mark.parametrize("script", ["build-kube-apiserver", "make-dynamo-environment"])
def test_a_script_prints_what_is_there_and_builds_nothing(script: str, elsewhere: Path) -> None:
    kube = _put(elsewhere / "kube", "kube-apiserver", "etcd")
    dynamo = _put(elsewhere / "dynamo-1.4.2")
    (dynamo / "pins.txt").write_text((TOOLS / "dynamo-requirements.txt").read_text())

    ran = subprocess.run([TOOLS / script], capture_output=True, text=True, timeout=30, check=True)

    expected = {"build-kube-apiserver": kube, "make-dynamo-environment": dynamo}[script]
    assert ran.stdout == f"{expected}\n"
    assert ran.stderr == ""
    assert sorted(path.name for path in elsewhere.rglob("*")) == sorted(
        ["kube", "kube-apiserver", "etcd", "dynamo-1.4.2", "pins.txt"]
    )


def test_dynamo_is_pinned_with_hashes_and_names_no_index() -> None:
    lines = (TOOLS / "dynamo-requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith((" ", "#"))]

    assert [line for line in pins if "==" not in line or not line.endswith("\\")] == []
    assert any(line.startswith("ai-dynamo==1.4.2 ") for line in pins)
    assert [line for line in lines if "://" in line or line.startswith("-")] == []
