"""Read and resize an agent pool of AKS through the Azure API; what Azure refuses is a value, never raised.

No call waits for an operation: it is begun, and its end is seen in the pool's state at a later look.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from models.errors import ConfigError
from models.nodes import AgentPoolPolicy, NodeState
from planner.act.agent_pool_state import AgentPool, Refusal, refusal_of

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

CONNECT_S, READ_S = 10.0, 30.0


class AksAgentPool:
    """Implement the pool that `PoolNodes` keeps with azure-mgmt-containerservice."""

    def __init__(
        self, policy: AgentPoolPolicy, credential: "TokenCredential", ca_file: str | None = None
    ) -> None:
        """Prepare; nothing is asked before the first look. Raises ConfigError without the azure extra.

        `ca_file` holds the authority of an endpoint with a certificate of its own.
        """
        try:
            from azure.mgmt.containerservice import ContainerServiceClient
        except ModuleNotFoundError:
            raise ConfigError(
                f"{policy} needs packages that are not installed: pip install 'headgate[azure]'"
            ) from None
        self.policy = policy
        trusted: dict[str, Any] = {} if ca_file is None else {"connection_verify": ca_file}
        self._client: Any = ContainerServiceClient(
            credential,
            policy.subscription,
            policy.endpoint,
            credential_scopes=[f"{policy.endpoint}/.default"],
            # A tick must not sleep through a Retry-After: it is kept to by asking later.
            retry_total=0,
            connection_timeout=CONNECT_S,
            read_timeout=READ_S,
            **trusted,
        )
        self._operation: str | None = None

    def look(self) -> AgentPool | Refusal:
        """Return the pool as it is now, with what went wrong in the last change of it."""
        with _refused() as refused:
            found = self._client.agent_pools.get(*self._names())
        if refused:
            return refused[0]
        properties = found["properties"]
        state = str(properties.get("provisioningState") or "")
        error = (properties.get("status") or {}).get("provisioningError") or {}
        if state in ("Failed", "Canceled") and not error:
            error = self._error_of_operation()
        return AgentPool(
            count=int(properties.get("count") or 0),
            autoscaled=bool(properties.get("enableAutoScaling")),
            min_count=properties.get("minCount"),
            max_count=properties.get("maxCount"),
            state=state,
            code=str(error.get("code") or ""),
            message=str(error.get("message") or ""),
            raw=found,
        )

    def resize(self, pool: AgentPool, count: int) -> Refusal | None:
        """Begin to give the pool so many nodes: `count`, or `minCount` where its own autoscaler is on.

        Writes back what was read with that one figure changed. A pool that was changed meanwhile is not.
        """
        from azure.core import MatchConditions

        properties = pool.raw["properties"]
        key = "minCount" if pool.autoscaled else "count"
        wanted = {**pool.raw, "properties": {**properties, key: count}}
        tag = properties.get("eTag")
        guarded = {} if tag is None else {"etag": tag, "match_condition": MatchConditions.IfNotModified}
        with _refused() as refused:
            self._client.agent_pools.begin_create_or_update(
                *self._names(), _writable(wanted), polling=False, raw_response_hook=self._remember, **guarded
            )
        return refused[0] if refused else None

    def delete(self, machines: Sequence[str]) -> Refusal | None:
        """Begin to delete machines by their names; the pool's count goes down with them."""
        with _refused() as refused:
            self._client.agent_pools.begin_delete_machines(
                *self._names(),
                _machines(machines),
                polling=False,
                raw_response_hook=self._remember,
            )
        return refused[0] if refused else None

    def _names(self) -> tuple[str, str, str]:
        return self.policy.resource_group, self.policy.cluster, self.policy.pool

    def _remember(self, answered: Any) -> None:
        """Keep where the operation that an answer began can be asked about: on the API itself, or nowhere."""
        address = answered.http_response.headers.get("Azure-AsyncOperation")
        if address is None:
            return
        mine, its = urlsplit(self.policy.endpoint), urlsplit(address)
        # A token goes only to where it was meant for.
        same = (mine.scheme, mine.netloc.lower()) == (its.scheme, its.netloc.lower())
        self._operation = address if same else None

    def _error_of_operation(self) -> dict[str, Any]:
        """Return what the operation says of its end, where the pool itself does not."""
        from azure.core.rest import HttpRequest

        if self._operation is None:
            return {}
        with _refused() as refused:
            answer = self._client.send_request(HttpRequest("GET", self._operation))
            said: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        if refused:
            return {}
        error = said.get("error")
        return error if isinstance(error, dict) else {}


def _writable(pool: dict[str, Any]) -> Any:
    from azure.mgmt.containerservice.models import AgentPool as Written

    return Written(pool)


def _machines(names: Sequence[str]) -> Any:
    from azure.mgmt.containerservice.models import AgentPoolDeleteMachinesParameter

    return AgentPoolDeleteMachinesParameter(machine_names=list(names))


@contextmanager
def _refused() -> Iterator[list[Refusal]]:
    """Turn what the client raises into a refusal, put into the list that is given."""
    from azure.core.exceptions import AzureError, HttpResponseError

    found: list[Refusal] = []
    try:
        yield found
    except HttpResponseError as error:
        found.append(_of_answer(error))
    except AzureError as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        found.append(Refusal(NodeState.UNREACHABLE, f"Azure does not answer: {said}"))


def _of_answer(error: Any) -> Refusal:
    """Read the status, the code and the message of an answer that refuses."""
    told = getattr(error, "error", None)
    code = str(getattr(told, "code", "") or "")
    message = str(getattr(told, "message", "") or error.reason or "no reason given")
    headers = {} if error.response is None else error.response.headers
    return refusal_of(int(error.status_code or 0), code, message, headers.get("Retry-After"))
