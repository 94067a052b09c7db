"""Obtain tokens of Microsoft Entra ID for what runs on Azure: agent pools, Azure Managed Prometheus."""

from typing import TYPE_CHECKING

from models.errors import ConfigError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential


def entra_credential(wanted_for: str) -> "TokenCredential":
    """Return what obtains tokens, and renews them, as Azure's own tools find an identity.

    In a pod with workload identity that is its federated service account; elsewhere the environment, a
    managed identity or a login of the command line. Nothing is asked before the first token is. Raises
    ConfigError, which names what it was `wanted_for`, without the optional packages.
    """
    try:
        from azure.identity import DefaultAzureCredential
    except ModuleNotFoundError:
        raise ConfigError(
            f"{wanted_for} needs packages that are not installed: pip install 'headgate[azure]'"
        ) from None
    return DefaultAzureCredential()
