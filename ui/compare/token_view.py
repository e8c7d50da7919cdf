"""Attribution of texts: every token in the colour of what it adds, before and after, on one scale."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ui.compare.gallery import Remark, diverging, remark_lines, scale_bar, shared_scale
from ui.theme import Palette

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear red, green and blue (ITU-R BT.709)
_EVEN = 0.179  # the luminance of a ground on which black and white have the same contrast (WCAG 2.1)


@dataclass(frozen=True, eq=False)
class TokenRow:
    """One example: its tokens in words (or as numbers), what each adds (T,), and what both networks say."""

    title: str
    tokens: Sequence[str]
    before: np.ndarray
    after: np.ndarray
    said_before: Remark
    said_after: Remark


def token_table(rows: Sequence[TokenRow], palette: Palette) -> str:
    """HTML of the examples; all tokens share one symmetric scale, named below them."""
    scale = shared_scale([v for row in rows for v in (row.before, row.after)])
    body = "".join(_row(row, scale.limit, palette) for row in rows)
    return f"<style>{_css(palette)}</style><div class='ps-tokens'>{body}</div>{scale_bar(scale, palette)}"


def _row(row: TokenRow, limit: float, palette: Palette) -> str:
    lines = "".join(
        f"<p><em>{label}</em><span class='line'>{_line(row.tokens, values, limit, palette)}</span></p>"
        for label, values in (("before", row.before), ("after", row.after))
    )
    return (
        f"<section><div class='text'><b>{html.escape(row.title)}</b>"
        f"{remark_lines(row.said_before, row.said_after)}</div><div class='lines'>{lines}</div></section>"
    )


def _line(tokens: Sequence[str], values: np.ndarray, limit: float, palette: Palette) -> str:
    colours = diverging(values / limit, palette)
    return " ".join(
        f"<i title='{html.escape(token, quote=True)}: {value:+.3g}' "
        f"style='background: rgb({r}, {g}, {b}); color: {_letters(colour)}'>{html.escape(token)}</i>"
        for token, value, colour in zip(tokens, values, colours, strict=True)
        for r, g, b in [colour.tolist()]
    )


def _letters(ground: np.ndarray) -> str:
    """Black or white, whichever has more contrast on a ground: at least 4.5, as WCAG 2.1 wants it."""
    linear = ((ground / 255 + 0.055) / 1.055) ** 2.4
    return "#000000" if float(_LUMINANCE @ linear) > _EVEN else "#ffffff"


def _css(palette: Palette) -> str:
    return f"""
.ps-tokens {{ color: {palette.text}; }}
.ps-tokens section {{ display: flex; gap: 1rem; padding: .6rem 0; border-top: 1px solid {palette.grid}; }}
.ps-tokens .text {{ flex: 0 0 24%; font-size: .85rem; }}
.ps-tokens .lines {{ flex: 1; min-width: 0; }}
.ps-tokens p {{ display: flex; margin: 0 0 .4rem; }}
.ps-tokens em {{ flex: 0 0 3.6rem; font-style: normal; font-size: .8rem; line-height: 1.9; color: {palette.muted}; }}
.ps-tokens .line {{ line-height: 1.9; overflow-wrap: anywhere; }}
.ps-tokens i {{ padding: .1rem .3rem; border-radius: 3px; font-size: .85rem; font-style: normal; }}
.ps-tokens .bad {{ color: {palette.lost}; }}
.ps-tokens .ok {{ color: {palette.muted}; }}
"""
