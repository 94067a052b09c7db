"""Say in the configuration where demand is read from and where records are kept."""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PlainSerializer, SecretStr, model_validator

from config.classes import Labels
from config.metrics import presets
from config.quantities import Count, Duration, Place
from config.section import Section, refuse
from models.errors import ConfigError
from models.policy import JournalPolicy, PrometheusPolicy

MASK = "********"
"""What stands in place of a secret, in messages and in `config show`."""

_ACCESS = PrometheusPolicy("", "")
_JOURNAL = JournalPolicy("")


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("is not a URL; write for example http://prometheus:9090") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise ValueError("is not a URL; write for example http://prometheus:9090")
    if parts.username is not None or parts.password is not None:
        raise ValueError("carries a user or password; put them into `headers` or use `bearer_token_file`")
    if parts.query or parts.fragment:
        raise ValueError(
            "is the base of an API and has no '?' or '#' part; extra matchers belong into `labels`"
        )
    return text.rstrip("/")


def is_header_name(text: str) -> bool:
    """Whether a text is a token as RFC 9110, section 5.6.2, defines it."""
    return re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text) is not None


def _token(text: str) -> str:
    if not is_header_name(text):
        raise ValueError("is not a header's name")
    return text


def _one_line(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isprintable():
        raise ValueError("a header is one line of printable text")
    return value


def _preset(text: str) -> str:
    known = presets()
    if "/" in text or "." in text or text in known:
        return text
    nearest = difflib.get_close_matches(text, known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
    raise ValueError(f"is no metric preset; {hint} (a file of your own goes by its path: ./metrics.yaml)")


Preset = Annotated[str, AfterValidator(_preset)]
Url = Annotated[str, AfterValidator(_base_url), Field(json_schema_extra={"format": "uri"})]
HeaderName = Annotated[str, AfterValidator(_token)]
HeaderValue = Annotated[
    SecretStr, AfterValidator(_one_line), PlainSerializer(lambda _: MASK, return_type=str, when_used="json")
]


class TlsSettings(Section):
    """How the certificate of an HTTPS server is checked."""

    ca_file: Place | None = Field(
        default=None,
        description="File with the certificates that are trusted, PEM, relative to this file. null: those "
        "that the HTTP library brings.",
    )
    verify: bool = Field(
        default=_ACCESS.verify,
        description="Whether the certificate is checked at all. false trusts whoever answers: for trials "
        "only.",
    )

    @model_validator(mode="after")
    def _checks_against_something(self) -> "TlsSettings":
        if self.ca_file is not None and not self.verify:
            refuse([(("verify",), "is false, so `ca_file` would never be read; keep one of the two")])
        return self


class EntraSettings(Section):
    """Tokens of Microsoft Entra ID, for Azure Managed Prometheus; needs the extra `headgate[azure]`."""

    scope: Annotated[str, Field(min_length=1, max_length=300, pattern=r"^\S+$")] = Field(
        default="https://prometheus.monitor.azure.com/.default",
        description="Scope that tokens are asked for. The default is that of the public cloud's query "
        "endpoints; sovereign clouds have their own.",
    )


class PrometheusSettings(Section):
    """The Prometheus API that demand is read from."""

    url: Url = Field(description="Base URL of the API, such as http://prometheus:9090.")
    preset: Preset = Field(
        default="dynamo",
        description="Names of the metrics: a serving stack that is known, such as dynamo, vllm or sglang, or "
        "a file of your own such as ./metrics.yaml, relative to this file. The default is the Dynamo "
        "frontend, since it counts requests when they start.",
    )
    timeout_s: Duration = Field(
        default=_ACCESS.timeout_s,
        alias="timeout",
        description="Time that one query may take, a duration. The default leaves room for retries within a "
        "one-minute tick.",
    )
    retries: Count = Field(
        default=_ACCESS.retries,
        ge=0,
        le=10,
        description="Further attempts after a query failed. More would outlast the tick.",
    )
    labels: Labels = Field(
        default_factory=dict,
        description="Label matchers, name to exact value, added to every query: a namespace, a cluster. "
        "Empty: none.",
    )
    headers: Mapping[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        description="HTTP headers added to every query, such as X-Scope-OrgID. Values are never shown. "
        "Empty: none.",
    )
    bearer_token_file: Place | None = Field(
        default=None,
        description="File with a bearer token, relative to this file; read anew for every query, since "
        "tokens are replaced while Headgate runs. null: no token.",
    )
    entra: EntraSettings | None = Field(
        default=None,
        description="Tokens of Microsoft Entra ID, as Azure Managed Prometheus asks for: {} takes the "
        "identity of the pod (workload identity) or of whoever is logged in. null: none.",
    )
    tls: TlsSettings = Field(
        default_factory=TlsSettings, description="How an HTTPS certificate is checked. Default: strictly."
    )

    @model_validator(mode="after")
    def _has_one_token(self) -> "PrometheusSettings":
        if self.entra is not None and self.bearer_token_file is not None:
            refuse([(("entra",), "asks for a token, and so does `bearer_token_file`; keep one of the two")])
        return self

    def to_policy(self) -> PrometheusPolicy:
        """Return how to reach Prometheus; raises ConfigError for headers that `config show` has masked."""
        masked = [name for name, value in self.headers.items() if value.get_secret_value() == MASK]
        if masked:
            raise ConfigError(
                f"prometheus.headers.{masked[0]}: holds a mask, not the value; write the value itself"
            )
        return PrometheusPolicy(
            url=self.url,
            preset=self.preset,
            timeout_s=self.timeout_s,
            retries=self.retries,
            labels=dict(self.labels),
            headers={name: value.get_secret_value() for name, value in self.headers.items()},
            bearer_token_file=None if self.bearer_token_file is None else str(self.bearer_token_file.path),
            ca_file=None if self.tls.ca_file is None else str(self.tls.ca_file.path),
            verify=self.tls.verify,
            entra_scope=None if self.entra is None else self.entra.scope,
        )


class JournalSettings(Section):
    """Where the records of all ticks are kept, one JSON line each."""

    directory: Place = Field(
        default="journal",
        validate_default=True,
        alias="dir",
        description="Folder of the journal, relative to this file; made when it is missing.",
    )
    rotate_bytes: Count = Field(
        default=_JOURNAL.rotate_bytes,
        ge=10_000,
        description="Size at which a file is closed and compressed and a new one begun, in bytes, such as "
        '"10M". The default holds about three hours of one deployment at a tick every 15 seconds, which '
        "compressed are 2 MB.",
    )
    keep_files: Count = Field(
        default=_JOURNAL.keep_files,
        ge=1,
        le=10_000,
        description="Files kept; the oldest goes when one more begins. The default keeps about four weeks of "
        "one deployment, and a day at least of thirty.",
    )

    def to_policy(self) -> JournalPolicy:
        """Return where and how records are kept."""
        return JournalPolicy(str(self.directory.path), self.rotate_bytes, self.keep_files)
