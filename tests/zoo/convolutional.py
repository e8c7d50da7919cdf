"""Zoo: convolutional networks in one line: classics, normalisations, sharing, odd layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import entry


class LeNet(nn.Module):
    """Two convolutions flattened into linear layers, by function, by module or by a view."""

    def __init__(self, flatten: str, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.how, self.flat = flatten, nn.Flatten()
        self.conv1, self.conv2, self.pool = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 8, 3), nn.MaxPool2d(2)
        self.fc1, self.head = nn.Linear(8 * 4, 12), nn.Linear(12, 4)
        self.act1, self.act2, self.act3 = activation(), activation(), activation()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act2(self.conv2(self.pool(self.act1(self.conv1(x)))))
        x = F.avg_pool2d(x, 2)
        if self.how == "function":
            x = torch.flatten(x, 1)
        elif self.how == "module":
            x = self.flat(x)
        else:
            x = x.view(x.size(0), -1)
        return self.head(self.act3(self.fc1(x)))


def _vgg() -> nn.Module:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *block(3, 8), *block(8, 8), nn.MaxPool2d(2), *block(8, 12), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(12 * 4, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 4),
    )  # fmt: skip


class Normalised(nn.Module):
    """Convolutions with a normalisation other than BatchNorm between them."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 8, 3), first
        self.conv2, self.norm2 = nn.Conv2d(8, 12, 3), second
        self.conv3, self.head = nn.Conv2d(12, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        return self.head(F.relu(self.conv3(x)).mean((2, 3)))


class Prelu(nn.Module):
    """One slope shared by all channels, then one for each."""

    def __init__(self, shared: bool) -> None:
        super().__init__()
        self.conv1, self.act1 = nn.Conv2d(3, 8, 3), nn.PReLU(1 if shared else 8)
        self.conv2, self.act2 = nn.Conv2d(8, 10, 3), nn.PReLU(1 if shared else 10)
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act2(self.conv2(self.act1(self.conv1(x))))
        return self.head(x.mean((2, 3)))


class SharedConvolution(nn.Module):
    """One convolution called twice, with a BatchNorm of its own for each call."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1)
        self.bn1, self.bn2, self.head = nn.BatchNorm2d(8), nn.BatchNorm2d(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv(F.relu(self.stem(x)))))
        x = F.relu(self.bn2(self.conv(x)))
        return self.head(x.mean((-2, -1)))


class Functional(nn.Module):
    """No layer is a module: parameters, buffers and functions."""

    mean: Tensor
    var: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.zeros(8, 3, 3, 3)), nn.Parameter(torch.zeros(8))
        self.gamma, self.beta = nn.Parameter(torch.zeros(8)), nn.Parameter(torch.zeros(8))
        self.register_buffer("mean", torch.linspace(-0.5, 0.7, 8))
        self.register_buffer("var", torch.linspace(0.6, 1.4, 8))
        self.w2 = nn.Parameter(torch.zeros(10, 8, 3, 3))
        self.w3, self.b3 = nn.Parameter(torch.zeros(4, 10)), nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.w1, self.b1, padding=1)
        x = F.relu(F.batch_norm(x, self.mean, self.var, self.gamma, self.beta, training=False))
        x = F.relu(F.conv2d(F.max_pool2d(x, 2), self.w2))
        return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), self.w3, self.b3)


class OneDimensional(nn.Module):
    """Convolutions along time, dilated and strided, read at several positions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(2, 8, 3, dilation=2), nn.BatchNorm1d(8)
        self.conv2, self.pool = nn.Conv1d(8, 10, 3, stride=2), nn.AdaptiveMaxPool1d(3)
        self.head = nn.Linear(30, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.head(self.pool(F.relu(self.conv2(x))).flatten(1))


class Causal(nn.Module):
    """A temporal network: padded on the left only, the surplus cut off, residual."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv1 = nn.Conv1d(2, 8, 1), nn.Conv1d(8, 8, 3, padding=4, dilation=2)
        self.conv2, self.head = nn.Conv1d(8, 8, 2), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + F.relu(self.conv1(x))[:, :, :-4]
        x = x + F.relu(self.conv2(F.pad(x, (1, 0))))
        return self.head(x[:, :, -1])


class ThreeDimensional(nn.Module):
    """Convolutions over a volume."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(1, 6, 3), nn.BatchNorm3d(6)
        self.conv2, self.head = nn.Conv3d(6, 8, 2), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.head(F.relu(self.conv2(x)).mean((2, 3, 4)))


class PixelShuffled(nn.Module):
    """Channels become pixels: four of them go together."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 24, 3, padding=1)
        self.shuffle, self.conv3, self.head = nn.PixelShuffle(2), nn.Conv2d(6, 5, 3), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shuffle(self.conv2(F.relu(self.conv1(x))))
        return self.head(F.relu(self.conv3(x)).mean((2, 3)))


class Autoencoder(nn.Module):
    """Down, up again by transposed convolutions (one of them grouped), then classes."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(2, 6, 3, stride=2), nn.Conv2d(6, 8, 2)
        self.up1, self.bn = nn.ConvTranspose2d(8, 6, 2), nn.BatchNorm2d(6)
        self.up2, self.head = nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.down2(F.relu(self.down1(x))))
        x = F.leaky_relu(self.up2(F.relu(self.bn(self.up1(x)))))
        return self.head(x.mean((2, 3)))


class ChannelConstant(nn.Module):
    """A buffer with one constant a channel multiplies, another is subtracted."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.Linear(6, 4)
        self.register_buffer("scale", torch.linspace(0.5, 2.0, 8).reshape(1, 8, 1, 1))
        self.register_buffer("shift", torch.linspace(-0.4, 0.4, 6)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x)) * self.scale
        x = self.conv2(x) - self.shift
        return self.head(F.relu(x).mean((2, 3)))


class ChannelMean(nn.Module):
    """The mean over all channels is subtracted: each channel depends on how many others there are."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = x - x.mean(dim=1, keepdim=True)
        return self.head(F.relu(self.conv2(x)).mean((2, 3)))


class ChannelsLast(nn.Module):
    """Channels are moved to the end, read by a linear layer there, and moved back."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.mix = nn.Conv2d(3, 8, 3), nn.Linear(8, 10)
        self.conv2, self.head = nn.Conv2d(10, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.mix(F.relu(self.conv1(x)).permute(0, 2, 3, 1)))
        return self.head(F.relu(self.conv2(x.movedim(-1, 1))).mean((2, 3)))


IMAGE = (3, 8, 8)
NETWORKS = (
    entry("lenet-flatten", lambda: LeNet("function"), (1, 14, 14), "torch.flatten: 4 features a channel"),
    entry("lenet-flatten-module", lambda: LeNet("module"), (1, 14, 14), "nn.Flatten"),
    entry("lenet-view", lambda: LeNet("view"), (1, 14, 14), "x.view(x.size(0), -1)"),
    entry("lenet-sigmoid", lambda: LeNet("function", nn.Sigmoid), (1, 14, 14), "sigmoid before a flatten"),
    entry("vgg-batchnorm", _vgg, IMAGE, "BatchNorm, in-place ReLU, dropout, flatten"),
    entry(
        "groupnorm",
        lambda: Normalised(nn.GroupNorm(2, 8), nn.GroupNorm(4, 12)),
        IMAGE,
        "GroupNorm: statistics over several channels",
    ),
    entry(
        "groupnorm-one",
        lambda: Normalised(nn.GroupNorm(1, 8), nn.GroupNorm(1, 12, affine=False)),
        IMAGE,
        "GroupNorm over all channels, with and without weights",
    ),
    entry(
        "instancenorm",
        lambda: Normalised(
            nn.InstanceNorm2d(8, affine=True), nn.InstanceNorm2d(12, affine=True, track_running_stats=True)
        ),
        IMAGE,
        "InstanceNorm, by its own and by running statistics",
    ),
    entry("prelu-shared", lambda: Prelu(True), IMAGE, "one learned slope for all channels"),
    entry("prelu-per-channel", lambda: Prelu(False), IMAGE, "a learned slope for each channel"),
    entry("shared-convolution", SharedConvolution, IMAGE, "one convolution called twice"),
    entry("functional", Functional, IMAGE, "no layer is a module: parameters and functions"),
    entry("conv1d", OneDimensional, (2, 14), "1-D convolutions, dilated and strided"),
    entry("causal-conv1d", Causal, (2, 12), "left padding, surplus sliced off, last step read"),
    entry("conv3d", ThreeDimensional, (1, 6, 6, 6), "3-D convolutions"),
    entry("pixelshuffle", PixelShuffled, (2, 6, 6), "four channels become one channel of pixels"),
    entry("transposed-convolution", Autoencoder, (2, 9, 9), "transposed convolutions, one of them grouped"),
    entry("channel-constant", ChannelConstant, IMAGE, "a buffer with one constant a channel"),
    entry("channel-mean", ChannelMean, IMAGE, "a mean over channels mixes them"),
    entry("channels-last", ChannelsLast, IMAGE, "permuted so that a linear layer reads the channels"),
)
