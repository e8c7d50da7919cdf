"""Attribution maps as a table of small pictures: input, before, after, difference, on one scale."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ui.theme import Palette


@dataclass(frozen=True, eq=False)
class Row:
    """One example: pictures (H, W), and what both networks say of it."""

    title: str
    picture: np.ndarray
    before: np.ndarray
    after: np.ndarray
    answer_before: str
    answer_after: str
    right_before: bool
    right_after: bool


def gallery(rows: Sequence[Row], palette: Palette) -> str:
    """HTML of the table; every map shares one symmetric scale, named below it."""
    limit = max(float(np.abs(m).max()) for row in rows for m in (row.before, row.after)) or 1.0
    signed = any(float(m.min()) < 0 for row in rows for m in (row.before, row.after))
    low, high = (
        ("against the answer", "for the answer") if signed else ("less after", "important, or more after")
    )
    columns = ("input", "before", "after", "after − before")
    head = "<th class='text'></th>" + "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(_row(row, limit, palette) for row in rows)
    return (
        f"<style>{_css(palette)}</style><div class='ps-gallery'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table><div class='ps-scale'><span>−{limit:.3g}<br>{low}</span>"
        f"<i></i><span>+{limit:.3g}<br>{high}</span></div></div>"
    )


def _row(row: Row, limit: float, palette: Palette) -> str:
    text = f"<b>{html.escape(row.title)}</b>" + "".join(
        f"<div class='{'ok' if right else 'bad'}'>{label}: {html.escape(answer)}{'' if right else ' ✗'}</div>"
        for label, answer, right in (
            ("before", row.answer_before, row.right_before),
            ("after", row.answer_after, row.right_after),
        )
    )
    maps = (row.before, row.after, row.after - row.before)
    names = ("before", "after", "after minus before")
    cells = "".join(
        f"<td><img alt='{name}' title='{html.escape(row.title)}, {name}: largest {np.abs(m).max():.3g}' "
        f"src='{_png(_diverging(m / limit, palette))}'></td>"
        for name, m in zip(names, maps, strict=True)
    )
    picture = _png(np.repeat((255 * row.picture.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2))
    return f"<tr><td class='text'>{text}</td><td><img alt='input' src='{picture}'></td>{cells}</tr>"


def _diverging(values: np.ndarray, palette: Palette) -> np.ndarray:
    """(H, W) in [-1, 1] to RGB: lost, through nothing, to kept."""
    zero, kept, lost = (np.array(_rgb(c), float) for c in (palette.zero, palette.kept, palette.lost))
    share = np.sqrt(np.abs(values).clip(0, 1))[..., None]  # the root shows faint traces too
    colour = np.where(values[..., None] >= 0, kept, lost)
    return (zero + (colour - zero) * share).round().astype(np.uint8)


def _png(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _css(palette: Palette) -> str:
    gradient = f"linear-gradient(90deg, {palette.lost}, {palette.zero}, {palette.kept})"
    return f"""
.ps-gallery table {{ border-collapse: collapse; width: 100%; table-layout: fixed; color: {palette.text}; }}
.ps-gallery th {{ font-weight: 500; font-size: .85rem; color: {palette.muted}; padding: .2rem .4rem; text-align: center; }}
.ps-gallery td {{ padding: .3rem .4rem; border-top: 1px solid {palette.grid}; text-align: center; }}
.ps-gallery .text {{ text-align: left; font-size: .85rem; width: 26%; }}
.ps-gallery .bad {{ color: {palette.lost}; }}
.ps-gallery .ok {{ color: {palette.muted}; }}
.ps-gallery img {{ width: 104px; max-width: 100%; image-rendering: pixelated; border-radius: 4px; display: inline-block; }}
.ps-scale {{ display: flex; gap: .6rem; align-items: center; justify-content: center; margin-top: .6rem;
  font-size: .8rem; color: {palette.muted}; text-align: center; }}
.ps-scale i {{ display: inline-block; width: 220px; height: 10px; border-radius: 5px; background: {gradient}; }}
"""
