"""The exemplar gallery: nothing in it is read as HTML, and pictures are the pixels they are made from."""

import base64
import io
import re

import numpy as np
import torch
from PIL import Image

from ui.forgotten.exemplar_gallery import Card, gallery, picture_of, strip
from ui.theme import LIGHT

EVIL = "<script>'\"&"


def pictures(text: str) -> list[np.ndarray]:
    found = re.findall(r"src='data:image/png;base64,([^']+)'", text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


def test_names_are_never_markup():
    grey = np.zeros((2, 2, 3))
    for text in (
        gallery([Card(EVIL, grey, ((EVIL, True), (EVIL, False)), EVIL)], LIGHT),
        strip([(EVIL, grey)], LIGHT),
    ):
        body = text.split("</style>")[1]
        assert "<script" not in body
        assert "&lt;script&gt;" in body
        assert all("'\"" not in attribute for attribute in re.findall(r"alt='([^']*)'", body))


def test_a_wrong_answer_is_marked():
    text = gallery([Card("#1", np.zeros((2, 2, 3)), (("cat", True), ("dog", False)))], LIGHT)
    assert re.search(r"<div class='ok'>before: cat</div>", text)
    assert re.search(r"<div class='bad'>after: dog ✗</div>", text)


def test_pictures_are_their_pixels():
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand((3, 4, 5), generator=generator)
    (shown,) = pictures(strip([("0%", picture_of(colours))], LIGHT))
    np.testing.assert_allclose(shown / 255, colours.permute(1, 2, 0), atol=1 / 500)
    two = torch.rand((2, 4, 5), generator=generator)
    (shown,) = pictures(gallery([Card("#1", picture_of(two), (("a", True), ("a", True)))], LIGHT))
    for channel in range(3):
        np.testing.assert_allclose(shown[..., channel] / 255, two.mean(dim=0), atol=1 / 500)
    (shown,) = pictures(strip([("x", picture_of(torch.tensor([[[-3.0, 0.5, 4.0]]])))], LIGHT))
    assert shown[0, :, 0].tolist() == [0, 128, 255]
