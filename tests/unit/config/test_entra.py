"""Tokens of Entra ID are kept, renewed in time, asked for again after a failure, and shown nowhere."""

from pathlib import Path

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from config.entra import EARLY_S, YOUNG_S, EntraTokens
from models.errors import ObserveError
from tests.unit.config.files import changed, errors, loaded

SCOPE = "https://prometheus.monitor.azure.com/.default"


class Identity:
    """Stand in for an Azure identity: tokens of an hour, numbered; or a refusal."""

    def __init__(self) -> None:
        self.now_s, self.given, self.refuses = 1000.0, 0, False

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        assert scopes == (SCOPE,)
        if self.refuses:
            raise ClientAuthenticationError(message="AADSTS70021: no federated identity\ntrace: secret")
        self.given += 1
        return AccessToken(f"token-{self.given}", int(self.now_s) + 3600)


def _tokens() -> tuple[Identity, EntraTokens]:
    identity = Identity()
    return identity, EntraTokens(lambda: identity, SCOPE, lambda: identity.now_s)


def test_a_token_is_asked_for_once_and_renewed_before_it_ends() -> None:
    identity, tokens = _tokens()

    assert [tokens(), tokens()] == ["token-1", "token-1"]
    identity.now_s += 3600 - EARLY_S
    assert tokens() == "token-2"
    assert "token" not in repr(tokens).replace("EntraTokens", "")


def test_a_refused_token_is_thrown_away_with_the_identity_that_keeps_it_and_a_young_one_is_not() -> None:
    now_s, made = 1000.0, []

    def identity() -> Identity:
        made.append(Identity())
        made[-1].given = 10 * len(made)
        return made[-1]

    tokens = EntraTokens(identity, SCOPE, lambda: now_s)
    assert not tokens.renew()
    assert tokens() == "token-11"
    assert not tokens.renew()
    assert tokens() == "token-11"

    now_s += YOUNG_S
    assert tokens.renew()
    assert tokens() == "token-21"
    assert not tokens.renew()


def test_while_nobody_answers_the_token_is_used_to_its_end_and_then_the_reason_is_told() -> None:
    identity, tokens = _tokens()
    tokens()
    identity.refuses = True
    identity.now_s += 3600 - EARLY_S / 2
    assert tokens() == "token-1"

    identity.now_s += EARLY_S
    with pytest.raises(
        ObserveError, match=r"no token .*AADSTS70021: no federated identity; .*workload id"
    ) as told:
        tokens()
    assert "secret" not in str(told.value)

    identity.refuses = False
    assert tokens() == "token-2"


def test_the_public_clouds_scope_is_the_default_and_two_tokens_are_refused(tmp_path: Path) -> None:
    prometheus = loaded(tmp_path, changed("  url: http", "  entra: {}\n  url: http")).settings.prometheus
    assert prometheus is not None
    assert prometheus.to_policy().entra_scope == SCOPE

    both = changed("  url: http", "  entra: {}\n  bearer_token_file: token\n  url: http")
    assert "prometheus.entra: asks for a token, and so does `bearer_token_file`" in errors(tmp_path, both)[0]
