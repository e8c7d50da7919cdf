"""Small networks of many kinds, written as their authors would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Of(nn.Module):
    """A network whose forward is a function of its named modules."""

    def __init__(self, run: Callable[[Any, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


class Block(nn.Module):
    """A residual block with in-place activations and an in-place sum."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += self.downsample(x)
        return self.relu(y)


def residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.MaxPool2d(2),
        Block(4, 6),
        Block(6, 8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3)
        self.reduce = nn.Conv2d(8, 2, 1)
        self.expand = nn.Conv2d(2, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True)))))
        return (x * gate).amax((2, 3))


class Vit(nn.Module):
    """Patches, class token, positions, layer scale and a pre-norm encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, 8, 4, stride=4)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 8))
        self.pos_embed = nn.Parameter(torch.randn(1, 5, 8))
        self.scale = nn.Parameter(torch.full((8,), 0.1))
        self.norm = nn.LayerNorm(8)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        y = self.norm(x)
        x = x + self.attn(y, y, y, need_weights=False)[0] * self.scale
        return self.head((x + self.mlp(x))[:, 0])


class Tied(nn.Module):
    """Tokens in and out through one matrix, positions from a buffer, a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.body = nn.Linear(4, 4)
        self.out = nn.Linear(4, 11, bias=False)
        self.out.weight = self.embed.weight
        self.register_buffer("places", torch.arange(6).expand(1, -1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.embed(x) + self.places[..., None] * 0.1
        score = y @ y.transpose(1, 2)
        mask = torch.ones(6, 6, dtype=torch.bool).triu(1)
        y = torch.softmax(score.masked_fill(mask, float("-inf")), -1) @ y
        return self.out(torch.tanh(self.body(y)))


class TextConv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 6, padding_idx=0)
        self.convs = nn.ModuleList([nn.Conv1d(6, 4, k, padding="same") for k in (2, 3)])
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).permute(0, 2, 1)
        return self.head(torch.cat([F.relu(conv(x)).max(dim=2).values for conv in self.convs], 1))


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.merge = nn.Conv2d(5, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.up(F.elu(self.down(x))), 0.2)
        y = F.pad(F.interpolate(y, scale_factor=2, mode="bilinear"), (1, 1))[:, :, ::2, 1:-1][..., ::2]
        return self.merge(torch.cat([x, y], 1))


class Wrapped(nn.Module):
    """Parts without gradients and under autocast, as rotary embeddings have them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.first(x).relu()
            z = x + 1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
            return self.second(y * z)


class Relative(nn.Module):
    """Patches merged and windows shifted, as in a Swin transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 2))
        self.register_buffer("index", torch.arange(16).reshape(4, 4) % 9)
        self.qkv = nn.Linear(4, 12)
        self.reduction = nn.Linear(16, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        x = torch.roll(x, (-1, -1), (1, 2)).view(batch, height // 2, 2, width // 2, 2, channels)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, channels)
        q, k, v = self.qkv(x).reshape(-1, 4, 3, 2, 2).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index.view(-1)].view(4, 4, 2).permute(2, 0, 1)
        x = (torch.softmax(q @ k.transpose(-2, -1) + bias, -1) @ v).transpose(1, 2).reshape(-1, 16)
        return self.reduction(x).reshape(batch, -1)


class Scaled(nn.Module):
    """Every weight is computed from another before it is used, so that no module can hold it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.up = nn.ConvTranspose2d(4, 4, 2)
        self.bn = nn.BatchNorm2d(4)
        self.norm = nn.GroupNorm(2, 4)
        self.last = nn.LayerNorm(4)
        self.slope = nn.Parameter(torch.rand(4))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.conv.weight * 2, self.conv.bias, padding=1)
        x = F.conv_transpose2d(x, self.up.weight.abs(), stride=2)
        x = F.batch_norm(x, self.bn.running_mean, self.bn.running_var, self.bn.weight * 2, self.bn.bias)
        x = F.prelu(F.group_norm(x, 2, self.norm.weight + 1, self.norm.bias), self.slope * 0.5)
        x = F.instance_norm(x, weight=self.slope + 1, bias=self.slope).mean((2, 3))
        x = F.rms_norm(F.layer_norm(x, (4,), self.last.weight * 2), (4,), self.slope + 1)
        return F.linear(x, self.fc.weight.t().t(), self.fc.bias * 2)


class Writes(nn.Module):
    """Whole tensors written in place, and memory that is filled before it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        total = (
            torch.empty(4).zero_() + torch.empty_like(y).copy_(x).mul_(2) + y.new_empty(2, 2).fill_(3).ravel()
        )
        first = y.clone().fill_(0.5)
        return total + first + y.double().to(y) + torch.zeros(4).copy_(torch.arange(4))


class Sampled(nn.Module):
    """An image turned by a learned map and brought to several sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.eye(2, 3) + 0.1)
        self.mix = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        grid = F.affine_grid(self.turn.expand(x.shape[0], 2, 3), list(x.shape), align_corners=False)
        x = self.mix(F.grid_sample(x, grid, align_corners=False))
        sizes = [
            F.interpolate(x, size=(5, 6), mode="bicubic"),
            F.interpolate(x, scale_factor=(1.5, 2.0), mode="bilinear", align_corners=True)[..., :5, :6],
            F.interpolate(x, size=(5, 6), mode="nearest-exact"),
            F.interpolate(x, size=(5, 6), mode="bilinear", antialias=True),
            F.fold(F.unfold(x, 2), (4, 4), 2).repeat(1, 1, 2, 2)[..., :5, :6],
        ]
        return torch.cat(sizes, 1)


class OneMatrix(nn.Module):
    """The output's matrix is used before the tokens' embedding reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        counts = F.linear(F.one_hot(x, 5).float(), self.matrix.T)
        scores = F.scaled_dot_product_attention(
            counts, counts, counts, torch.ones(4, 4).tril().bool(), scale=0.3
        )
        return F.linear(F.embedding(x, self.matrix) + scores, self.matrix)
