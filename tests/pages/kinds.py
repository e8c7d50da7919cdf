"""Networks and data of every kind the app opens and no sample is of, for the server's command line."""

import torch
from torch import Tensor, nn

from tests.written import Written


def text() -> tuple[nn.Module, Tensor]:
    """Tokens to three classes."""
    parts = {"words": nn.Embedding(20, 4), "conv": nn.Conv1d(4, 6, 3, padding=1), "head": nn.Linear(6, 3)}
    net = Written(lambda s, x: s.head(torch.relu(s.conv(s.words(x).transpose(1, 2))).mean(2)), **parts)
    return net, torch.zeros(1, 9, dtype=torch.long)


def text_data() -> tuple[Tensor, Tensor]:
    return torch.randint(20, (60, 9)), torch.arange(60) % 3


def binary() -> tuple[nn.Module, Tensor]:
    """A table of many features to a single output for two classes."""
    return nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 1)), torch.zeros(1, 30)


def binary_data() -> tuple[Tensor, Tensor]:
    return torch.randn(60, 30), torch.arange(60) % 2


def brightness() -> tuple[nn.Module, Tensor]:
    """Colour images to a value."""
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 1)
    return nn.Sequential(*layers), torch.zeros(1, 3, 8, 8)


def brightness_data() -> tuple[Tensor, Tensor]:
    images = torch.rand(60, 3, 8, 8)
    return images, images.mean((1, 2, 3))


def series() -> tuple[nn.Module, Tensor]:
    """Five steps of four numbers to three classes."""
    net = Written(lambda s, x: s.head(torch.tanh(s.fc(x)).mean(1)), fc=nn.Linear(4, 6), head=nn.Linear(6, 3))
    return net, torch.zeros(1, 5, 4)


def series_data() -> tuple[Tensor, Tensor]:
    return torch.randn(60, 5, 4), torch.arange(60) % 3
