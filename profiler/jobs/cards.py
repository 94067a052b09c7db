"""Send the cards that an order names by path along with it."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from models.errors import InputError
from profiler.order import Order

_APART = re.compile(r"([,=])")


def packed(order: Order) -> tuple[Order, dict[str, str]]:
    """Return the order with card paths replaced by names, and the texts of those cards by name."""
    files: dict[str, str] = {}
    model, hardware, engine = (_packed(text, files) for text in (order.model, order.hardware, order.engine))
    return replace(order, model=model, hardware=hardware, engine=engine), files


def unpacked(order: Order, files: Mapping[str, str], folder: Path) -> Order:
    """Write the cards into a folder and return the order that names them there."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")

    def placed(value: str) -> str:
        return "".join(str(folder / part) if part in files else part for part in _APART.split(value))

    return replace(
        order,
        model=placed(order.model),
        hardware=placed(order.hardware),
        engine=placed(order.engine),
    )


def _packed(value: str, files: dict[str, str]) -> str:
    parts = _APART.split(value)
    for i, part in enumerate(parts):
        path = Path(part)
        if path.suffix in {".yaml", ".yml"} and path.is_file():
            name = f"card-{len(files)}{path.suffix}"
            try:
                files[name] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{path}: cannot be read: {error}") from None
            parts[i] = name
    return "".join(parts)
