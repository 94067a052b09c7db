"""Text and lines stand out in light, dark and print (WCAG 2.2: contrast 4.5 for text, 3 for graphics)."""

import re

import pytest

from tests.components import REPOSITORY

CSS = (REPOSITORY / "models/render/templates/page.css").read_text()
SCHEMES = {
    name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for name, block in zip(
        ("light", "dark", "print"), re.findall(r":root \{(.*?)\}", CSS, re.DOTALL), strict=True
    )
}


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb (WCAG 2.2)."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["ink", "soft", "link", "good", "mixed", "bad", "none"])
def test_text_is_readable(scheme: str, name: str) -> None:
    colours = SCHEMES[scheme]

    assert contrast(colours[name], colours["paper"]) >= 4.5
    assert contrast(colours[name], colours["raised"]) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", [f"series-{i}" for i in range(1, 9)])
def test_lines_stand_out(scheme: str, name: str) -> None:
    assert contrast(SCHEMES[scheme][name], SCHEMES[scheme]["paper"]) >= 3


def test_every_scheme_defines_every_colour() -> None:
    assert set(SCHEMES["light"]) == set(SCHEMES["dark"]) == set(SCHEMES["print"])
