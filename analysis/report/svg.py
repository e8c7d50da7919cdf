"""Figures as SVG inside a page: drawn by matplotlib, freed of all that belongs to a file of its own.

What comes out names its colours as the page's CSS variables, so that it follows light and dark, takes the page's
font, refers to nothing outside of itself, and says on pointing what each mark is.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from threading import Lock
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.look import LIGHT

WIDTH = 400  # of every figure, in pixels at full size: two stand side by side, one fits a phone
FONT = 12
_INCH = 72  # units to matplotlib's inch
_RIGHT, _TOP, _BOTTOM = 20, 8, 42
_VARIABLES = ("kept", "lost", "removed", "text", "muted", "grid", "surface", "zero")
_COLOURS = {getattr(LIGHT, name): f"var(--{name})" for name in _VARIABLES}
_WRITING: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "prunescope"}
_LOCK = Lock()  # matplotlib's settings are the process's, which sessions share
_LINK = "{http://www.w3.org/1999/xlink}href"

# The page's own font is drawn, not the one that matplotlib measures with.
warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)


class Canvas:
    """One figure on its way: axes to draw on, and what its marks say on pointing.

    Parameters
    ----------
    name : str
        Tells the figure apart in its page.
    sentence : str
        What it shows, for those who cannot see it.
    height : float
        Of the drawing area.
    left : float
        Room for labels.
    """

    def __init__(self, name: str, sentence: str, *, height: float, left: float) -> None:
        self.name, self.sentence = name, sentence
        self.width, self.height = WIDTH - left - _RIGHT, height  # of the drawing area
        full = height + _TOP + _BOTTOM
        self._figure = Figure(figsize=(WIDTH / _INCH, full / _INCH), dpi=_INCH, frameon=False)
        self._tips: dict[str, str] = {}
        self.axes: Axes = self._figure.add_axes(
            (left / WIDTH, _BOTTOM / full, (WIDTH - left - _RIGHT) / WIDTH, height / full)
        )
        self.axes.set_facecolor("none")
        self.axes.tick_params(length=0, labelsize=FONT - 1, labelcolor=LIGHT.text, pad=5)
        self.axes.grid(color=LIGHT.grid, linewidth=0.8)
        self.axes.set_axisbelow(True)
        for spine in self.axes.spines.values():
            spine.set_visible(False)

    def titles(self, x: str, y: str = "") -> None:
        """Name the axes."""
        self.axes.set_xlabel(x, color=LIGHT.muted, fontsize=FONT, labelpad=4)
        self.axes.set_ylabel(y, color=LIGHT.muted, fontsize=FONT, labelpad=4)

    def tip(self, text: str) -> str:
        """The ``gid`` of a mark that says `text` on pointing."""
        gid = f"tip{len(self._tips)}"
        self._tips[gid] = text
        return gid

    def markup(self) -> Markup:
        """The figure as an ``<svg>`` element to stand in an HTML page."""
        for text in self._figure.findobj(Text):
            text.set_parse_math(False)  # a dollar sign in a name is one
        buffer = io.StringIO()
        with _LOCK, mpl.rc_context(_WRITING):
            nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            FigureCanvasSVG(self._figure).print_svg(buffer, metadata=nothing)
        root = ElementTree.fromstring(buffer.getvalue())
        _clean(root, self.name, self._tips)
        width, height = root.attrib["viewBox"].split()[2:]
        root.attrib.clear()
        root.attrib |= {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": self.sentence}
        return Markup(ElementTree.tostring(root, encoding="unicode"))


def _clean(element: ElementTree.Element, name: str, tips: Mapping[str, str]) -> None:
    """Drop namespaces, clipping, styles for all and the font; name colours, shared marks and tips."""
    for child in list(element):
        tag = _plain(child.tag)
        if tag in ("metadata", "style", "clipPath"):
            element.remove(child)
            continue
        _clean(child, name, tips)
        if tag in ("defs", "g") and not len(child):
            element.remove(child)
    element.tag = _plain(element.tag)
    element.tail = None
    if element.tag != "text":
        element.text = None
    element.attrib.pop("clip-path", None)
    own = element.attrib.pop("id", "")
    if own in tips:
        title = ElementTree.Element("title")
        title.text = printable(tips[own])
        element.insert(0, title)
    elif element.tag != "g" and own:
        element.attrib["id"] = f"{name}-{own}"
    if link := element.attrib.pop(_LINK, ""):
        element.attrib["href"] = f"#{name}-{link[1:]}"
    if style := element.attrib.get("style"):
        element.attrib["style"] = _style(style)


def _style(text: str) -> str:
    parts = [part.strip() for part in re.sub("&quot;|'[^']*'", "", text).split(";")]
    kept = [part for part in parts if part and not part.startswith("font-family")]
    return "; ".join(_named(part) for part in kept)


def _named(part: str) -> str:
    key, _, value = part.partition(":")
    return f"{key}: {_COLOURS.get(value.strip(), value.strip())}"


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2]


def printable(text: str) -> str:
    """Text in one line, without what XML cannot hold."""
    return "".join(sign if sign.isprintable() else "·" for sign in text)


def shortened(text: str, most: int, *, end: bool = False) -> str:
    """Text of at most so many signs; of longer ones the beginning, or the end."""
    text = printable(text)
    if len(text) <= most:
        return text
    return "…" + text[1 - most :] if end else text[: most - 1] + "…"
