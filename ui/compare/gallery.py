"""Attribution maps as a table of small pictures: input, before, after, difference, on one scale."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ui.pictures import data_uri
from ui.theme import Palette


@dataclass(frozen=True)
class Remark:
    """What one network says of an example; `right` is None where nothing is right or wrong."""

    answer: str
    right: bool | None


@dataclass(frozen=True, eq=False)
class Row:
    """One example: its picture (H, W) or (H, W, 3) from 0 to 1, maps (H, W), and what both networks say."""

    title: str
    picture: np.ndarray
    before: np.ndarray
    after: np.ndarray
    said_before: Remark
    said_after: Remark


@dataclass(frozen=True)
class Scale:
    """The scale that all values of a view share, symmetric around 0 up to `limit`."""

    limit: float
    signed: bool

    @property
    def words(self) -> tuple[str, str]:
        """What its low and its high end mean."""
        if self.signed:
            return "against the answer", "for the answer"
        return "less after", "important, or more after"


def shared_scale(values: Sequence[np.ndarray]) -> Scale:
    """The one scale of several arrays."""
    limit = max((float(np.abs(v).max()) for v in values), default=0.0)
    return Scale(limit or 1.0, any(float(v.min()) < 0 for v in values))


def gallery(rows: Sequence[Row], palette: Palette, *, overlay: float = 0.0) -> str:
    """HTML of the table; every map shares one symmetric scale, named below it.

    `overlay` is how strongly the input shows beneath its maps: at 0 a map stands alone, at 1 it is laid
    over the whole input.
    """
    scale = shared_scale([m for row in rows for m in (row.before, row.after)])
    columns = ("input", "before", "after", "after − before")
    head = "<th class='text'></th>" + "".join(f"<th>{name}</th>" for name in columns)
    body = "".join(_row(row, scale.limit, palette, overlay) for row in rows)
    return (
        f"<style>{_css(palette)}</style><div class='ps-gallery'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>{scale_bar(scale, palette)}"
    )


def remark_lines(before: Remark, after: Remark) -> str:
    """HTML of what both networks say, the wrong answers marked."""
    return "".join(
        f"<div class='{'bad' if said.right is False else 'ok'}'>{label}: {html.escape(said.answer)}"
        f"{' ✗' if said.right is False else ''}</div>"
        for label, said in (("before", before), ("after", after))
    )


def scale_bar(scale: Scale, palette: Palette) -> str:
    """HTML of a scale's colours with its ends in words."""
    low, high = scale.words
    gradient = f"linear-gradient(90deg, {palette.lost}, {palette.zero}, {palette.kept})"
    return (
        f"<style>.ps-scale {{ display: flex; gap: .6rem; align-items: center; justify-content: center; "
        f"margin-top: .6rem; font-size: .8rem; color: {palette.muted}; text-align: center; }} "
        f".ps-scale i {{ display: inline-block; width: 220px; height: 10px; border-radius: 5px; "
        f"background: {gradient}; }}</style>"
        f"<div class='ps-scale'><span>−{scale.limit:.3g}<br>{low}</span>"
        f"<i></i><span>+{scale.limit:.3g}<br>{high}</span></div>"
    )


def diverging(values: np.ndarray, palette: Palette, ground: np.ndarray | None = None) -> np.ndarray:
    """Values (...) in [-1, 1] to RGB (..., 3): lost, through the `ground` (default: nothing), to kept."""
    kept, lost = (np.array(_rgb(c), float) for c in (palette.kept, palette.lost))
    under = np.array(_rgb(palette.zero), float) if ground is None else ground
    share = np.sqrt(np.abs(values).clip(0, 1))[..., None]  # the root shows faint traces too
    colour = np.where(values[..., None] >= 0, kept, lost)
    return (under + (colour - under) * share).round().astype(np.uint8)


def _row(row: Row, limit: float, palette: Palette, overlay: float) -> str:
    text = f"<b>{html.escape(row.title)}</b>{remark_lines(row.said_before, row.said_after)}"
    picture = _colours(row.picture)
    ground = np.array(_rgb(palette.zero), float) * (1 - overlay) + picture * overlay
    maps = (row.before, row.after, row.after - row.before)
    names = ("before", "after", "after minus before")
    cells = "".join(
        f"<td><img alt='{name}' title='{html.escape(row.title)}, {name}: largest {np.abs(m).max():.3g}' "
        f"src='{data_uri(diverging(m / limit, palette, ground))}'></td>"
        for name, m in zip(names, maps, strict=True)
    )
    shown = data_uri(picture.astype(np.uint8))
    return f"<tr><td class='text'>{text}</td><td><img alt='input' src='{shown}'></td>{cells}</tr>"


def _colours(picture: np.ndarray) -> np.ndarray:
    """A grey or coloured picture from 0 to 1 as RGB (H, W, 3) from 0 to 255."""
    levels = 255 * picture.clip(0, 1).astype(float)
    return levels if levels.ndim == 3 else np.repeat(levels[..., None], 3, axis=2)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _css(palette: Palette) -> str:
    return f"""
.ps-gallery table {{ border-collapse: collapse; width: 100%; table-layout: fixed; color: {palette.text}; }}
.ps-gallery th {{ font-weight: 500; font-size: .85rem; color: {palette.muted}; padding: .2rem .4rem; text-align: center; }}
.ps-gallery td {{ padding: .3rem .4rem; border-top: 1px solid {palette.grid}; text-align: center; }}
.ps-gallery .text {{ text-align: left; font-size: .85rem; width: 26%; }}
.ps-gallery .bad {{ color: {palette.lost}; }}
.ps-gallery .ok {{ color: {palette.muted}; }}
.ps-gallery img {{ width: 104px; max-width: 100%; image-rendering: pixelated; border-radius: 4px; display: inline-block; }}
"""
