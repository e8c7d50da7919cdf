"""Galleries of maps and coloured tokens: pure functions from values to HTML."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from ui.compare.gallery import Remark, Row, diverging, gallery, shared_scale
from ui.compare.token_view import TokenRow, token_table
from ui.theme import DARK, LIGHT

RIGHT, WRONG, VALUE = Remark("cat 90%", True), Remark("dog 80%", False), Remark("3.2", None)


def _rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _images(html: str) -> list[np.ndarray]:
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall(r"data:image/png;base64,([^']+)", html)
    ]


def row(picture: np.ndarray, before: np.ndarray, after: np.ndarray, title: str = "one") -> Row:
    return Row(title, picture, before, after, RIGHT, WRONG)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_colours_run_from_lost_through_nothing_to_kept(palette):
    colours = diverging(np.array([-1.0, 0.0, 1.0, 0.25]), palette)
    assert colours[:3].tolist() == [_rgb(palette.lost), _rgb(palette.zero), _rgb(palette.kept)]
    middle = (np.array(_rgb(palette.zero)) + _rgb(palette.kept)) / 2  # the root of a quarter
    assert np.abs(colours[3] - middle).max() <= 1


def test_all_maps_share_the_scale_of_the_largest():
    large, small = np.array([[2.0, 0.0]]), np.array([[-1.0, 0.0]])
    html = gallery([row(np.zeros((1, 2)), large, small), row(np.zeros((1, 2)), small, small)], LIGHT)
    pictures = _images(html)
    assert len(pictures) == 2 * 4
    assert pictures[1][0, 0].tolist() == _rgb(LIGHT.kept)
    assert (pictures[2] == diverging(small / 2, LIGHT)).all() and (pictures[5] == pictures[6]).all()
    assert (pictures[3] == diverging(np.array([[-1.0, 0.0]]), LIGHT)).all(), (
        "after minus before, cut at the scale"
    )
    assert "−2<br>against the answer" in html and "+2<br>for the answer" in html
    assert "less after" in gallery([row(np.zeros((1, 2)), large, -small)], LIGHT)


def test_the_input_shows_beneath_its_maps_as_strongly_as_asked():
    picture, values = np.array([[0.0, 1.0]]), np.array([[0.0, 0.0], [0.0, 1.0]])[:1]
    alone, half, full = (
        _images(gallery([row(picture, values, values)], LIGHT, overlay=overlay))[1]
        for overlay in (0.0, 0.5, 1.0)
    )
    assert alone.tolist() == [[_rgb(LIGHT.zero)] * 2]
    assert full.tolist() == [[[0, 0, 0], [255, 255, 255]]]
    assert np.abs(half.astype(float) - (alone.astype(float) + full) / 2).max() <= 1


def test_a_map_of_full_strength_covers_the_input():
    picture, values = np.array([[0.3]]), np.array([[1.0]])
    assert _images(gallery([row(picture, values, values)], LIGHT, overlay=1.0))[1].tolist() == [
        [_rgb(LIGHT.kept)]
    ]


def test_colour_pictures_stay_coloured():
    picture = np.array([[[1.0, 0.5, 0.0]]])
    values = np.array([[0.0]])
    assert _images(gallery([row(picture, values, values)], LIGHT))[0].tolist() == [[[255, 127, 0]]]


def test_empty_maps_are_drawn_as_nothing():
    values = np.zeros((2, 2))
    html = gallery([row(values, values, values)], LIGHT)
    assert all((picture == _rgb(LIGHT.zero)).all() for picture in _images(html)[1:])
    assert shared_scale([]).limit == shared_scale([values]).limit == 1


HOSTILE = "<script>alert('x')</script>"


def test_names_from_files_stay_text():
    values = np.zeros((1, 1))
    said = Remark(HOSTILE, False)
    tokens = TokenRow(HOSTILE, [HOSTILE], np.zeros(1), np.zeros(1), said, said)
    for html in (
        gallery([Row(HOSTILE, values, values, values, said, said)], LIGHT),
        token_table([tokens], LIGHT),
    ):
        assert "<script" not in html and "&lt;script&gt;" in html
        assert "title='<" not in html and "alert('" not in html


def test_only_wrong_answers_are_marked():
    values = np.zeros((1, 1))
    html = gallery([Row("one", values, values, values, VALUE, WRONG)], LIGHT)
    assert "<div class='ok'>before: 3.2</div>" in html and "<div class='bad'>after: dog 80% ✗</div>" in html


def test_every_token_has_its_colour_before_and_after():
    before, after = np.array([2.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    html = token_table([TokenRow("one", ["7", "12", "0"], before, after, RIGHT, WRONG)], LIGHT)
    found = re.findall(
        r"<i title='(\d+): ([+-][\d.e+]+)' style='background: rgb\((\d+), (\d+), (\d+)\)", html
    )
    assert [name for name, *_ in found] == ["7", "12", "0"] * 2
    assert [float(value) for _, value, *_ in found] == [*before, *after]
    colours = [[int(c) for c in colour] for _, _, *colour in found]
    assert colours == diverging(np.concatenate([before, after]) / 2, LIGHT).tolist()
    assert "+2<br>for the answer" in html


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_tokens_can_be_read_on_every_colour(palette):
    """The contrast of letters and ground is at least 4.5, as WCAG 2.1 wants it."""

    def luminance(rgb: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(rgb) / 255]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    values = np.linspace(-1, 1, 41)
    html = token_table([TokenRow("one", ["1"] * 41, values, values, RIGHT, RIGHT)], palette)
    pairs = re.findall(r"background: rgb\((\d+), (\d+), (\d+)\); color: (#\w+)", html)
    assert len(pairs) == 82
    for *ground, letters in pairs:
        light, dark = sorted((luminance([int(c) for c in ground]), luminance(_rgb(letters))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ground, letters)
