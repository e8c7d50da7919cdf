"""Networks to explain, small enough to recompute by hand."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.explain.attribution import attribute
from analysis.network import Network
from analysis.tracing import trace


class Reused(nn.Module):
    """One nn.ReLU called twice and one F.relu: what Captum gets wrong unless it is traced apart."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 8)
        self.head = nn.Linear(8, 3)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.fc2(self.relu(self.fc1(x))))
        return self.head(F.relu(self.fc3(x)))


class Convolutional(nn.Module):
    """Two convolutions on 2-channel images, the first with BatchNorm, F.relu after the second."""

    def __init__(self, side: int = 12) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu1 = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 5, 3)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(5 * (side // 2 - 2) ** 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu1(self.bn1(self.conv1(x))))
        return self.head(self.flatten(F.relu(self.conv2(x))))


class PreActivation(nn.Module):
    """Shortcuts around activations: what enters a ReLU is read by something else, too."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        return self.head(x + self.fc2(torch.relu(x)))


def preactivation() -> Network:
    """A traced :class:`PreActivation`."""
    torch.manual_seed(5)
    return trace(PreActivation(), torch.zeros(1, 6), "preactivation")


def reused() -> Network:
    """A traced :class:`Reused` with large enough weights to answer all kinds of things."""
    torch.manual_seed(0)
    module = Reused()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)
    return trace(module, torch.zeros(1, 6), "reused")


def convolutional(side: int = 12) -> Network:
    """A traced :class:`Convolutional` whose BatchNorm does something."""
    torch.manual_seed(1)
    module = Convolutional(side)
    module.bn1.running_mean.normal_(0, 0.3)
    module.bn1.running_var.uniform_(0.5, 2)
    return trace(module, torch.zeros(1, 2, side, side), "convolutional")


def smooth() -> Network:
    """A network without kinks."""
    torch.manual_seed(2)
    module = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 10), nn.Tanh(), nn.Linear(10, 3))
    return trace(module, torch.zeros(1, 6), "smooth")


def linear(outputs: int = 1) -> Network:
    """w·x + b: every attribution of it is known."""
    torch.manual_seed(3)
    return trace(nn.Sequential(nn.Linear(6, outputs)), torch.zeros(1, 6), "linear")


def examples(network: Network, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Seeded inputs that fit `network`, with classes to explain."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn((count, *network.example_input.shape[1:]), generator=generator)
    return inputs, torch.randint(3, (count,), generator=generator)


def gradients(network: Network, inputs: Tensor, targets: Tensor | None) -> Tensor:
    """Plain autograd: d answer / d input."""
    inputs = inputs.clone().requires_grad_(True)
    with torch.enable_grad():
        outputs = network.module(inputs)
        answers = outputs.sum() if targets is None else outputs.gather(1, targets[:, None]).sum()
    return torch.autograd.grad(answers, inputs)[0]


def answer(network: Network, inputs: Tensor, targets: Tensor | None) -> Tensor:
    """What is explained, shape (N,)."""
    with torch.no_grad():
        outputs = network.module(inputs)
    return outputs[:, 0] if targets is None else outputs.gather(1, targets[:, None])[:, 0]


def values_of(*arguments, **options) -> Tensor:
    """The attributions alone, of the inputs' shape."""
    return attribute(*arguments, **options).values
