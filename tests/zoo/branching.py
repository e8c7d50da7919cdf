"""Zoo: convolutional networks whose channels part, meet, repeat or gate each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import entry


def _conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class _Block(nn.Module):
    """A residual block; `pad` makes its shortcut a strided slice with zeros for the new channels."""

    def __init__(self, inputs: int, outputs: int, stride: int, pad: bool) -> None:
        super().__init__()
        self.stride, self.new = stride, outputs - inputs if pad else 0
        self.a, self.b = _conv_bn(inputs, outputs, 3, stride), _conv_bn(outputs, outputs)
        needs_projection = not pad and (stride > 1 or inputs != outputs)
        self.shortcut = _conv_bn(inputs, outputs, 1, stride) if needs_projection else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(F.relu(self.a(x)))
        if self.new:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new // 2, self.new // 2))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """Three residual blocks, the middle one strided and wider."""

    def __init__(self, pad: bool) -> None:
        super().__init__()
        self.stem = _conv_bn(3, 6)
        self.blocks = nn.Sequential(
            _Block(6, 6, 1, pad), _Block(6, 10, 2, pad), _Block(10, 10, 1, pad)
        )  # fmt: skip
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(F.relu(self.stem(x))).mean((2, 3)))


class PreActivation(nn.Module):
    """Residual stream without activation; BatchNorm and in-place ReLU at the blocks' entrances."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn1, self.conv1 = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 6, 3, padding=1)
        self.bn2, self.conv2 = nn.BatchNorm2d(6), nn.Conv2d(6, 8, 3, padding=1)
        self.relu, self.last, self.head = nn.ReLU(inplace=True), nn.BatchNorm2d(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.conv2(self.relu(self.bn2(self.conv1(self.relu(self.bn1(x))))))
        return self.head(self.relu(self.last(x)).mean((2, 3)))


class DenseNet(nn.Module):
    """Every layer reads all that was said before it; a transition narrows the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.bn1, self.conv1 = nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3, padding=1)
        self.bn2, self.conv2 = nn.BatchNorm2d(10), nn.Conv2d(10, 4, 3, padding=1)
        self.bn3, self.transition = nn.BatchNorm2d(14), nn.Conv2d(14, 7, 1)
        self.bn4, self.head = nn.BatchNorm2d(7), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([x, self.conv1(F.relu(self.bn1(x)))], 1)
        x = torch.cat([x, self.conv2(F.relu(self.bn2(x)))], 1)
        x = F.avg_pool2d(self.transition(F.relu(self.bn3(x))), 2)
        return self.head(F.relu(self.bn4(x)).mean((2, 3)))


class MobileNetV2(nn.Module):
    """Inverted residuals: widen, depthwise, narrow; no activation on the narrow stream."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv_bn(3, 6, 3, 2)
        self.expand, self.depthwise, self.project = (
            _conv_bn(6, 18, 1),
            _conv_bn(18, 18, 3, 1, 18),
            _conv_bn(18, 6, 1),
        )
        self.last, self.head = _conv_bn(6, 12, 1), nn.Linear(12, 4)
        self.act = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        x = x + self.project(self.act(self.depthwise(self.act(self.expand(x)))))
        return self.head(self.act(self.last(x)).mean((2, 3)))


class DepthwiseMultiplier(nn.Module):
    """A depthwise convolution that says two things about each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 12, 3, groups=6)
        self.point, self.head = nn.Conv2d(12, 8, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.depthwise(F.hardswish(self.stem(x))))
        return self.head(F.hardswish(self.point(x)).mean((2, 3)))


class SqueezeExcite(nn.Module):
    """Channels scale themselves by what they say on average, within a residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = _conv_bn(3, 8), _conv_bn(8, 8)
        self.pool, self.squeeze, self.excite = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 4), nn.Linear(4, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = self.conv(x)
        batch, channels, _, _ = y.shape
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(self.pool(y).view(batch, channels)))))
        x = F.relu(x + y * gate.view(batch, channels, 1, 1))
        return self.head(x.mean((2, 3)))


class ResNext(nn.Module):
    """A bottleneck with a grouped convolution of four paths."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.narrow = _conv_bn(3, 12), _conv_bn(12, 8, 1)
        self.grouped, self.wide, self.head = _conv_bn(8, 8, 3, 1, 4), _conv_bn(8, 12, 1), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = self.wide(F.relu(self.grouped(F.relu(self.narrow(x)))))
        return self.head(F.relu(x + y).mean((2, 3)))


class ShuffleNetV1(nn.Module):
    """Grouped convolutions with the channels shuffled between them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = _conv_bn(3, 12), _conv_bn(12, 12, 1, 1, 3)
        self.depthwise, self.second = _conv_bn(12, 12, 3, 1, 12), _conv_bn(12, 12, 1, 1, 3)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        y = F.relu(self.first(x))
        batch, channels, height, width = y.shape
        y = y.view(batch, 3, channels // 3, height, width).transpose(1, 2).contiguous()
        y = self.second(self.depthwise(y.view(batch, channels, height, width)))
        return self.head(F.relu(x + y).mean((2, 3)))


class ShuffleNetV2(nn.Module):
    """One half of the channels passes by, the other is worked on; then they are interleaved."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.point1, self.depthwise = _conv_bn(3, 12), _conv_bn(6, 6, 1), _conv_bn(6, 6, 3, 1, 6)
        self.point2, self.last, self.head = _conv_bn(6, 6, 1), _conv_bn(12, 8, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        left, right = F.relu(self.stem(x)).split(6, dim=1)
        right = F.relu(self.point2(self.depthwise(F.relu(self.point1(right)))))
        x = torch.cat((left, right), dim=1)
        batch, channels, height, width = x.shape
        x = x.reshape(batch, 2, channels // 2, height, width).transpose(1, 2)
        return self.head(F.relu(self.last(x.reshape(batch, -1, height, width))).mean((2, 3)))


class Inception(nn.Module):
    """Four branches side by side, one of them a pooling of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1)
        self.b1, self.b2 = nn.Conv2d(6, 4, 1), nn.Conv2d(4, 6, 3, padding=1)
        self.c1, self.c2 = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 5, 5, padding=2)
        self.last, self.head = nn.Conv2d(21, 8, 1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        b = self.b2(F.relu(self.b1(x)))
        c = self.c2(F.relu(self.c1(x)))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1)
        x = torch.cat([self.a(x), b, c, pooled], dim=1)
        return self.head(F.relu(self.last(F.relu(x))).mean((2, 3)))


