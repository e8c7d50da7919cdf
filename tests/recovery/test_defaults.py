"""What training begins with: augmentations that planted networks bear or not, and recipes by kind."""

import time

import pytest
import torch
from torch import nn

from analysis.datasets import Dataset, Split
from analysis.pruning.selection import Selection
from analysis.recovery.augmentation import NOTHING, Augmentation
from analysis.recovery.defaults import bearable, recipe_for, seconds_per_epoch
from analysis.recovery.distil import Distillation
from analysis.recovery.pruned import begin
from analysis.recovery.recipe import Recipe
from analysis.tasks import CLASSIFICATION, REGRESSION
from tests.networks import ConvNet, Mlp, dataset, load, randomise


def _whole(module, inputs, targets):
    """A dense network on its way, with examples of its own."""
    network = load(module.eval(), tuple(inputs.shape[1:]), "planted")
    split = Split(inputs, targets, "planted")
    return begin(network, network, Selection(), Dataset("planted", CLASSIFICATION, split, split))


class Sums(nn.Module):
    """Tells where the light is: class 0 in the `near` part of an image, class 1 in the rest."""

    def __init__(self, weights):
        super().__init__()
        self.head = nn.Linear(weights.numel(), 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.stack([weights.flatten(), -weights.flatten()]))
            self.head.bias.zero_()

    def forward(self, x):
        return self.head(torch.flatten(x, 1))


def _lit(left, count=60):
    """Images (1, 14, 14) with one lit pixel, in the left or right half (or upper or lower), away from the edges."""
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.zeros(count, 1, 14, 14), torch.arange(count) % 2
    for image, label in zip(images, labels.tolist(), strict=True):
        across = int(torch.randint(2, 5, (1,), generator=generator)) + 7 * label
        along = int(torch.randint(2, 12, (1,), generator=generator))
        image[0, along, across] = 1 if left else 0
        if not left:
            image[0, across, along] = 1
    return images, labels


def test_who_tells_left_from_right_is_not_mirrored():
    weights = torch.ones(14, 14)
    weights[:, 7:] = -1
    assert bearable(_whole(Sums(weights), *_lit(left=True))) == Augmentation(shift=1, flip=False)


def test_who_tells_above_from_below_is_mirrored():
    weights = torch.ones(14, 14)
    weights[7:] = -1
    assert bearable(_whole(Sums(weights), *_lit(left=False))) == Augmentation(shift=1, flip=True)


def test_who_counts_every_pixel_is_not_shifted():
    rows, columns = torch.meshgrid(torch.arange(14), torch.arange(14), indexing="ij")
    weights = 1.0 - 2.0 * ((rows + columns) % 2)  # a chessboard
    images, labels = _lit(left=True)
    pixel = images.flatten(1).argmax(dim=1)
    labels = ((pixel // 14 + pixel % 14) % 2).long()
    assert bearable(_whole(Sums(weights), images, labels)).shift == 0


def test_tables_and_tokens_are_left_alone():
    network, data = load(randomise(Mlp()), (5,)), dataset((5,), 3, 40)
    assert bearable(begin(network, network, Selection(), data)) == NOTHING


def test_the_process_chance_is_left_alone():
    network, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 40)
    before = torch.get_rng_state()
    recipe_for(begin(network, network, Selection(), data))
    assert torch.equal(before, torch.get_rng_state())


def test_recipes_go_by_kind():
    conv, images = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 40)
    assert recipe_for(begin(conv, conv, Selection(), images)).optimiser == "sgd"
    one, table = load(randomise(Mlp(outputs=1)), (5,)), dataset((5,), 2, 40, task=REGRESSION)
    assert recipe_for(begin(one, one, Selection(), table)).optimiser == "adamw"


def test_epochs_fall_with_the_number_of_examples():
    network = load(randomise(Mlp()), (5,))
    epochs = {
        count: recipe_for(begin(network, network, Selection(), dataset((5,), 3, count))).epochs
        for count in (40, 10_000, 100_000)
    }
    # 9,000 examples are 141 steps of 64, and 2,300 steps are 16 times that; 99,000 examples are 1,547
    assert epochs == {40: 60, 10_000: 16, 100_000: 8}


@pytest.mark.parametrize("distillation", [None, Distillation()])
@pytest.mark.parametrize("count", [8, 40, 300])
def test_the_estimate_counts_every_example(distillation, count, monkeypatch):
    """On a clock that goes one second a look, a step takes one second: an epoch as many as it has batches."""
    network = load(randomise(Mlp()), (5,))
    begun = begin(network, network, Selection(), dataset((5,), 3, count))
    looks = iter(range(10_000))
    monkeypatch.setattr(time, "process_time", lambda: float(next(looks)))
    recipe = Recipe(5, batch=16)
    expected = len(begun.fit) / min(16, len(begun.fit))
    assert seconds_per_epoch(begun, recipe, distillation) == pytest.approx(expected)
