"""Obtain tokens of Microsoft Entra ID for what runs on Azure: agent pools, Azure Managed Prometheus."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from models.errors import ConfigError, ObserveError

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

# A token is renewed this long before it ends, so that none ends on its way.
EARLY_S = 300.0
# One that is refused when it is younger than this lacks rights, which no other token would have.
YOUNG_S = 60.0


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


class EntraTokens:
    """Hand out tokens of one scope; each is kept until shortly before it ends, or is refused."""

    def __init__(
        self, identity: Callable[[], "TokenCredential"], scope: str, now_s: Callable[[], float] = time.time
    ) -> None:
        """Bind an identity; nothing is asked before the first token is. `now_s` tells Unix seconds."""
        self._identity, self._scope, self._now_s = identity, scope, now_s
        self._credential = identity()
        self._token: AccessToken | None = None
        self._since_s = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """Return a token that is good for a while; raises ObserveError where the identity gets none."""
        from azure.core.exceptions import AzureError

        with self._lock:
            if self._token is None or self._token.expires_on - self._now_s() <= EARLY_S:
                try:
                    self._token = self._credential.get_token(self._scope)
                    self._since_s = self._now_s()
                except AzureError as error:
                    if self._token is not None and self._token.expires_on > self._now_s():
                        return (
                            self._token.token
                        )  # good for minutes more, and asked for again at the next query
                    said = (str(error).strip() or type(error).__name__).splitlines()[0]
                    raise ObserveError(
                        f"Microsoft Entra ID gives no token for {self._scope}: {said}; check that the pod's "
                        "service account has workload identity, and that it may read the workspace "
                        "(Monitoring Data Reader)"
                    ) from None
            return str(self._token.token)

    def renew(self) -> bool:
        """Throw a refused token away; `False` where it was young, and another would be refused as well."""
        with self._lock:
            if self._token is None or self._now_s() - self._since_s < YOUNG_S:
                return False
            # The identity keeps tokens too: one that is made anew has none.
            self._credential, self._token = self._identity(), None
            return True

    def __repr__(self) -> str:
        """Show what tokens are for, and none of them."""
        return f"EntraTokens({self._scope!r})"
