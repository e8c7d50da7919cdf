"""Zoo: attention in every spelling, transformers, mixers. B: batch, N: tokens, E: width, H: heads, D: E / H."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import entry

_E, _H = 12, 3


class PatchEmbedding(nn.Module):
    """An image of 8x8 pixels as 4 tokens and one for the class, with learned positions."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, _E, 4, 4)
        self.start = nn.Parameter(torch.zeros(1, 1, _E))
        self.positions = nn.Parameter(torch.zeros(1, 5, _E))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)  # (B, 4, E)
        return torch.cat([self.start.expand(x.shape[0], -1, -1), x], dim=1) + self.positions


class ModuleAttention(nn.Module):
    """nn.MultiheadAttention."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(_E, _H, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class FusedAttention(nn.Module):
    """Queries, keys and values from one linear layer, as in timm."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.project = nn.Linear(_E, 3 * _E), nn.Linear(_E, _E)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, _H, width // _H).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)  # (B, H, N, D) each
        weights = ((q * (width // _H) ** -0.5) @ k.transpose(-2, -1)).softmax(dim=-1)
        return self.project((weights @ v).transpose(1, 2).reshape(batch, tokens, width))


class SeparateAttention(nn.Module):
    """A layer each for queries, keys and values; the softmax written out."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(_E, _E), nn.Linear(_E, _E), nn.Linear(_E, _E)
        self.project = nn.Linear(_E, _E)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q, k, v = (f(x).view(batch, tokens, _H, _E // _H).transpose(1, 2) for f in (self.q, self.k, self.v))
        weights = torch.softmax(torch.matmul(q, k.transpose(2, 3)) / math.sqrt(_E // _H), dim=-1)
        x = torch.matmul(weights, v).transpose(1, 2).contiguous().view(batch, tokens, _E)
        return self.project(x)


class SingleHead(nn.Module):
    """One head of its own width; no reshaping at all."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(_E, 6), nn.Linear(_E, 6), nn.Linear(_E, 10)
        self.project = nn.Linear(10, _E)

    def forward(self, x: Tensor) -> Tensor:
        weights = F.softmax(torch.bmm(self.q(x), self.k(x).transpose(1, 2)) * 0.4, dim=-1)
        return self.project(torch.bmm(weights, self.v(x)))


class ScaledAttention(nn.Module):
    """F.scaled_dot_product_attention, causal, from a fused layer cut by chunk (nanoGPT)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.project = nn.Linear(_E, 3 * _E), nn.Linear(_E, _E)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.size()
        q, k, v = self.qkv(x).chunk(3, dim=2)
        q, k, v = (t.view(batch, tokens, _H, width // _H).transpose(1, 2) for t in (q, k, v))
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.project(x.transpose(1, 2).reshape(batch, tokens, width))


class MultiQuery(nn.Module):
    """All heads share one key and one value; einsum instead of matmul."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.kv, self.project = nn.Linear(_E, _E), nn.Linear(_E, 2 * _E // _H), nn.Linear(_E, _E)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        q = self.q(x).view(batch, tokens, _H, _E // _H)
        k, v = self.kv(x).split(_E // _H, dim=-1)
        weights = torch.einsum("bnhd,bmd->bhnm", q, k).mul(0.5).softmax(-1)
        return self.project(torch.einsum("bhnm,bmd->bnhd", weights, v).flatten(2))


class VisionTransformer(nn.Module):
    """Two pre-norm blocks over patches; the class token answers."""

    def __init__(self, attention: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.embed = PatchEmbedding()
        self.norms1 = nn.ModuleList(nn.LayerNorm(_E) for _ in range(2))
        self.attentions = nn.ModuleList(attention() for _ in range(2))
        self.norms2 = nn.ModuleList(nn.LayerNorm(_E) for _ in range(2))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(_E, 20), nn.GELU(), nn.Dropout(0.1), nn.Linear(20, _E)) for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(_E), nn.Linear(_E, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for norm1, attention, norm2, mlp in zip(
            self.norms1, self.attentions, self.norms2, self.mlps, strict=True
        ):
            x = x + attention(norm1(x))
            x = x + mlp(norm2(x))
        return self.head(self.norm(x)[:, 0])


class Decoder(nn.Module):
    """Tokens and positions embedded, one causal block; the last position answers."""

    order: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(20, _E), nn.Embedding(9, _E)
        self.register_buffer("order", torch.arange(9))
        self.norm1, self.attention = nn.LayerNorm(_E), ScaledAttention()
        self.norm2, self.wide, self.narrow = nn.LayerNorm(_E), nn.Linear(_E, 20), nn.Linear(20, _E)
        self.norm, self.head = nn.LayerNorm(_E), nn.Linear(_E, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x) + self.places(self.order[: x.shape[1]])
        x = x + self.attention(self.norm1(x))
        x = x + self.narrow(F.gelu(self.wide(self.norm2(x))))
        return self.head(self.norm(x[:, -1]))


class Encoder(nn.Module):
    """nn.TransformerEncoder with two layers."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(5, _E)
        layer = nn.TransformerEncoderLayer(_E, _H, 20, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(_E, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.stem(x)).mean(dim=1))


class Mixer(nn.Module):
    """Tokens and channels take turns as what a linear layer reads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm1 = nn.Linear(5, _E), nn.LayerNorm(_E)
        self.token1, self.token2 = nn.Linear(6, 10), nn.Linear(10, 6)
        self.norm2, self.channel1, self.channel2 = nn.LayerNorm(_E), nn.Linear(_E, 18), nn.Linear(18, _E)
        self.norm, self.head = nn.LayerNorm(_E), nn.Linear(_E, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm1(x).transpose(1, 2)
        x = x + self.token2(F.gelu(self.token1(y))).transpose(1, 2)
        x = x + self.channel2(F.gelu(self.channel1(self.norm2(x))))
        return self.head(self.norm(x).mean(dim=1))


class AttentionPooling(nn.Module):
    """Tokens are averaged by learned weights; the keys have one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.score, self.head = nn.Linear(5, _E), nn.Linear(_E, 1), nn.Linear(_E, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.stem(x))
        return self.head((x * torch.softmax(self.score(x), dim=1)).sum(dim=1))


IMAGE, SERIES = (3, 8, 8), (6, 5)
NETWORKS = (
    entry("vit-module", lambda: VisionTransformer(ModuleAttention), IMAGE, "nn.MultiheadAttention"),
    entry("vit-fused", lambda: VisionTransformer(FusedAttention), IMAGE, "fused qkv, reshaped as in timm"),
    entry(
        "vit-separate",
        lambda: VisionTransformer(SeparateAttention),
        IMAGE,
        "q, k and v apart, softmax by hand",
    ),
    entry("vit-single-head", lambda: VisionTransformer(SingleHead), IMAGE, "one head, widths of its own"),
    entry("vit-multi-query", lambda: VisionTransformer(MultiQuery), IMAGE, "shared key and value, einsum"),
    entry("gpt", Decoder, (9,), "causal scaled_dot_product_attention, embeddings of positions", tokens=20),
    entry("transformer-encoder", lambda: Encoder(False), SERIES, "nn.TransformerEncoder, two layers"),
    entry("transformer-encoder-prenorm", lambda: Encoder(True), SERIES, "nn.TransformerEncoder, norm first"),
    entry("mixer", Mixer, SERIES, "linear layers over tokens and over channels in turn"),
    entry("attention-pooling", AttentionPooling, SERIES, "a softmax over tokens weights all channels"),
)
