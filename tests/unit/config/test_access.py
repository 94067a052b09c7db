"""Which cluster a person means: flags, environment, the pod's own account, in that order."""

import json
from pathlib import Path

import pytest

from config.access import kubernetes_access
from models.errors import ConfigError


def kubeconfig(folder: Path, name: str = "config", **contexts: str) -> Path:
    """Write a kubeconfig with a context per server."""
    contexts = contexts or {"lab": "https://lab.example"}
    text = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": n, "cluster": {"server": s}} for n, s in contexts.items()],
        "users": [{"name": "me", "user": {"token": "secret-token"}}],
        "contexts": [
            {"name": n, "context": {"cluster": n, "user": "me", "namespace": f"{n}-ns"}} for n in contexts
        ],
        "current-context": next(iter(contexts)),
    }
    path = folder / name
    path.write_text(json.dumps(text))
    return path


def account(folder: Path) -> dict[str, str]:
    """Lay out a service account as the kubelet mounts it; return the pod's environment."""
    for name, text in {"token": "pod-token", "ca.crt": "-", "namespace": "pods-own\n"}.items():
        (folder / name).write_text(text)
    host = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    return {**host, "HEADGATE_SERVICE_ACCOUNT": str(folder)}


@pytest.fixture(autouse=True)
def _no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_the_current_context_gives_server_and_namespace(tmp_path: Path) -> None:
    access = kubernetes_access(kubeconfig(tmp_path), None, {})

    assert access.client.configuration.host == "https://lab.example"
    assert access.namespace == "lab-ns"


def test_a_named_context_wins(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, lab="https://lab.example", live="https://live.example")

    assert kubernetes_access(path, "live", {}).client.configuration.host == "https://live.example"


def test_the_variable_is_read_before_the_pods_account(tmp_path: Path) -> None:
    environ = {**account(tmp_path), "KUBECONFIG": str(kubeconfig(tmp_path))}

    assert kubernetes_access(None, None, environ).client.configuration.host == "https://lab.example"


def test_a_pod_uses_its_own_account(tmp_path: Path) -> None:
    access = kubernetes_access(None, None, account(tmp_path))

    assert access.client.configuration.host == "https://10.0.0.1:443"
    assert access.client.configuration.api_key == {"BearerToken": "bearer pod-token"}
    assert access.namespace == "pods-own"


@pytest.mark.parametrize(
    ("text", "context", "said"),
    [
        (None, None, "no such kubeconfig"),
        ("just words", None, "is not a kubeconfig"),
        ("{a: [", None, "is not a kubeconfig"),
        ("good", "lvie", "no context 'lvie'; there is lab"),
    ],
)
def test_an_unusable_kubeconfig_says_why(
    tmp_path: Path, text: str | None, context: str | None, said: str
) -> None:
    path = kubeconfig(tmp_path) if text == "good" else tmp_path / "other"
    if text not in (None, "good"):
        path.write_text(str(text))

    with pytest.raises(ConfigError, match=said):
        kubernetes_access(path, context, {})


def test_nowhere_to_go_says_what_was_looked_at() -> None:
    with pytest.raises(
        ConfigError, match=r"no kubeconfig at .*config, KUBECONFIG is not set, and this is no pod"
    ):
        kubernetes_access(None, None, {})


def test_a_pod_without_an_account_says_so(tmp_path: Path) -> None:
    environ = account(tmp_path)
    (tmp_path / "token").unlink()

    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        kubernetes_access(None, None, environ)


def test_a_token_is_in_no_message_or_repr(tmp_path: Path) -> None:
    access = kubernetes_access(kubeconfig(tmp_path), None, {})

    assert "secret-token" not in repr(access)
