"""The architectures of the sample networks.

References:
1) LeCun et al. 1998, "Gradient-based learning applied to document recognition" (LeNet)
2) Ioffe & Szegedy 2015, "Batch normalization" (BatchNorm after each convolution)
3) He et al. 2016, "Deep residual learning for image recognition" (shortcuts, projections)
4) Tompson et al. 2015, "Efficient object localization using convolutional networks" (channel dropout)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class MLPConfig:
    inputs: int = 64
    hidden: tuple[int, ...] = (256, 256, 128, 64)
    outputs: int = 10


class MLP(nn.Module):
    """Fully connected layers with ReLU between them."""

    def __init__(self, config: MLPConfig) -> None:
        super().__init__()
        widths = (config.inputs, *config.hidden)
        self.flatten = nn.Flatten()
        self.hidden = nn.Sequential()
        for i, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
            self.hidden.add_module(f"fc{i}", nn.Linear(fan_in, fan_out))
            self.hidden.add_module(f"relu{i}", nn.ReLU())
        self.head = nn.Linear(widths[-1], config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (N, ...) -> (N, outputs)
        return self.head(self.hidden(self.flatten(x)))


@dataclass(frozen=True)
class CNNConfig:
    channels: tuple[int, ...] = (32, 64, 64)
    dropout: float = 0.3
    outputs: int = 10


class CNN(nn.Module):
    """3x3 convolutions with BatchNorm and ReLU, halving once, then global average pooling.

    Whole channels are dropped in training, so that no single channel becomes indispensable [4].
    """

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        a, b, c = config.channels
        self.conv1 = nn.Conv2d(1, a, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(a)
        self.relu1 = nn.ReLU()
        self.drop1 = nn.Dropout2d(config.dropout)
        self.conv2 = nn.Conv2d(a, b, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(b)
        self.relu2 = nn.ReLU()
        self.drop2 = nn.Dropout2d(config.dropout)
        self.pool = nn.MaxPool2d(2)
        self.conv3 = nn.Conv2d(b, c, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(c)
        self.relu3 = nn.ReLU()
        self.average = nn.AdaptiveAvgPool2d(1)
        self.drop3 = nn.Dropout(config.dropout)
        self.head = nn.Linear(c, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (N, 1, H, W) -> (N, outputs)
        x = self.drop1(self.relu1(self.bn1(self.conv1(x))))  # (N, a, H, W)
        x = self.pool(self.drop2(self.relu2(self.bn2(self.conv2(x)))))  # (N, b, H/2, W/2)
        x = self.relu3(self.bn3(self.conv3(x)))  # (N, c, H/2, W/2)
        return self.head(self.drop3(torch.flatten(self.average(x), 1)))


@dataclass(frozen=True)
class LeNetConfig:
    channels: tuple[int, int] = (16, 32)
    hidden: tuple[int, int] = (120, 84)
    outputs: int = 10


class LeNet(nn.Module):
    """LeNet-5 for 28x28 images [1], with ReLU and max-pooling and twice its channels."""

    def __init__(self, config: LeNetConfig) -> None:
        super().__init__()
        a, b = config.channels
        h1, h2 = config.hidden
        self.conv1 = nn.Conv2d(1, a, 5, padding=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(a, b, 5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(b * 5 * 5, h1)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(h1, h2)
        self.relu4 = nn.ReLU()
        self.head = nn.Linear(h2, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (N, 1, 28, 28) -> (N, outputs)
        x = self.pool1(self.relu1(self.conv1(x)))  # (N, a, 14, 14)
        x = self.pool2(self.relu2(self.conv2(x)))  # (N, b, 5, 5)
        x = self.relu3(self.fc1(self.flatten(x)))
        return self.head(self.relu4(self.fc2(x)))


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut; a 1x1 projection where the shape changes [3]."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(fan_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(fan_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or fan_in != fan_out:
            self.shortcut.add_module("conv", nn.Conv2d(fan_in, fan_out, 1, stride, bias=False))
            self.shortcut.add_module("bn", nn.BatchNorm2d(fan_out))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu2(y + self.shortcut(x))


@dataclass(frozen=True)
class ResNetConfig:
    widths: tuple[int, ...] = (16, 32, 64)
    blocks: tuple[int, ...] = (1, 1, 1)
    outputs: int = 10


class ResNet(nn.Module):
    """A residual network for small images: a stem, stages that halve and double, average pooling [3]."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, config.widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(config.widths[0])
        self.relu = nn.ReLU()
        fan_in = config.widths[0]
        for stage, (width, count) in enumerate(zip(config.widths, config.blocks, strict=True)):
            blocks = []
            for i in range(count):
                blocks.append(Block(fan_in, width, stride=2 if stage > 0 and i == 0 else 1))
                fan_in = width
            self.add_module(f"stage{stage + 1}", nn.Sequential(*blocks))
        self.stages = len(config.widths)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(fan_in, config.outputs)

    def forward(self, x: Tensor) -> Tensor:  # (N, 1, H, W) -> (N, outputs)
        x = self.relu(self.bn1(self.conv1(x)))
        for stage in range(self.stages):
            x = self.get_submodule(f"stage{stage + 1}")(x)
        return self.head(torch.flatten(self.average(x), 1))


Config = MLPConfig | CNNConfig | LeNetConfig | ResNetConfig


def build(config: Config) -> nn.Module:
    """The untrained architecture of `config`."""
    match config:
        case MLPConfig():
            return MLP(config)
        case CNNConfig():
            return CNN(config)
        case LeNetConfig():
            return LeNet(config)
        case ResNetConfig():
            return ResNet(config)
