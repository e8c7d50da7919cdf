"""Networks whose layers, blocks and paths are known by hand."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Reads (3,): a stem, two residual blocks with a ReLU after the sum, a head. Its blocks can be left out."""

    def __init__(self, skipped: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 4)
        self.a1, self.a2 = nn.Linear(4, 6), nn.Linear(6, 4)
        self.b1, self.b2 = nn.Linear(4, 5), nn.Linear(5, 4)
        self.head = nn.Linear(4, 3)
        self.skipped = skipped

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(x if "a" in self.skipped else x + self.a2(torch.tanh(self.a1(x))))
        x = F.relu(x if "b" in self.skipped else self.b2(torch.tanh(self.b1(x))) + x)
        return self.head(x)


class Chain(nn.Module):
    """Reads (3,): equal widths, then a bottleneck that comes back to them. Parts can be left out."""

    def __init__(self, skipped: str = "") -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 6), nn.Linear(6, 6)
        self.down, self.up = nn.Linear(6, 2), nn.Linear(2, 6)
        self.head = nn.Linear(6, 3)
        self.skipped = skipped

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(x))
        if self.skipped != "fc2":
            x = F.relu(self.fc2(x))
        if self.skipped != "bottleneck":
            x = torch.tanh(self.up(torch.tanh(self.down(x))))
        return self.head(x)


class TimeFirst(nn.Module):
    """Reads (5, 4) steps; the first layer sees (N, T), the second (T, N), the third both folded together."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 6), nn.Linear(6, 7), nn.Linear(7, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x)).transpose(0, 1)
        x = torch.tanh(self.second(x)).transpose(0, 1)
        x = torch.tanh(self.third(x.reshape(-1, 7))).reshape(-1, 5, 5)
        return self.head(x.mean(dim=1))
