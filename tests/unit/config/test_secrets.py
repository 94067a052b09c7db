"""Secrets appear in no message, no listing, no digest and no representation."""

from pathlib import Path

import pytest

from config.loading import load
from config.showing import as_json, as_yaml
from models.errors import ConfigError
from tests.unit.config.files import changed, loaded, write

SECRET = "s3cr3t-t0k3n"

SPILLS = {
    "a header that is no text": ("{X-Scope-OrgID: tenant-secret}", f"{{Authorization: [{SECRET}]}}"),
    "a header with a line break": ("{X-Scope-OrgID: tenant-secret}", f'{{Authorization: "{SECRET}\\nX: y"}}'),
    "headers that are no pairs": ("{X-Scope-OrgID: tenant-secret}", f'"Authorization: {SECRET}"'),
    "a secret in the name": ("{X-Scope-OrgID: tenant-secret}", f'{{"Authorization: {SECRET}": ""}}'),
    "a password in the URL": ("http://prometheus", f"http://user:{SECRET}@prometheus"),
    "a password in what is no section": ("interval: 60s", f"journal: http://user:{SECRET}@x"),
    "a token under a key that does not exist": ("  url:", f"  bearer_token: {SECRET}\n  url:"),
    "a token in a line that is no YAML": ("{X-Scope-OrgID: tenant-secret}", f"{{Authorization: {SECRET}"),
}


@pytest.mark.parametrize(("old", "new"), SPILLS.values(), ids=SPILLS)
def test_an_error_never_quotes_a_secret(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, changed(old, new))

    assert SECRET not in str(caught.value)
    assert "headgate.yaml:" in str(caught.value)


def test_an_error_never_quotes_a_secret_of_the_environment(tmp_path: Path) -> None:
    environ = {"HEADGATE_PROMETHEUS__HEADERS": f'{{Authorization: "{SECRET}\\nX: y"}}'}

    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path), environ | {"HEADGATE_PROMETHEUS__HEADERS__X": f"{SECRET}\nX: y"})

    assert SECRET not in str(caught.value)


def test_what_is_shown_masks_header_values(tmp_path: Path) -> None:
    configured = loaded(tmp_path)

    for text in (as_yaml(configured), as_yaml(configured, origin=True), as_json(configured, origin=True)):
        assert "tenant-secret" not in text
        assert "X-Scope-OrgID" in text
        assert "********" in text


def test_no_representation_holds_a_header_value(tmp_path: Path) -> None:
    configured = loaded(tmp_path)
    prometheus = configured.settings.prometheus
    assert prometheus is not None

    assert "tenant-secret" not in repr(configured)
    assert "tenant-secret" not in repr(prometheus.to_policy())
    assert prometheus.to_policy().headers["X-Scope-OrgID"] == "tenant-secret"


def test_a_mask_is_never_sent_as_a_header(tmp_path: Path) -> None:
    prometheus = loaded(tmp_path, as_yaml(loaded(tmp_path))).settings.prometheus
    assert prometheus is not None

    with pytest.raises(ConfigError, match="holds a mask, not the value"):
        prometheus.to_policy()
