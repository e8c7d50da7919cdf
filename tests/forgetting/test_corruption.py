"""Corruptions: tiny images by hand, scipy's blur, the statistics of noise, and what must not change."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from analysis.datasets import Dataset, Split
from analysis.errors import DataError
from analysis.forgetting.corruption import (
    CORRUPTIONS,
    Ground,
    corrupt,
    corruptions_for,
    ground_of,
    kind_of,
    strengths_of,
)
from analysis.tasks import CLASSIFICATION
from analysis.tracing import trace
from tests.networks import ConvNet, Mlp, dataset, load, randomise

IMAGE = Ground("image", torch.tensor(2.0), torch.tensor(0.5), -1.0)
TABLE = Ground("table", torch.tensor([1.0, 3.0]), torch.tensor([10.0, 20.0]), 0.0)
TOKENS = Ground("tokens", torch.tensor(0.0), torch.tensor(0.0), 0)
GROUNDS = {"image": IMAGE, "table": TABLE, "tokens": TOKENS}


def inputs_of(kind, count=6):
    generator = torch.Generator().manual_seed(5)
    if kind == "tokens":
        return torch.randint(1, 9, (count, 12), generator=generator)
    shape = (2, 7, 9) if kind == "image" else (2,)
    return torch.randn((count, *shape), generator=generator)


EVERY = [(entry.name, kind) for entry in CORRUPTIONS.values() for kind in entry.kinds]


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_nothing_at_strength_zero_and_inputs_are_left_alone(name, kind):
    inputs = inputs_of(kind)
    copy = inputs.clone()
    assert torch.equal(corrupt(inputs, name, 0.0, GROUNDS[kind]), copy)
    strong = corrupt(inputs, name, CORRUPTIONS[name].strengths[-1], GROUNDS[kind])
    assert torch.equal(inputs, copy)
    assert strong.shape == inputs.shape
    assert strong.dtype == inputs.dtype
    assert not torch.equal(strong, inputs)


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_the_seed_decides(name, kind):
    inputs, ground = inputs_of(kind, 40), GROUNDS[kind]
    strength = CORRUPTIONS[name].strengths[-1]
    first = corrupt(inputs, name, strength, ground, seed=1)
    torch.manual_seed(123)
    assert torch.equal(first, corrupt(inputs, name, strength, ground, seed=1))
    drawn = not torch.equal(first, corrupt(inputs, name, strength, ground, seed=2))
    assert drawn == (name not in ("blur", "contrast"))


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_strengths_begin_with_nothing_rise_and_are_carried_out_as_named(name, kind):
    shape = inputs_of(kind).shape
    found = strengths_of(CORRUPTIONS[name], shape)
    assert found[0] == 0
    assert len(found) > 2
    assert list(found) == sorted(set(found))
    assert [CORRUPTIONS[name].snap(strength, shape) for strength in found] == pytest.approx(list(found))


def test_noise_has_the_spread_it_is_said_to_have():
    quiet = torch.full((300, 1, 10, 10), 3.0)
    noise = corrupt(quiet, "noise", 0.4, IMAGE) - quiet
    assert abs(float(noise.mean())) < 5 * 0.8 / 30_000**0.5
    assert float(noise.std()) == pytest.approx(0.4 * 2, abs=5 * 0.8 / 60_000**0.5)
    rows = corrupt(torch.zeros(20_000, 2), "noise", 0.5, TABLE)
    for column, spread in enumerate((0.5, 1.5)):
        assert float(rows[:, column].std()) == pytest.approx(spread, abs=5 * spread / 40_000**0.5)


def test_more_strength_is_more_of_the_same_noise():
    inputs = inputs_of("image")
    weak, strong = (corrupt(inputs, "noise", s, IMAGE) - inputs for s in (0.1, 0.4))
    torch.testing.assert_close(4 * weak, strong, rtol=1e-4, atol=1e-5)
    rows = inputs_of("table", 500)
    few, many = (corrupt(rows, "missing", s, TABLE) != rows for s in (0.2, 0.6))
    assert bool((few <= many).all())


@pytest.mark.parametrize("strength", [0.02, 0.06, 0.1, 0.4])
@pytest.mark.parametrize("shape", [(3, 1, 8, 8), (2, 3, 28, 20), (70, 1, 5, 9)])
def test_blur_is_scipys(strength, shape):
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    sigma = strength * min(shape[-2:])
    expected = gaussian_filter(
        inputs.double().numpy(), sigma=(0, 0, sigma, sigma), mode="nearest", truncate=4.0
    )
    found = corrupt(inputs, "blur", strength, IMAGE)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-5)


def test_contrast_by_hand():
    image = torch.tensor([[[[0.0, 4.0], [2.0, 2.0]], [[10.0, 10.0], [10.0, 30.0]]]])  # means 2 and 15
    found = corrupt(image, "contrast", 0.5, IMAGE)
    expected = torch.tensor([[[[1.0, 3.0], [2.0, 2.0]], [[12.5, 12.5], [12.5, 22.5]]]])
    torch.testing.assert_close(found, expected)
    plain = corrupt(image, "contrast", 1.0, IMAGE)
    torch.testing.assert_close(plain[0, 1], torch.full((2, 2), 15.0))


@pytest.mark.parametrize(("strength", "side"), [(0.25, 3), (1 / 36, 1), (16 / 36, 4), (0.001, 1)])
def test_an_empty_square_hides_the_same_area_everywhere(strength, side):
    inputs = torch.ones(200, 2, 6, 6)
    ground = dataclasses.replace(IMAGE, empty=torch.tensor([-1.0, -2.0]).reshape(2, 1, 1))
    found = corrupt(inputs, "occlusion", strength, ground)
    places = set()
    for image in found:
        hidden = (image[0] == -1).nonzero()
        assert torch.equal(image[0] == -1, image[1] == -2)
        top, left = hidden.min(dim=0).values.tolist()
        bottom, right = hidden.max(dim=0).values.tolist()
        assert len(hidden) == (bottom - top + 1) * (right - left + 1) == side**2
        assert bottom - top == right - left
        assert bool((image[0][image[0] != -1] == 1).all())
        places.add((top, left))
    assert CORRUPTIONS["occlusion"].snap(strength, inputs.shape) == pytest.approx(side**2 / 36)
    every = {(top, left) for top in range(7 - side) for left in range(7 - side)}
    assert places == every


def rolled(image, direction, step, empty):
    """torch.roll along one axis, and what came round filled by hand."""
    axis, forward = {"right": (2, 1), "left": (2, -1), "down": (1, 1), "up": (1, -1)}[direction]
    moved = torch.roll(image, forward * step, dims=axis).movedim(axis, 0)
    came_round = range(step) if forward > 0 else range(len(moved) - step, len(moved))
    for place in came_round:
        moved[place] = empty
    return moved.movedim(0, axis)


@pytest.mark.parametrize(("strength", "step"), [(1 / 8, 1), (3 / 8, 3), (1.0, 8)])
def test_shift_is_a_roll_whose_border_is_empty(strength, step):
    inputs = torch.randn((60, 2, 8, 11), generator=torch.Generator().manual_seed(3))
    found = corrupt(inputs, "shift", strength, IMAGE)
    seen = set()
    for image, moved in zip(inputs, found, strict=True):
        ways = [
            w for w in ("right", "left", "down", "up") if torch.equal(moved, rolled(image, w, step, -1.0))
        ]
        assert ways
        seen.update(ways)
    assert seen == {"right", "left", "down", "up"}


def test_shift_leaves_nothing_when_it_moves_the_image_away():
    inputs = torch.ones(8, 1, 4, 4)
    assert bool((corrupt(inputs, "shift", 2.0, IMAGE) == -1).all())


def test_missing_features_become_their_means():
    rows = torch.zeros(20_000, 2)
    found = corrupt(rows, "missing", 0.3, TABLE)
    for column, mean in enumerate((10.0, 20.0)):
        assert set(found[:, column].tolist()) == {0.0, mean}
        share = float((found[:, column] == mean).float().mean())
        assert share == pytest.approx(0.3, abs=5 * (0.21 / 20_000) ** 0.5)


def test_missing_words_become_the_empty_token():
    words = torch.full((400, 50), 7)
    found = corrupt(words, "missing-words", 0.2, dataclasses.replace(TOKENS, empty=3))
    assert set(found.unique().tolist()) == {3, 7}
    assert float((found == 3).float().mean()) == pytest.approx(0.2, abs=5 * (0.16 / 20_000) ** 0.5)


def test_the_ground_is_the_calibration_data():
    data = dataset((2, 5, 5), 4, 30)
    data = dataclasses.replace(data, offset=(0.5, 0.2), scale=(0.25, 0.1))
    ground = ground_of(data, load(randomise(ConvNet()), (2, 5, 5)))
    values = data.calibration.inputs.numpy()
    assert ground.kind == "image"
    assert float(ground.std) == pytest.approx(values.std(), rel=1e-5)
    assert ground.empty.flatten().tolist() == pytest.approx([-2.0, -2.0])
    table = dataset((5,), 3, 30)
    ground = ground_of(table, load(randomise(Mlp()), (5,)))
    assert ground.kind == "table"
    np.testing.assert_allclose(ground.std, table.calibration.inputs.numpy().std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(ground.mean, table.calibration.inputs.numpy().mean(axis=0), rtol=1e-5)


def test_the_evaluation_data_stand_in_for_missing_calibration_data():
    data = dataset((5,), 3, 30)
    none = dataclasses.replace(data, calibration=data.calibration.take(torch.arange(0)))
    ground = ground_of(none, load(randomise(Mlp()), (5,)))
    np.testing.assert_allclose(ground.mean, data.evaluation.inputs.numpy().mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("padding", [None, 0, 4])
def test_the_empty_token_is_the_embeddings_own(padding):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(9, 4, padding_idx=padding)
            self.head = nn.Linear(4, 3)

        def forward(self, tokens):
            return self.head(self.embedding(tokens).mean(dim=1))

    words = torch.randint(9, (5, 6), generator=torch.Generator().manual_seed(0))
    split = Split(words, torch.zeros(5, dtype=torch.long), "words")
    data = Dataset("words", CLASSIFICATION, split, split)
    ground = ground_of(data, trace(Words(), words[:1], "words"))
    assert (ground.kind, ground.empty) == ("tokens", padding or 0)


def test_what_suits_which_data():
    names = {kind: [c.name for c in corruptions_for(kind)] for kind in GROUNDS}
    assert names == {
        "image": ["noise", "blur", "contrast", "occlusion", "shift"],
        "table": ["noise", "missing"],
        "tokens": ["missing-words"],
    }
    assert kind_of(torch.zeros(2, 3, 4)) == "table"
    with pytest.raises(DataError, match="noise, missing"):
        corrupt(inputs_of("table"), "blur", 0.1, TABLE)
    with pytest.raises(DataError, match="'fog'"):
        corrupt(inputs_of("table"), "fog", 0.1, TABLE)
    assert all(c.label and c.sentence.endswith(".") and c.axis for c in CORRUPTIONS.values())
