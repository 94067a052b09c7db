"""Write plain data as YAML text for a reader."""

from collections.abc import Iterable

import yaml


def write_yaml(data: object) -> str:
    """Return YAML with the keys in their order; lists of plain values stand on one line."""
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return text


def write_documents(documents: Iterable[object]) -> str:
    """Return one YAML document after the other, as `kubectl apply -f -` reads them."""
    text: str = yaml.dump_all(
        documents, Dumper=_Blocks, sort_keys=False, allow_unicode=True, explicit_start=True, width=110
    )
    return text


class _Blocks(yaml.SafeDumper):
    """Write text of several lines as a block, and a value that stands twice twice."""

    def ignore_aliases(self, data: object) -> bool:
        """Say that nothing is an alias: two objects that hold the same value are not one."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Blocks.add_representer(str, _text)
