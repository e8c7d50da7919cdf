"""Small networks of many kinds, and their .pt2 files as torch.export.save writes them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.loading.pt2_networks import (
    Of,
    OneMatrix,
    Relative,
    Sampled,
    Scaled,
    SqueezeExcite,
    TextConv,
    Tied,
    Unet,
    Vit,
    Wrapped,
    Writes,
    residual,
)


@dataclass(frozen=True)
class Case:
    """How to make a network and what it reads; `tokens` > 0 for indices below it."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    tokens: int = 0
    fixed_batch: bool = False  # torch.export itself cannot leave its batch free

    def inputs(self, batch: int) -> Tensor:
        generator = torch.Generator().manual_seed(batch)
        if self.tokens:
            return torch.randint(0, self.tokens, (batch, *self.shape), generator=generator)
        return torch.randn((batch, *self.shape), generator=generator)


CASES: dict[str, Case] = {
    "mlp": Case(lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 3)), (5,)),
    "single layer": Case(lambda: nn.Linear(3, 2), (3,)),
    "lenet": Case(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 6, 3),
            nn.Hardswish(),
            nn.Flatten(),
            nn.Linear(6, 3),
            nn.LogSoftmax(1),
        ),
        (1, 8, 8),
    ),
    "residual": Case(residual, (1, 12, 12)),
    "depthwise": Case(
        lambda: nn.Sequential(
            nn.Conv2d(2, 8, 1),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 3, groups=8, dilation=2, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.Hardsigmoid(),
            nn.Conv2d(8, 4, 1, groups=2),
        ),
        (2, 9, 9),
    ),
    "transposed": Case(
        lambda: nn.Sequential(
            nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False),
            nn.Sigmoid(),
        ),
        (3, 4, 4),
    ),
    "one axis": Case(
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 3, padding=2, dilation=2),
            nn.BatchNorm1d(4),
            nn.GLU(1),
            nn.MaxPool1d(2),
            nn.ConvTranspose1d(2, 3, 2),
            nn.AdaptiveMaxPool1d(3),
            nn.AvgPool1d(3),
        ),
        (2, 12),
    ),
    "three axes": Case(
        lambda: nn.Sequential(
            nn.Conv3d(1, 2, 2),
            nn.BatchNorm3d(2),
            nn.MaxPool3d(2),
            nn.ConvTranspose3d(2, 2, 2),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Linear(2, 2),
        ),
        (1, 6, 6, 6),
    ),
    "activations": Case(
        lambda: nn.Sequential(
            nn.Linear(6, 6),
            nn.LeakyReLU(0.3),
            nn.ELU(0.7),
            nn.SELU(),
            nn.CELU(2.0),
            nn.GELU("tanh"),
            nn.SiLU(),
            nn.Mish(),
            nn.Softplus(2.0),
            nn.Hardtanh(-2, 3),
            nn.LogSigmoid(),
            nn.Softsign(),
            nn.Softmax(1),
            nn.Threshold(0.1, 0.2),
            nn.Hardshrink(),
            nn.Softshrink(0.01),
            nn.RReLU(),
            nn.Tanhshrink(),
        ),
        (6,),
    ),
    "norms": Case(
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 1),
            nn.GroupNorm(2, 4),
            nn.GroupNorm(1, 4, affine=False),
            nn.InstanceNorm2d(4),
            nn.InstanceNorm2d(4, affine=True),
            nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
            nn.BatchNorm2d(4, affine=False),
            nn.LayerNorm(5),
            nn.LayerNorm(5, elementwise_affine=False),
            nn.LayerNorm(5, bias=False),
            nn.RMSNorm(5),
            nn.LocalResponseNorm(2),
        ),
        (2, 5, 5),
    ),
    "prelu": Case(lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.PReLU(3), nn.PReLU()), (1, 5, 5)),
    "pixel shuffle": Case(
        lambda: nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1), nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(4)
        ),
        (2, 4, 4),
    ),
    "padding modules": Case(
        lambda: nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.ReplicationPad2d(1),
            nn.ZeroPad2d(2),
            nn.ConstantPad2d(1, 0.5),
            nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"),
            nn.Upsample(scale_factor=2),
        ),
        (1, 5, 5),
    ),
    "gru": Case(
        lambda: Of(
            lambda m, x: m.head(m.gru(x)[0][:, -1]),
            gru=nn.GRU(3, 4, 2, batch_first=True, bidirectional=True),
            head=nn.Linear(8, 2),
        ),
        (5, 3),
    ),
    "gru first state": Case(
        lambda: Of(
            lambda m, x: m.gru(x, torch.ones(1, x.shape[0], 4) * 0.5)[1][0],
            gru=nn.GRU(3, 4, batch_first=True, bias=False),
        ),
        (5, 3),
    ),
    "lstm": Case(
        lambda: Of(
            lambda m, x: torch.cat([m.lstm(x)[0][:, 0], m.lstm(x)[1][1][0]], 1),
            lstm=nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True),
        ),
        (5, 3),
    ),
    "lstm projected": Case(
        lambda: Of(lambda m, x: m.lstm(x.transpose(0, 1))[0][-1], lstm=nn.LSTM(3, 6, proj_size=2)), (5, 3)
    ),
    "rnn": Case(
        lambda: Of(lambda m, x: m.rnn(x)[1][0], rnn=nn.RNN(3, 4, nonlinearity="relu", batch_first=True)),
        (5, 3),
    ),
    "attention": Case(
        lambda: Of(lambda m, x: m.mha(x, x, x)[0], mha=nn.MultiheadAttention(8, 2, batch_first=True)), (5, 8)
    ),
    "encoder": Case(
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu"), 2
        ),
        (5, 8),
    ),
    "vit": Case(Vit, (1, 8, 8)),
    "windows": Case(Relative, (4, 4, 4)),
    "squeeze": Case(SqueezeExcite, (2, 6, 6)),
    "unet": Case(Unet, (1, 8, 8)),
    "tied": Case(Tied, (6,), tokens=11),
    "text": Case(TextConv, (7,), tokens=20),
    "wrapped": Case(Wrapped, (4,)),
    "shared": Case(
        lambda: Of(lambda m, x: m.fc(m.act(m.fc(m.act(m.fc(x))))), fc=nn.Linear(4, 4), act=nn.ReLU()), (4,)
    ),
    "in place": Case(
        lambda: Of(lambda m, x: m.fc(x).mul_(2).add_(1).relu_().clamp_(0, 3), fc=nn.Linear(4, 4)), (4,)
    ),
    "weight norm": Case(
        lambda: nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.ReLU(), nn.Linear(3, 2)
        ),
        (4,),
    ),
    "sliced weight": Case(
        lambda: Of(
            lambda m, x: F.linear(x, m.fc.weight[:2], m.fc.bias[:2]) + m.fc(x)[:, 2:], fc=nn.Linear(3, 4)
        ),
        (3,),
    ),
    "normalised": Case(
        lambda: Of(
            lambda m, x: F.normalize(m.fc(x), dim=1) @ F.normalize(m.fc.weight, dim=0)[:3].T,
            fc=nn.Linear(3, 3),
        ),
        (3,),
    ),
    "arithmetic": Case(
        lambda: Of(
            lambda m, x: (
                m.fc(
                    torch.where(x > 0, x, -x).pow(2).sqrt().clamp(0.1, 3) / (1 + x.abs())
                    - (2 - x) * x.exp().log1p()
                    + x.std(1, keepdim=True) * torch.rsqrt(x * x + 1)
                    + x.cumsum(1)
                    + torch.maximum(x, x.sin())
                    + 1 / (x.abs() + 2)
                )
                + torch.add(x, x, alpha=2)
            ),
            fc=nn.Linear(4, 4),
        ),
        (4,),
    ),
    "shapes": Case(
        lambda: Of(
            lambda m, x: (
                m.fc(
                    torch.stack([*x.chunk(2, 1), *x.split([1, 3], 1)[1:][0][:, :2].split(2, 1)], 1)
                    .flip(1)
                    .repeat(1, 2, 1)
                    .narrow(1, 1, 4)
                    .unfold(1, 2, 2)
                    .movedim(1, 2)
                    .flatten(1)[:, ::4][:, :2]
                )
                + x.new_zeros(x.shape[0], 2)
                + torch.arange(2)
                + torch.ones_like(x)[:, :2]
                + torch.full((x.size(0), 1), 0.5)
            ),
            fc=nn.Linear(2, 2),
        ),
        (4,),
    ),
    "products": Case(
        lambda: Of(
            lambda m, x: (
                m.fc(torch.einsum("bij,bkj->bik", x, x) @ x + torch.bmm(x, x.mT @ x))
                + F.scaled_dot_product_attention(x, x, x, is_causal=True)
            ),
            fc=nn.Linear(4, 4),
        ),
        (3, 4),
    ),
    "computed weights": Case(Scaled, (2, 5, 5)),
    "writes": Case(Writes, (4,)),
    "sampled": Case(Sampled, (1, 4, 4)),
    "one matrix": Case(OneMatrix, (4,), tokens=5),
    "constants": Case(
        lambda: Of(
            lambda m, x: m.fc(x * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor(0.5)), fc=nn.Linear(3, 2)
        ),
        (3,),
    ),
}


