"""Sensitivity after repair: a planted loss that a repair takes back is none, and the rest is measured as by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from analysis.allocation.repaired_curves import repair, repaired_sweep
from analysis.datasets import Dataset, Split
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.network import Network
from analysis.pruning.plan import make_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import Selection, select
from analysis.recovery.pruned import begin
from analysis.recovery.reconstruct import reconstruct
from analysis.sensitivity import sweep
from analysis.tasks import CLASSIFICATION
from tests.networks import Mlp, load, randomise


class Offset(nn.Module):
    """Says on which side of 0 an image's mean lies, behind a channel that adds a constant to what BatchNorm reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, 1)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.flatten(self.pool(self.bn(self.conv2(self.relu(self.conv1(x)))))))


def offset() -> tuple[Network, Dataset]:
    """The network, and images on which it is always right; its BatchNorm has their very statistics."""
    images = torch.randn(64, 1, 1, 1, generator=torch.Generator().manual_seed(0)).expand(64, 1, 2, 2)
    images = (images + 0.5 * images.sign()).contiguous()
    model = Offset()
    with torch.no_grad():
        model.conv1.weight[:] = torch.tensor([2.0, -2.0, 0.0]).reshape(3, 1, 1, 1)
        model.conv1.bias[:] = torch.tensor([0.0, 0.0, 0.5])
        model.conv2.weight[:] = torch.tensor([[1.0, 0.0, 40.0], [0.0, 1.0, -40.0]]).reshape(2, 3, 1, 1)
        model.head.weight[:] = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
        model.head.bias.zero_()
        model.bn.momentum = None  # the average over all batches, which is one
        model.bn.train()(model.conv2(model.relu(model.conv1(images))))
        labels = model.eval()(images).argmax(1)
    split = Split(images, labels, "images")
    return load(model, (1, 2, 2), "offset"), Dataset("images", CLASSIFICATION, split, split)


def test_what_a_repair_takes_back_is_no_loss():
    """The L1 norm ranks the constant channel last: without it BatchNorm is off by 20, until it is recalibrated."""
    network, dataset = offset()
    scores = score(network, "l1")
    before = copy.deepcopy(network.module.state_dict())
    points = list(repaired_sweep(network, scores, "channel", dataset, dataset.evaluation))
    cut = {
        (p.target, p.ratio): p.quality.value
        for p in sweep(Gauge(network, dataset.evaluation, CLASSIFICATION), scores, "channel")
    }
    mended = {(p.target, p.ratio): p.quality.value for p in points}
    assert mended["conv1", 0.3] == 1.0 > cut["conv1", 0.3]
    assert all(p.examples == 64 for p in points)
    after = network.module.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), "the network was changed"


def test_points_are_what_pruning_and_repairing_by_hand_give():
    network = load(randomise(Mlp()), (5,), "mlp")
    inputs = torch.randn(60, 5, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        labels = network.module(inputs).argmax(1)
    split = Split(inputs, labels, "noise")
    dataset = Dataset("noise", CLASSIFICATION, split, split)
    scores = score(network, "l1")
    shares: list[float] = []
    points = list(repaired_sweep(network, scores, "weight", dataset, split, progress=shares.append))
    for point in points:
        plan = make_plan(network, "l1", "weight", {point.target: point.ratio})
        ready = begin(network, prune(network, plan, scores), select(network, plan, scores), dataset)
        with torch.no_grad():
            right = reconstruct(ready).network.module(inputs).argmax(1) == labels
        assert point.quality.value == pytest.approx(float(right.double().mean()))
    assert shares == sorted(shares) and shares[-1] == 1.0
    again = list(repaired_sweep(network, scores, "weight", dataset, split, known=points[:5]))
    assert [(p.target, p.ratio) for p in again] == [(p.target, p.ratio) for p in points[5:]]


def test_where_nothing_is_amiss_nothing_changes():
    network = load(randomise(Mlp()), (5,), "mlp")
    inputs = torch.randn(60, 5, generator=torch.Generator().manual_seed(1))
    split = Split(inputs, torch.arange(60) % 3, "noise")
    whole = begin(network, network, Selection(), Dataset("noise", CLASSIFICATION, split, split))
    with torch.no_grad():
        assert torch.equal(repair(whole).module(inputs), network.module(inputs))
