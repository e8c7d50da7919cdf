"""Pictures that excite a channel, with where it speaks laid over them: HTML, a pure function."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ui.pictures import data_uri
from ui.theme import Palette

_STRENGTH = 0.75  # of the colour where a channel speaks loudest


@dataclass(frozen=True, eq=False)
class Picture:
    """One example: its picture (H, W, 3) from 0 to 1, where the channel speaks (H, W) or None, and words."""

    title: str
    remark: str
    picture: np.ndarray
    where: np.ndarray | None


def channel_gallery(pictures: Sequence[Picture], palette: Palette) -> str:
    """HTML of the pictures in a row, each above the same with the channel's values in colour, on one scale."""
    loudest = max((float(p.where.max()) for p in pictures if p.where is not None), default=0.0) or 1.0
    cells = "".join(_cell(picture, loudest, palette) for picture in pictures)
    return f"<style>{_css(palette)}</style><div class='ps-channel'>{cells}</div>"


def overlaid(
    picture: np.ndarray, where: np.ndarray, loudest: float, colour: tuple[int, int, int]
) -> np.ndarray:
    """A picture (H, W, 3) tinted where the values (H, W) are high: in full at `loudest`, not at all below 0."""
    share = _STRENGTH * (where / loudest).clip(0, 1)[..., None]
    return picture * (1 - share) + np.array(colour) / 255 * share


def _cell(entry: Picture, loudest: float, palette: Palette) -> str:
    images = [_image(entry.picture, entry.title)]
    if entry.where is not None:
        tinted = overlaid(entry.picture, entry.where, loudest, _rgb(palette.kept))
        largest = f"{entry.title}: the channel's largest value here is {entry.where.max():.3g}"
        images.append(_image(tinted, largest))
    return (
        f"<figure>{''.join(images)}<figcaption><b>{html.escape(entry.title)}</b><br>{html.escape(entry.remark)}"
        "</figcaption></figure>"
    )


def _image(pixels: np.ndarray, title: str) -> str:
    source = data_uri((255 * pixels.clip(0, 1)).round().astype(np.uint8))
    return f"<img alt='{html.escape(title)}' title='{html.escape(title)}' src='{source}'>"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _css(palette: Palette) -> str:
    return f"""
.ps-channel {{ display: flex; flex-wrap: wrap; gap: .7rem; color: {palette.text}; }}
.ps-channel figure {{ margin: 0; width: 88px; }}
.ps-channel img {{ width: 88px; display: block; margin-bottom: 3px; image-rendering: pixelated; border-radius: 4px; }}
.ps-channel figcaption {{ font-size: .8rem; line-height: 1.25; overflow-wrap: anywhere; }}
"""
