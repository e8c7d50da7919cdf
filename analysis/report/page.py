"""Templates to a page that needs nothing else: style and figures inside, no script, nothing fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.look import DARK, LIGHT

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,  # names come from strangers' files
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_NAMES = ("kept", "lost", "removed", "text", "muted", "grid", "surface", "zero")


def page(template: str, **content: Any) -> str:
    """The page of a template, with what it shows."""
    colours = {
        scheme: {name: getattr(palette, name) for name in _NAMES}
        for scheme, palette in (("light", LIGHT), ("dark", DARK))
    }
    return _TEMPLATES.get_template(template).render(colours=colours, **content)
