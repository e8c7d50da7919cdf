"""Zoo: networks of linear layers, and control flow, sharing and heads that any network may have."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import entry


def _mlp(activation: type[nn.Module], outputs: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 12), activation(), nn.Linear(12, 10), activation(), nn.Linear(10, outputs)
    )


class BatchNormMlp(nn.Module):
    """BatchNorm after the activation, so that what is normalised away must go with its channel."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.bn1 = nn.Linear(6, 12), nn.BatchNorm1d(12)
        self.fc2, self.bn2 = nn.Linear(12, 10), nn.BatchNorm1d(10)
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(torch.sigmoid(self.fc1(x)))
        return self.head(F.leaky_relu(self.bn2(self.fc2(x)), 0.2))


class SharedLinear(nn.Module):
    """One linear layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.head = nn.Linear(6, 10), nn.Linear(10, 10), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.middle(x))
        return self.head(torch.relu(self.middle(x)))


class ReusedActivation(nn.Module):
    """One in-place activation module for all layers, on a residual path too."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 10), nn.Linear(10, 10), nn.Linear(10, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.fc1(x))
        x = x + self.act(self.fc2(x))
        return self.head(self.act(self.fc3(x)))


class BranchOnShape(nn.Module):
    """Python decides by the shape of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.uncalled = nn.Linear(6, 10), nn.Linear(3, 10)
        self.fc, self.head = nn.Linear(10, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.wide(x) if x.shape[-1] > 4 else self.uncalled(x)
        return self.head(F.gelu(self.fc(torch.tanh(x))))


class TrainingDropout(nn.Module):
    """Handed over in train mode, with dropout as a module and as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.bn, self.fc2 = nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Linear(12, 10)
        self.drop, self.head = nn.Dropout(0.4), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(F.relu(self.bn(self.fc1(x))))
        return self.head(F.dropout(F.relu(self.fc2(x)), 0.3, training=self.training))


class TwoHeads(nn.Module):
    """The answer is the mean of two heads of different depth."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 12)
        self.left, self.right = nn.Linear(12, 4), nn.Linear(12, 8)
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.elu(self.body(x))
        return (self.left(x) + self.last(F.silu(self.right(x)))) / 2


class BranchMaximum(nn.Module):
    """Three branches, of which the largest value is kept channel by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 10), nn.Linear(6, 10), nn.Linear(6, 10)
        self.fc, self.head = nn.Linear(10, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.maximum(torch.max(self.a(x), self.b(x)), self.c(x))
        return self.head(F.relu(self.fc(x)))


class StackedMaximum(nn.Module):
    """Two branches stacked along a new dimension, then reduced over it; a maxout layer after them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 18)
        self.head = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.stack([F.relu(self.a(x)), F.relu(self.b(x))], dim=1).mean(dim=1)
        return self.head(self.out(x).view(-1, 9, 2).max(dim=-1).values)


class HardCodedView(nn.Module):
    """The code names the sizes of a hidden vector that it folds into a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.conv = nn.Linear(6, 32), nn.Conv1d(4, 6, 3)
        self.fc2, self.head = nn.Linear(36, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(x)).view(x.size(0), 4, 8)
        return self.head(F.relu(self.fc2(F.relu(self.conv(x)).reshape(-1, 36))))


class GatedLinear(nn.Module):
    """A gated linear unit: one half of the outputs decides how much of the other is heard."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.wide, self.glu = nn.Linear(6, 20), nn.GLU(dim=-1)
        self.fc, self.head = nn.Linear(10, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.wide(x)
        if self.how == "chunk":
            value, gate = x.chunk(2, dim=-1)
            x = value * torch.sigmoid(gate)
        elif self.how == "split":
            value, gate = torch.split(x, [10, 10], dim=1)
            x = torch.tanh(value) * gate.sigmoid()
        else:
            x = self.glu(x)
        return self.head(F.relu(self.fc(x)))


class SwiGlu(nn.Module):
    """The gate and the value have a layer each (LLaMA); RMS normalisation by hand before them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.scale = nn.Linear(6, 8), nn.Parameter(torch.ones(8))
        self.gate, self.up, self.down = nn.Linear(8, 14), nn.Linear(8, 14), nn.Linear(14, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.scale
        return self.head(x + self.down(F.silu(self.gate(y)) * self.up(y)))


class LayerNormResidual(nn.Module):
    """Residual blocks with a LayerNorm at their entrance."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.norm1, self.fc1, self.fc2 = nn.LayerNorm(8), nn.Linear(8, 14), nn.Linear(14, 8)
        self.norm2, self.head = nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.fc2(F.gelu(self.fc1(self.norm1(x))))
        return self.head(self.norm2(x))


class Softmaxed(nn.Module):
    """A softmax over hidden channels in the middle, and probabilities over classes at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.head = nn.Linear(6, 10), nn.Linear(10, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.softmax(self.fc1(x), dim=1)
        return F.log_softmax(self.head(F.relu(self.fc2(x))), dim=1)


VECTOR = (6,)
NETWORKS = (
    entry("mlp", lambda: _mlp(nn.ReLU), VECTOR, "the plain case"),
    entry("mlp-sigmoid", lambda: _mlp(nn.Sigmoid), VECTOR, "a silent channel still says sigmoid(0)"),
    entry("mlp-batchnorm", BatchNormMlp, VECTOR, "BatchNorm after the activation, functional activations"),
    entry("regression", lambda: _mlp(nn.Tanh, 1), VECTOR, "a single output"),
    entry("shared-linear", SharedLinear, VECTOR, "one linear layer called twice"),
    entry("reused-activation", ReusedActivation, VECTOR, "one in-place activation for all layers"),
    entry("branch-on-shape", BranchOnShape, VECTOR, "Python branches on the shape; a layer is never called"),
    entry("dropout-in-train", TrainingDropout, VECTOR, "handed over in train mode", training=True),
    entry("two-heads", TwoHeads, VECTOR, "the answer is the mean of two heads"),
    entry("branch-maximum", BranchMaximum, VECTOR, "element-wise maximum of three branches"),
    entry("stacked-maximum", StackedMaximum, VECTOR, "stack and mean of branches, then maxout by a view"),
    entry("hard-coded-view", HardCodedView, VECTOR, "the code names the sizes of a hidden vector"),
    entry("glu-chunk", lambda: GatedLinear("chunk"), VECTOR, "gated linear unit by chunk"),
    entry("glu-split", lambda: GatedLinear("split"), VECTOR, "gated linear unit by split with sizes"),
    entry("glu-module", lambda: GatedLinear("module"), VECTOR, "gated linear unit as nn.GLU"),
    entry("swiglu", SwiGlu, VECTOR, "gate and value with a layer each; RMS normalisation by hand"),
    entry("layernorm-residual", LayerNormResidual, VECTOR, "LayerNorm over the residual stream"),
    entry("softmax-inside", Softmaxed, VECTOR, "softmax over hidden channels, log-softmax at the end"),
)
