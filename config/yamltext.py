"""Write plain data as YAML text for a reader."""

import yaml


def write_yaml(data: object) -> str:
    """Return YAML with the keys in their order; lists of plain values stand on one line."""
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return text
