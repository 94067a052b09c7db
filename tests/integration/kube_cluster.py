"""Ask things of a test cluster as its administrator, and make identities that may do less."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tests.integration import certificates, loopback

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Rule = Mapping[str, Sequence[str]]
"""A rule of a Role: `apiGroups`, `resources`, `verbs`, and `resourceNames` where it names objects."""

_RBAC = "rbac.authorization.k8s.io"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running API server; `folder` holds its certificates and the kubeconfigs."""

    url: str
    folder: Path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, with a client certificate of the group system:masters."""
        return self.folder / "admin.kubeconfig"

    def client(self, kubeconfig: Path | None = None) -> "ApiClient":
        """Return a client with these credentials, the administrator's unless told; close it after use."""
        from kubernetes import config

        made: ApiClient = config.new_client_from_config(str(kubeconfig or self.kubeconfig))
        return made

    def send(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> requests.Response:
        """Send one request as the administrator and return the answer, whatever its status."""
        return requests.request(
            method,
            self.url + path,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
            cert=(str(self.folder / "admin.crt"), str(self.folder / "admin.key")),
            verify=str(self.folder / "ca.crt"),
            timeout=30,
        )

    def request(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> Any:
        """Send one request as the administrator and return the parsed answer; an error fails the test."""
        answer = self.send(method, path, body, content_type)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def make_namespace(self, prefix: str = "test") -> str:
        """Create a namespace of a name of its own, `<prefix>-xxxxx`, and return that; it stays."""
        made = self.request("POST", "/api/v1/namespaces", {"metadata": {"generateName": f"{prefix}-"}})
        return str(made["metadata"]["name"])

    def make_service_account(self, namespace: str, name: str, rules: Sequence[Rule]) -> Path:
        """Create a ServiceAccount bound to a Role of these rules; return a kubeconfig with a token of it."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.request("POST", accounts, {"metadata": {"name": name}})
        self._bind(namespace, name, {"kind": "ServiceAccount", "name": name, "namespace": namespace}, rules)
        return self.write_account(namespace, name)

    def write_account(self, namespace: str, name: str) -> Path:
        """Write a kubeconfig with a token of a ServiceAccount that is there."""
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        token = self.request("POST", path, asked)["status"]["token"]
        return self.write_kubeconfig(f"{namespace}-{name}", {"token": token}, namespace)

    def make_user(self, namespace: str, name: str, rules: Sequence[Rule]) -> Path:
        """Bind a person to a Role of these rules; return a kubeconfig with a client certificate of theirs."""
        certificates.issue_client(self.folder, name, user=name)
        self._bind(namespace, name, {"apiGroup": _RBAC, "kind": "User", "name": name}, rules)
        return self.write_kubeconfig(f"{namespace}-{name}", self.certificate(name), namespace)

    def make_definition(self, definition: Mapping[str, Any]) -> None:
        """Apply a CustomResourceDefinition and wait until each of its versions is served."""
        name, spec = definition["metadata"]["name"], definition["spec"]
        path = f"{_DEFINITIONS}/{name}?fieldManager=tests&force=true"
        # Server-side: two test files may bring the same one, and large ones do not fit an annotation.
        self.request("PATCH", path, definition, content_type="application/apply-patch+yaml")

        # `Established` comes first; the paths answer 404 for a moment more.
        def served() -> bool:
            status = self.request("GET", f"{_DEFINITIONS}/{name}").get("status", {})
            conditions = status.get("conditions") or []
            held = {entry["type"] for entry in conditions if entry["status"] == "True"}
            paths = (f"/apis/{spec['group']}/{v['name']}" for v in spec["versions"] if v["served"])
            return "Established" in held and all(
                self.send("GET", f"{path}/{spec['names']['plural']}").ok for path in paths
            )

        loopback.wait_until(f"{name} is served", served, timeout_s=30)

    def certificate(self, name: str) -> Mapping[str, str]:
        """Return a kubeconfig's `user` for a certificate that was issued into the folder."""
        files = {"client-certificate": "crt", "client-key": "key"}
        return {key: str(self.folder / f"{name}.{ending}") for key, ending in files.items()}

    def write_kubeconfig(self, name: str, user: Mapping[str, str], namespace: str) -> Path:
        """Write a kubeconfig with one context; JSON is YAML."""
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "ca.crt")}
        context = {"cluster": "test", "user": name, "namespace": namespace}
        path = self.folder / f"{name}.kubeconfig"
        text = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        path.write_text(json.dumps(text, indent=2))
        return path

    def _bind(self, namespace: str, name: str, subject: Mapping[str, str], rules: Sequence[Rule]) -> None:
        path, meta = f"/apis/{_RBAC}/v1/namespaces/{namespace}", {"metadata": {"name": name}}
        self.request("POST", f"{path}/roles", {**meta, "rules": rules})
        reference = {"apiGroup": _RBAC, "kind": "Role", "name": name}
        self.request("POST", f"{path}/rolebindings", {**meta, "subjects": [subject], "roleRef": reference})
