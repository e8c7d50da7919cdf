"""Tiny networks with seeded random weights, data to score them on, and channels that are dead or silent."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from analysis.datasets import Dataset, Split
from analysis.network import Network
from analysis.pruning.groups import with_groups
from analysis.tasks import CLASSIFICATION, REGRESSION, Task
from analysis.tracing import trace
from sample_models.architectures import (
    CNN,
    MLP,
    CNNConfig,
    LeNet,
    LeNetConfig,
    MLPConfig,
    ResNet,
    ResNetConfig,
    build,
)
from sample_models.catalog import BY_NAME, WEIGHTS_FOLDER


class ConvNet(nn.Module):
    """Two convolutions with BatchNorm; reads (2, 5, 5)."""

    def __init__(self, outputs: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.relu2 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        return self.head(torch.flatten(self.pool(x), 1))


class Mlp(nn.Module):
    """Two hidden layers; reads (5,)."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU, outputs: int = 3) -> None:
        super().__init__()
        self.fc1 = nn.Linear(5, 7)
        self.act1 = activation()
        self.fc2 = nn.Linear(7, 6)
        self.act2 = activation()
        self.head = nn.Linear(6, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act2(self.fc2(self.act1(self.fc1(x)))))


class Shares(nn.Module):
    """Divides by a sum, which is 0 once the first layer says nothing: NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(5, 8, bias=False), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.head(x / x.sum(1, keepdim=True))


class FlatNet(nn.Module):
    """A convolution whose 5x5 maps are flattened into a linear layer; reads (1, 7, 7)."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.act = activation()
        self.fc = nn.Linear(4 * 25, 6)
        self.act2 = activation()
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv(x))
        return self.head(self.act2(self.fc(torch.flatten(x, 1))))


class DepthwiseNet(nn.Module):
    """A depthwise convolution with BatchNorm between two others; reads (1, 6, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3)
        self.relu1 = nn.ReLU()
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.bn = nn.BatchNorm2d(6)
        self.relu2 = nn.ReLU()
        self.point = nn.Conv2d(6, 5, 1)
        self.relu3 = nn.ReLU()
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu2(self.bn(self.depthwise(self.relu1(self.stem(x)))))
        return self.head(self.relu3(self.point(x)).mean((2, 3)))


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """`module` in eval mode, with seeded random weights and BatchNorm statistics."""
    generator = torch.Generator().manual_seed(seed)

    def normal(value: Tensor, scale: float) -> None:
        value.copy_(torch.randn(value.shape, generator=generator) * scale)

    def uniform(value: Tensor) -> None:
        value.copy_(torch.rand(value.shape, generator=generator) + 0.5)

    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                uniform(child.weight)
                normal(child.bias, 0.4)
                normal(child.running_mean, 0.4)
                uniform(child.running_var)
            else:
                for value in child.parameters(recurse=False):
                    normal(value, 1.5 / math.sqrt(value[0].numel()) if value.dim() > 1 else 0.3)
    return module.eval()


def load(module: nn.Module, shape: tuple[int, ...], name: str = "tiny") -> Network:
    """The network of `module`, with its groups."""
    return with_groups(trace(module, torch.zeros(1, *shape), name))


ARCHITECTURES = {
    "resnet": (lambda: ResNet(ResNetConfig((5, 7, 11))), (1, 9, 9)),
    "small resnet": (lambda: ResNet(ResNetConfig((3, 4), (1, 1), 2)), (1, 6, 6)),
    "deep resnet": (lambda: ResNet(ResNetConfig((3,), (3,), 2)), (1, 6, 6)),
    "lenet": (lambda: LeNet(LeNetConfig()), (1, 28, 28)),
    "cnn": (lambda: CNN(CNNConfig((5, 7, 6))), (1, 8, 8)),
    "mlp": (lambda: MLP(MLPConfig(hidden=(9, 8))), (1, 8, 8)),
}


@cache
def architecture(name: str) -> tuple[nn.Module, Network]:
    """A sample architecture with random weights, as a module and loaded under its name; for reading only."""
    make, shape = ARCHITECTURES[name]
    module = randomise(make(), seed=3)
    return module, load(module, shape, name)


def sample_module(name: str) -> nn.Module:
    """The nn.Module of a sample, built without the code that loads samples."""
    module = build(BY_NAME[name].config)
    module.load_state_dict(load_file(WEIGHTS_FOLDER / f"{name}.safetensors"))
    return module.eval()


def dataset(
    shape: tuple[int, ...], classes: int, count: int = 12, *, task: Task = CLASSIFICATION, seed: int = 0
) -> Dataset:
    """Random examples of `shape`; evaluation and calibration differ."""
    return Dataset(
        "noise",
        task,
        evaluation=split(shape, classes, count, task=task, seed=seed + 1000),
        calibration=split(shape, classes, count, task=task, seed=seed),
    )


def split(
    shape: tuple[int, ...], classes: int, count: int, *, task: Task = CLASSIFICATION, seed: int = 0
) -> Split:
    """`count` random examples."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn((count, *shape), generator=generator)
    if task is REGRESSION:
        return Split(inputs, torch.randn(count, generator=generator), "noise")
    return Split(inputs, torch.randint(classes, (count,), generator=generator), "noise")


@torch.no_grad()
def plant_dead(module: nn.Module, written_by: Sequence[str], channels: Sequence[int]) -> None:
    """Zero all that `written_by` (layers and their BatchNorms) say in `channels`."""
    for name in written_by:
        writer = module.get_submodule(name)
        for attribute in ("weight", "bias", "running_mean"):
            value = getattr(writer, attribute, None)
            if value is not None:
                value[list(channels)] = 0


@contextmanager
def silenced(module: nn.Module, dead: Mapping[str, Sequence[int]]) -> Iterator[nn.Module]:
    """A copy of `module` in which the output channels ``dead[name]`` (dimension 1) of modules are zero."""
    twin = copy.deepcopy(module).eval()
    for name, channels in dead.items():

        def hook(_module: nn.Module, _inputs: Any, output: Tensor, gone: Sequence[int] = channels) -> Tensor:
            keep = torch.ones(output.shape[1])
            keep[list(gone)] = 0
            return output * keep.reshape(1, -1, *[1] * (output.dim() - 2))

        twin.get_submodule(name).register_forward_hook(hook)
    with torch.no_grad():
        yield twin


def snapshot(module: nn.Module) -> dict[str, Any]:
    """Everything of a module that scoring and pruning must leave alone; compare with :func:`same`."""
    return {
        "state": {key: value.clone() for key, value in module.state_dict().items()},
        "objects": {name: id(child) for name, child in module.named_modules()},
        "parameters": {name: (id(p), p.requires_grad, p.grad) for name, p in module.named_parameters()},
        "training": {name: child.training for name, child in module.named_modules()},
        "hooks": {
            name: sum(
                len(getattr(child, kind))
                for kind in (
                    "_forward_hooks",
                    "_forward_pre_hooks",
                    "_backward_hooks",
                    "_backward_pre_hooks",
                )
            )
            for name, child in module.named_modules()
        },
    }


def same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """True if two snapshots agree bit for bit."""
    states = before["state"].keys() == after["state"].keys() and all(
        value.dtype == after["state"][key].dtype and torch.equal(value, after["state"][key])
        for key, value in before["state"].items()
    )
    return states and all(before[key] == after[key] for key in before if key != "state")
