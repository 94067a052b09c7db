"""Find the cluster that a person means: a kubeconfig and its context, or the pod's own service account."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ConfigError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, Configuration

SERVICE_ACCOUNT = "HEADGATE_SERVICE_ACCOUNT"
"""Names another folder with `token`, `ca.crt` and `namespace` than the one that the kubelet mounts."""

MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True, slots=True)
class Access:
    """Hold a client of an API server, the namespace that goes with it, and how both were found."""

    client: "ApiClient"
    namespace: str
    found: str


def kubernetes_access(
    kubeconfig: Path | None = None, context: str | None = None, environ: Mapping[str, str] | None = None
) -> Access:
    """Return access as kubectl finds it: the named kubeconfig, `KUBECONFIG`, ~/.kube/config, the pod's own.

    `environ` stands in for the process's environment. Raises ConfigError when there is none that is usable.
    """
    variables = os.environ if environ is None else environ
    if kubeconfig is not None:
        return _from_file(str(kubeconfig), [kubeconfig], context)
    named = variables.get("KUBECONFIG", "")
    files = [Path(part) for part in named.split(os.pathsep) if part] or [Path.home() / ".kube" / "config"]
    if any(file.is_file() for file in files):
        return _from_file(os.pathsep.join(map(str, files)), files, context)
    if named:
        raise ConfigError(f"KUBECONFIG names {named}, and there is no such file")
    if context is not None:
        raise ConfigError(f"--context {context} needs a kubeconfig, and there is none at {files[0]}")
    folder = Path(variables.get(SERVICE_ACCOUNT) or MOUNTED)
    if "KUBERNETES_SERVICE_HOST" in variables:
        return _from_service_account(folder, variables)
    raise ConfigError(
        f"no cluster to talk to: there is no kubeconfig at {files[0]}, KUBECONFIG is not set, and this is "
        "no pod (KUBERNETES_SERVICE_HOST is not set); name one with --kubeconfig"
    )


def _from_file(names: str, files: list[Path], context: str | None) -> Access:
    import yaml
    from kubernetes import config
    from kubernetes.config import ConfigException

    absent = [str(file) for file in files if not file.is_file()]
    if len(absent) == len(files):
        raise ConfigError(f"{names}: no such kubeconfig")
    try:
        contexts, active = config.list_kube_config_contexts(config_file=names)
    except (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{names}: is not a kubeconfig: {_first_line(error)}") from None
    known = {each["name"]: each for each in contexts}
    chosen = known.get(context) if context is not None else active
    if chosen is None:
        raise ConfigError(f"{names}: no context {context!r}; there is {', '.join(sorted(known)) or 'none'}")
    try:
        client = config.new_client_from_config(
            config_file=names, context=chosen["name"], client_configuration=_configuration()
        )
    except (ConfigException, OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{names}: context {chosen['name']}: {_first_line(error)}") from None
    namespace = chosen.get("context", {}).get("namespace") or "default"
    return Access(client, namespace, f"context {chosen['name']} of {names}")


def _from_service_account(folder: Path, environ: Mapping[str, str]) -> Access:
    from kubernetes.client import ApiClient
    from kubernetes.config import ConfigException
    from kubernetes.config.incluster_config import InClusterConfigLoader

    configuration = _configuration()
    loader = InClusterConfigLoader(
        token_filename=str(folder / "token"), cert_filename=str(folder / "ca.crt"), environ=environ
    )
    try:
        loader.load_and_set(configuration)
        namespace = (folder / "namespace").read_text(encoding="utf-8").strip()
    except (ConfigException, OSError) as error:
        raise ConfigError(
            f"this pod has no usable service account in {folder}: {_first_line(error)}; "
            "is automountServiceAccountToken off?"
        ) from None
    return Access(ApiClient(configuration), namespace or "default", f"the service account in {folder}")


def _configuration() -> "Configuration":
    """Return how to speak to a server: a reading request that was cut off is sent once more.

    By default three more are sent, each with the whole patience, and a server that asks to be left alone for
    an hour (Retry-After) is obeyed inside the request.
    """
    from kubernetes.client import Configuration
    from urllib3 import Retry

    configuration = Configuration()
    configuration.retries = Retry(total=1, status=0, redirect=0, respect_retry_after_header=False)
    return configuration


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