@cache
def network(name: str) -> nn.Module:
    """The network of a case in eval mode, with seeded weights and statistics. Do not modify."""
    torch.manual_seed(0)
    made = CASES[name].make().eval()
    for key, value in made.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_()
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
    return made


def saved(module: nn.Module, inputs: Tensor, *, free: bool = True, decomposed: bool = False) -> bytes:
    """The .pt2 file of a network, with a free or a fixed batch."""
    shapes = ({0: torch.export.Dim.DYNAMIC},) if free else None
    program = torch.export.export(module, (inputs,), dynamic_shapes=shapes)
    if decomposed:
        program = program.run_decompositions()
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


@cache
def file_of(name: str, free: bool = True) -> bytes:
    """The .pt2 file of a case, exported with a batch of 2."""
    return saved(network(name), CASES[name].inputs(2), free=free)


def members_of(content: bytes) -> dict[str, bytes]:
    """An archive's members by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: dict[str, bytes]) -> bytes:
    """An archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def edited(content: bytes, edit: Callable[[Any], None], member: str = "models/model.json") -> bytes:
    """The file with one JSON member changed by `edit`."""
    members = members_of(content)
    tree = json.loads(members[f"archive/{member}"])
    edit(tree)
    return packed({**members, f"archive/{member}": json.dumps(tree).encode()})
