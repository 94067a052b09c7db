"""Ask a Prometheus API for stored samples; the one place that speaks its HTTP protocol.

Every failure becomes one ObserveError whose message says which server, what it did and what to do. What
an answer lacks (samples that are not finite, warnings of the server) is collected beside the samples.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import ObserveError
from models.policy import PrometheusPolicy
from planner.observe.queries import Chunk
from planner.observe.samples import Samples, parse

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect
    from requests import PreparedRequest, RequestException, Response

# Further attempts wait this long and then twice as long each time: together well within a tick.
BACKOFF_S = 0.5

# Answers that a second attempt may not share: overload and gateways without a server behind them.
RETRIED = frozenset({408, 429, 500, 502, 503, 504})

_ADVICE = {
    401: "check prometheus.bearer_token_file, prometheus.entra and prometheus.headers",
    403: "the token may not query: check its permissions",
    404: "prometheus.url is not the base of a Prometheus API",
    422: "the query was refused",
    429: "the server limits queries; lengthen the interval",
}


@dataclass(slots=True)
class Notes:
    """Collect what was wrong with answers that could be used all the same."""

    not_finite: int = 0
    warnings: list[str] = field(default_factory=list)


class _RefusalError(Exception):
    """Carry an answer that is no result: HTTP status (200 for a broken body) and what it said."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class PrometheusServer:
    """Query one Prometheus API with a time limit, bounded retries and a token that is read anew."""

    def __init__(
        self,
        policy: PrometheusPolicy,
        sleep: Callable[[float], None] = time.sleep,
        token: Callable[[], str] | None = None,
        asked: Callable[[bool], None] = lambda _: None,
        renew: Callable[[], bool] = lambda: False,
    ) -> None:
        """Connect lazily; `sleep` waits between attempts, in seconds.

        `token` gives a bearer token for each query in place of a file; it raises ObserveError without one.
        `asked` hears of each query that ended, and whether it was answered usably. `renew` throws away a
        token that was refused, and says whether it is worth while to ask again.
        """
        self._token = token
        self._renew = renew
        self._policy = policy
        self._asked = asked
        self._sleep = sleep
        self._client: PrometheusConnect | None = None
        self.notes = Notes()

    @property
    def url(self) -> str:
        """The server's base URL."""
        return self._policy.url

    def forget_notes(self) -> Notes:
        """Return the notes collected since the last call, and begin anew."""
        notes, self.notes = self.notes, Notes()
        return notes

    def instant(self, query: str, at_s: float) -> list[Samples]:
        """Evaluate a query at one moment (Unix seconds); a range selector gives raw samples.

        Raises ObserveError when the server does not answer usably.
        """
        return self._ask(lambda client: client.custom_query(query, params={"time": f"{at_s:.3f}"}), 0.0)

    def range(self, query: str, chunk: Chunk) -> list[Samples]:
        """Evaluate a query at every step of a chunk; raises ObserveError like `instant`."""
        start, end = (datetime.fromtimestamp(s, UTC) for s in (chunk.start_s, chunk.end_s))
        return self._ask(
            lambda client: client.custom_query_range(query, start, end, str(chunk.step_s)), chunk.step_s
        )

    def _ask(self, query: Callable[["PrometheusConnect"], Any], step_s: float) -> list[Samples]:
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from requests import RequestException

        for attempt in range(self._policy.retries + 1):
            final = attempt == self._policy.retries
            try:
                found, dropped = self._query(query, step_s)
            except _RefusalError as refusal:
                if final or refusal.status not in RETRIED:
                    raise ObserveError(self._refusal(refusal)) from None
            except RequestException as error:
                if final:
                    raise ObserveError(self._unreachable(error)) from None
            except OSError as error:
                # Before anything was sent: the library found no file of certificates.
                raise ObserveError(
                    f"Prometheus at {self.url} cannot be asked: {error}; check prometheus.tls.ca_file"
                ) from None
            except (PrometheusApiClientException, KeyError, TypeError, ValueError):
                raise ObserveError(
                    f"Prometheus at {self.url} sent an answer that is not its API's; check prometheus.url"
                ) from None
            else:
                self.notes.not_finite += dropped
                return found
            self._sleep(BACKOFF_S * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _query(self, query: Callable[["PrometheusConnect"], Any], step_s: float) -> tuple[list[Samples], int]:
        try:
            return self._once(query, step_s)
        except _RefusalError as refusal:
            if refusal.status != 401 or not self._renew():
                raise
        return self._once(query, step_s)

    def _once(self, query: Callable[["PrometheusConnect"], Any], step_s: float) -> tuple[list[Samples], int]:
        fine = False
        try:
            answer = parse(query(self._connected()), step_s)
            fine = True
        finally:
            self._asked(fine)
        return answer

    def _connected(self) -> "PrometheusConnect":
        if self._client is None:
            from prometheus_api_client import PrometheusConnect
            from requests import Session
            from requests.adapters import HTTPAdapter

            session = Session()
            session.verify = self._policy.ca_file or self._policy.verify
            session.hooks["response"].append(self._inspect)
            self._client = PrometheusConnect(
                self.url,
                headers=dict(self._policy.headers),
                auth=self._authorise,
                session=session,
                timeout=self._policy.timeout_s,
            )
            # The library's own retries know no limit in time and hide what the server said.
            session.mount(self.url, HTTPAdapter(max_retries=0))
        return self._client

    def _authorise(self, request: "PreparedRequest") -> "PreparedRequest":
        """Add the token as it stands in its file now, or is handed out: it is replaced while we run."""
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token()}"
        elif self._policy.bearer_token_file is not None:
            path = Path(self._policy.bearer_token_file)
            try:
                token = path.read_text(encoding="ascii").strip()
            except (OSError, ValueError) as error:
                raise ObserveError(f"{path}: the bearer token cannot be read: {error}") from None
            if not token.isprintable() or not token:
                raise ObserveError(f"{path}: holds no bearer token: one line of printable text")
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    def _inspect(self, response: "Response", *_: object, **__: object) -> "Response":
        """Turn an answer that is no result into a refusal, and keep the warnings of one that is."""
        if response.is_redirect:
            return response
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise _RefusalError(response.status_code, "")
        if response.status_code != 200 or body.get("status") != "success":
            raise _RefusalError(response.status_code, str(body.get("error", ""))[:300])
        warnings = body.get("warnings") or []
        self.notes.warnings += [str(w)[:300] for w in warnings if str(w)[:300] not in self.notes.warnings]
        return response

    def _refusal(self, refusal: _RefusalError) -> str:
        said = f": {refusal.text}" if refusal.text else ""
        if refusal.status == 200:
            return (
                f"Prometheus at {self.url} sent an answer that is not its API's{said}; check prometheus.url"
            )
        advice = _ADVICE.get(refusal.status, "see the server's own log")
        return f"Prometheus at {self.url} answered {refusal.status}{said}; {advice}"

    def _unreachable(self, error: "RequestException") -> str:
        from requests import Timeout
        from requests.exceptions import SSLError

        if isinstance(error, Timeout):
            limit_s = self._policy.timeout_s
            return (
                f"Prometheus at {self.url} did not answer within {limit_s:g} s; "
                "see its load, or lengthen prometheus.timeout"
            )
        if isinstance(error, SSLError):
            return f"Prometheus at {self.url}: its certificate was not accepted; check prometheus.tls.ca_file"
        return f"Prometheus at {self.url} cannot be reached; check prometheus.url and that it runs"
