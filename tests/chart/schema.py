"""Make values.schema.json: the chart's own values from values.yaml, `config` from its own schema."""

import json
from collections.abc import Mapping
from typing import Any

from config.jsonschema import json_schema
from tests.chart.values import CHART, Value, values

SCHEMA = CHART / "values.schema.json"

# Helm reads drafts up to this one.
DIALECT = "http://json-schema.org/draft-07/schema#"

TEXT = {"type": "string"}
NAME = {"type": "string", "minLength": 1}
OBJECT = {"type": "object"}


def _item(required: str, **more: Mapping[str, Any]) -> dict[str, Any]:
    """Describe an item of a list: names that must be there, and others that may."""
    keys: dict[str, Any] = dict.fromkeys(required.split(), NAME)
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(keys),
        "properties": {**keys, **more},
    }


LABEL = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 50}
PROFILE = {
    **_item("", name=LABEL, configMap=NAME, secret=NAME, claim=NAME, key=NAME),
    "oneOf": [{"required": [kind]} for kind in ("configMap", "secret", "claim")],
}
PROFILE["properties"]["name"] = {
    "type": "string",
    "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    "maxLength": 50,
}
KINDS = {"type": "array", "minItems": 1, "items": NAME}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
GROUPS = ["monitoring.coreos.com", "azmonitoring.coreos.com"]

# What a default alone does not tell.
NARROWER: Mapping[str, dict[str, Any]] = {
    "profiles": {"items": PROFILE},
    "prometheus.headers": {"items": _item("header secret key")},
    "imagePullSecrets": {"items": _item("name")},
    "image.repository": {"minLength": 1, "pattern": "^[^\\s]*$"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "image.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "extraArgs": {"items": {"type": ["string", "number", "boolean"]}},
    "rbac.targets": {
        "items": _item(
            "namespace", kinds={"type": "array", "minItems": 1, "items": NAME}, act={"type": "boolean"}
        )
    },
    "rbac.kinds": {"items": _item("kind resource", apiGroup=TEXT)},
    "journal.mountPath": {"pattern": "^/"},
    "journal.persistence.accessModes": {
        "minItems": 1,
        "items": {"enum": ["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]},
    },
    "shards": {"minimum": 1, "maximum": 100},
    "replicas": {"minimum": 0, "maximum": 10},
    "port": PORT,
    "podDisruptionBudget.maxUnavailable": {"type": ["integer", "string"]},
    "networkPolicy.apiServerPorts": {"items": PORT},
    "networkPolicy.prometheusPorts": {"items": PORT},
    "monitor.kind": {"enum": ["PodMonitor", "ServiceMonitor"]},
    "monitor.apiGroups": {"minItems": 1, "uniqueItems": True, "items": {"enum": GROUPS}},
    "alerts.disabled": {"items": NAME},
    "profiler.args": {"items": {"type": ["string", "number"]}},
    "profiler.kinds": {"items": _item("resource", apiGroup=TEXT)},
    "profiler.files": {"additionalProperties": TEXT},
    "profiler.backoffLimit": {"minimum": 0},
    "headroom.priorityClass.value": {"minimum": -2147483648, "maximum": 0},
}

# Kubernetes' own shapes: the API server describes them, and it changes.
_TYPES = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


def schema() -> dict[str, Any]:
    """Return the schema of the chart's values (draft 7); a key that nobody knows is refused."""
    root: dict[str, Any] = {"$schema": DIALECT, "title": "Values of the chart headgate", **_section("")}
    sections: dict[tuple[str, ...], dict[str, Any]] = {(): root}
    for each in values():
        described = _configuration(each.said) if each.path == ("config",) else _described(each)
        sections[each.path[:-1]]["properties"][each.path[-1]] = described
        if each.section:
            sections[each.path] = described
    # Helm hands the values that all charts share to each of them.
    root["properties"]["global"] = OBJECT
    definitions = _of_draft_7(json_schema()["$defs"])
    return {**root, "definitions": definitions}


def text() -> str:
    """Return the file's text."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _described(value: Value) -> dict[str, Any]:
    if value.section:
        return _section(value.said)
    described: dict[str, Any] = {"description": value.said, "type": _TYPES[type(value.default)]}
    return described | NARROWER.get(value.name, {})


def _section(said: str) -> dict[str, Any]:
    about = {"description": said} if said else {}
    return {**about, "type": "object", "additionalProperties": False, "properties": {}}


def _configuration(said: str) -> dict[str, Any]:
    """Return the configuration's schema; that deployments are required is said by the chart itself."""
    whole = json_schema()
    kept = {key: whole[key] for key in ("type", "additionalProperties", "properties")}
    made: dict[str, Any] = _of_draft_7(kept)
    return {"description": said, **made}


def _of_draft_7(value: Any) -> Any:
    """Rename what draft 2020-12 calls otherwise."""
    if isinstance(value, dict):
        return {key: _of_draft_7(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_of_draft_7(inner) for inner in value]
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return value.replace("#/$defs/", "#/definitions/")
    return value
