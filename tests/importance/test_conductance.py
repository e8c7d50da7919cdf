"""Conductance against its definition in a loop, and in closed form for a linear network."""

import numpy as np
import pytest
import torch
from torch import nn

from analysis.importance import score
from analysis.importance.conductance import STEPS
from analysis.tasks import CLASSIFICATION, REGRESSION
from analysis.tracing import trace
from sample_models.architectures import ResNet, ResNetConfig
from tests.importance import oracles
from tests.networks import ConvNet, Mlp, dataset, randomise

CASES = {
    "conv": (ConvNet, (2, 5, 5), 4, CLASSIFICATION, {"conv1": "relu1", "conv2": "relu2", "head": "head"}),
    "tanh": (lambda: Mlp(nn.Tanh), (5,), 3, CLASSIFICATION, {"fc1": "act1", "fc2": "act2", "head": "head"}),
    "regression": (
        lambda: Mlp(outputs=1),
        (5,),
        1,
        REGRESSION,
        {"fc1": "act1", "fc2": "act2", "head": "head"},
    ),
    "residual": (
        lambda: ResNet(ResNetConfig((3, 4), (1, 1), 3)),
        (1, 6, 6),
        3,
        CLASSIFICATION,
        {
            "conv1": "relu",
            "stage1.0.conv1": "stage1.0.relu1",
            "stage1.0.conv2": "stage1.0.relu2",
            "stage2.0.conv1": "stage2.0.relu1",
            "stage2.0.conv2": "stage2.0.relu2",
            "stage2.0.shortcut.conv": "stage2.0.relu2",
            "head": "head",
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_against_the_definition(name):
    build, shape, classes, task, heard = CASES[name]
    module = randomise(build())
    # 40 examples times 9 points take more than one of Captum's inner batches of 256
    data = dataset(shape, classes, 40 if name == "tanh" else 6, task=task)
    scores = score(trace(module, torch.zeros(1, *shape), "tiny"), "conductance", data)
    assert set(scores.values) == set(heard)
    targets = data.calibration.targets if task is CLASSIFICATION else None
    for layer, place in heard.items():
        expected = oracles.conductance(module, place, data.calibration.inputs, targets, STEPS)
        assert max(expected) > 0
        assert scores.values[layer].tolist() == pytest.approx(expected, rel=1e-3, abs=1e-5 * max(expected)), (
            layer
        )


def test_closed_form_of_a_linear_network():
    """Without an activation, what flows through unit j to answer t is head[t, j] (w_j · x)."""
    module = randomise(nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2)))
    data = dataset((3,), 2, 10)
    values = score(trace(module, torch.zeros(1, 3), "linear"), "conductance", data).values["0"]
    nodes = np.polynomial.legendre.leggauss(STEPS + 1)[0]
    covered = float(nodes[-1] - nodes[0]) / 2  # the quadrature stops short of both ends of the path
    assert 0.9 < covered < 1
    first, head = module[0].weight.detach(), module[1].weight.detach()
    for unit in range(4):
        total = 0.0
        for x, target in zip(data.calibration.inputs, data.calibration.targets, strict=True):
            through = float(head[target, unit]) * float(first[unit] @ x)
            total += abs(through) * covered
        assert float(values[unit]) == pytest.approx(total / 10, rel=1e-4)


def test_the_shared_network_is_never_hooked(monkeypatch):
    """Captum works with hooks; other sessions use the same modules, so it must hook a copy."""
    net = trace(randomise(Mlp()), torch.zeros(1, 5), "mlp")
    hooked = []
    for name in ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"):
        original = getattr(nn.Module, name)

        def record(self, *args, original=original, **kwargs):
            hooked.append(self)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(nn.Module, name, record)
    score(net, "conductance", dataset((5,), 3, 8))
    assert hooked
    own = {id(module) for module in net.module.modules()}
    assert not [module for module in hooked if id(module) in own]


def test_only_the_true_answer_counts():
    """Of the last layer's channels, only those that are some example's answer have conductance."""
    module = randomise(Mlp())
    data = dataset((5,), 3, 8)
    data.calibration.targets[:] = 1
    head = score(trace(module, torch.zeros(1, 5), "one"), "conductance", data).values["head"]
    assert float(head[0]) == 0 == float(head[2])
    assert float(head[1]) > 0
