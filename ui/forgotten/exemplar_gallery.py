"""Examples as small cards: the picture, and what the network answered before and after the cut."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ui.pictures import data_uri
from ui.theme import Palette


@dataclass(frozen=True, eq=False)
class Card:
    """One example: its picture (H, W, 3) in [0, 1] and what is said of it.

    `answers` are (text, is right) for before and after; `remark` is a line below them.
    """

    title: str
    picture: np.ndarray
    answers: tuple[tuple[str, bool], tuple[str, bool]]
    remark: str = ""


def picture_of(pixels: torch.Tensor) -> np.ndarray:
    """Pixels (C, H, W) in [0, 1] as they are drawn, (H, W, 3): in colour if there are three, else grey."""
    shown = pixels if len(pixels) == 3 else pixels.mean(dim=0, keepdim=True).expand(3, -1, -1)
    return shown.permute(1, 2, 0).clamp(0, 1).numpy()


def gallery(cards: Sequence[Card], palette: Palette) -> str:
    """HTML of the cards side by side."""
    return f"<style>{_css(palette)}</style><div class='ps-cards'>{''.join(map(_card, cards))}</div>"


def strip(pictures: Sequence[tuple[str, np.ndarray]], palette: Palette) -> str:
    """HTML of pictures (H, W, 3) in a row, a short text below each."""
    body = "".join(
        f"<figure><img alt='{html.escape(text, quote=True)}' src='{_shown(picture)}'>"
        f"<figcaption>{html.escape(text)}</figcaption></figure>"
        for text, picture in pictures
    )
    return f"<style>{_css(palette)}</style><div class='ps-cards ps-strip'>{body}</div>"


def _card(card: Card) -> str:
    lines = "".join(
        f"<div class='{'ok' if right else 'bad'}'>{label}: {html.escape(text)}{'' if right else ' ✗'}</div>"
        for label, (text, right) in zip(("before", "after"), card.answers, strict=True)
    )
    remark = f"<div>{html.escape(card.remark)}</div>" if card.remark else ""
    return (
        f"<figure><img alt='{html.escape(card.title, quote=True)}' src='{_shown(card.picture)}'>"
        f"<figcaption><b>{html.escape(card.title)}</b>{lines}{remark}</figcaption></figure>"
    )


def _shown(picture: np.ndarray) -> str:
    return data_uri((255 * picture).round().astype(np.uint8))


def _css(palette: Palette) -> str:
    return f"""
.ps-cards {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(116px, 1fr)); gap: .9rem .7rem; }}
.ps-strip {{ grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); }}
.ps-cards figure {{ margin: 0; }}
.ps-cards img {{ width: 100%; max-width: 128px; image-rendering: pixelated; border-radius: 4px; display: block;
  border: 1px solid {palette.grid}; }}
.ps-cards figcaption {{ font-size: .8rem; line-height: 1.35; color: {palette.muted}; padding-top: .3rem; }}
.ps-cards b {{ color: {palette.text}; font-weight: 600; }}
.ps-cards .bad {{ color: {palette.lost}; }}
"""