class GatedConvolution(nn.Module):
    """A gated linear unit over channels, by chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.head = nn.Conv2d(3, 16, 3), nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = torch.chunk(self.conv1(x), 2, dim=1)
        return self.head(F.relu(self.conv2(value * gate.sigmoid())).mean((2, 3)))


class Halves(nn.Module):
    """The halves of the channels are read by different convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Conv2d(3, 12, 3), nn.Conv2d(4, 6, 3), nn.Conv2d(8, 6, 3)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        a, b = F.relu(self.stem(x)).split([4, 8], dim=1)
        return self.head(F.relu(self.left(a) + self.right(b)).mean((2, 3)))


class ConvNext(nn.Module):
    """Depthwise, LayerNorm over permuted channels, a widening MLP, a learned scale, residual."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.wide, self.narrow = nn.LayerNorm(8), nn.Linear(8, 20), nn.Linear(20, 8)
        self.gamma, self.last, self.head = nn.Parameter(torch.ones(8)), nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.gamma * self.narrow(F.gelu(self.wide(y)))
        x = x + y.permute(0, 3, 1, 2)
        return self.head(self.last(x.mean((-2, -1))))


class UNet(nn.Module):
    """Down and up with a copy of each scale handed across."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = _conv_bn(3, 6), _conv_bn(6, 8), _conv_bn(8, 10)
        self.up2, self.join2 = nn.ConvTranspose2d(10, 8, 2, 2), _conv_bn(16, 8)
        self.join1, self.head = _conv_bn(14, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.down1(x))
        b = F.relu(self.down2(F.max_pool2d(a, 2)))
        x = F.relu(self.bottom(F.max_pool2d(b, 2)))
        x = F.relu(self.join2(torch.cat([b, self.up2(x)], dim=1)))
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        x = F.relu(self.join1(torch.cat([x, a], dim=1)))
        return self.head(F.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


class SpatialGate(nn.Module):
    """A map of one channel decides which pixels all channels may speak about."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 1, 3, padding=1)
        self.conv, self.head = nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = x * torch.sigmoid(self.gate(x))
        return self.head(F.relu(self.conv(x)).mean((2, 3)))


class Cbam(nn.Module):
    """The gate of pixels looks at the mean and the maximum over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate = nn.Conv2d(3, 8, 3), nn.Conv2d(2, 1, 3, padding=1)
        self.conv, self.head = nn.Conv2d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        seen = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True).values], dim=1)
        x = x * torch.sigmoid(self.gate(seen))
        return self.head(F.relu(self.conv(x)).mean((2, 3)))


IMAGE = (3, 8, 8)
NETWORKS = (
    entry("resnet-projection", lambda: ResNet(False), IMAGE, "residual stream with a projection shortcut"),
    entry("resnet-padded", lambda: ResNet(True), IMAGE, "option A: zeros on both sides of the new channels"),
    entry("resnet-preactivation", PreActivation, IMAGE, "BatchNorm reads the bare residual stream"),
    entry("densenet", DenseNet, IMAGE, "concatenations of concatenations"),
    entry("mobilenet-v2", MobileNetV2, IMAGE, "depthwise convolution in an inverted residual"),
    entry(
        "depthwise-multiplier",
        DepthwiseMultiplier,
        IMAGE,
        "a depthwise convolution with two outputs a channel",
    ),
    entry("squeeze-excite", SqueezeExcite, IMAGE, "channels scale themselves; views by their shape"),
    entry("resnext", ResNext, IMAGE, "a grouped convolution of four paths"),
    entry("shufflenet-v1", ShuffleNetV1, IMAGE, "grouped convolutions with a channel shuffle"),
    entry("shufflenet-v2", ShuffleNetV2, IMAGE, "split, concatenation, shuffle"),
    entry("inception", Inception, IMAGE, "four branches side by side"),
    entry("glu-convolution", GatedConvolution, IMAGE, "gated linear unit over channels"),
    entry("uneven-split", Halves, IMAGE, "channels split unevenly between two readers"),
    entry("convnext", ConvNext, IMAGE, "LayerNorm over permuted channels, a learned scale a channel"),
    entry("unet", UNet, IMAGE, "skip connections joined by concatenation, upsampling"),
    entry("spatial-gate", SpatialGate, IMAGE, "one channel multiplies all others"),
    entry("cbam", Cbam, IMAGE, "mean and maximum over channels feed a gate"),
)
