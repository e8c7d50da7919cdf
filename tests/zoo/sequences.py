"""Zoo: tokens and time: recurrent networks, embeddings, text convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import entry


class Recurrent(nn.Module):
    """A recurrent network whose last step, last hidden state or mean over time is read."""

    def __init__(self, network: nn.RNNBase, read: str, *, stem: int = 0) -> None:
        super().__init__()
        self.read = read
        self.stem = nn.Linear(5, stem) if stem else nn.Identity()
        self.recurrent = network
        directions = 2 if network.bidirectional else 1
        self.fc, self.head = nn.Linear(directions * network.hidden_size, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        steps, state = self.recurrent(F.relu(self.stem(x)))
        if self.read == "last step":
            x = steps[:, -1]
        elif self.read == "mean":
            x = steps.mean(dim=1)
        elif self.read == "state":
            x = state[-1]
        else:  # both directions of the last layer of an LSTM
            x = torch.cat([state[0][-2], state[0][-1]], dim=1)
        return self.head(F.leaky_relu(self.fc(x)))


class Tagger(nn.Module):
    """Embedding, two GRUs in a row, the maximum over time."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.first = nn.Embedding(20, 8, padding_idx=0), nn.GRU(8, 9, batch_first=True)
        self.second, self.head = nn.GRU(9, 7, batch_first=True, bias=False), nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.first(self.embed(x))
        x, _ = self.second(x)
        return self.head(x.max(dim=1).values)


class Cell(nn.Module):
    """A recurrence written by hand: the same linear layers at each of four steps."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.again, self.head = nn.Linear(5, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.tanh(self.read(x[:, 0]))
        for step in range(1, 4):
            state = torch.tanh(self.read(x[:, step]) + self.again(state))
        return self.head(state)


class MeanEmbedding(nn.Module):
    """The mean of the tokens' embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc, self.head = nn.Embedding(20, 10), nn.Linear(10, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.fc(self.embed(x).mean(dim=1))))


class TiedEmbedding(nn.Module):
    """The output layer's weight is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc1, self.fc2 = nn.Embedding(20, 10), nn.Linear(10, 14), nn.Linear(14, 10)
        self.head = nn.Linear(10, 20)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).mean(dim=1)
        return self.head(self.fc2(F.relu(self.fc1(x))))


class TextCnn(nn.Module):
    """Convolutions of three widths over embedded tokens, their maxima side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.convolutions = nn.ModuleList(nn.Conv1d(8, 6, width) for width in (2, 3, 4))
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(18, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).transpose(1, 2)
        pooled = [F.relu(conv(x)).max(dim=2).values for conv in self.convolutions]
        return self.head(self.drop(torch.cat(pooled, dim=1)))


class Padded(nn.Module):
    """The mean over those tokens that are not padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc, self.head = nn.Embedding(20, 10), nn.Linear(10, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        heard = (x != 0).unsqueeze(-1).float()
        x = torch.tanh(self.fc(self.embed(x))) * heard
        return self.head(x.sum(dim=1) / heard.sum(dim=1).clamp(min=1.0))


SERIES, TEXT = (6, 5), (9,)
NETWORKS = (
    entry(
        "gru",
        lambda: Recurrent(nn.GRU(6, 10, batch_first=True), "last step", stem=6),
        SERIES,
        "GRU, the last step is read",
    ),
    entry(
        "gru-state",
        lambda: Recurrent(nn.GRU(5, 10, batch_first=True), "state"),
        SERIES,
        "GRU, its final state",
    ),
    entry(
        "lstm",
        lambda: Recurrent(nn.LSTM(6, 10, batch_first=True), "last step", stem=6),
        SERIES,
        "LSTM, the last step is read",
    ),
    entry(
        "lstm-bidirectional",
        lambda: Recurrent(nn.LSTM(5, 7, 2, batch_first=True, bidirectional=True), "states"),
        SERIES,
        "two layers in both directions, their final states",
    ),
    entry(
        "lstm-bidirectional-mean",
        lambda: Recurrent(nn.LSTM(5, 7, 2, batch_first=True, bidirectional=True), "mean"),
        SERIES,
        "two layers in both directions, the mean over time",
    ),
    entry(
        "rnn", lambda: Recurrent(nn.RNN(5, 10, 2, batch_first=True), "mean"), SERIES, "plain RNN, two layers"
    ),
    entry("gru-tokens", Tagger, TEXT, "embedding with padding, two GRUs, maximum over time", tokens=20),
    entry("unrolled-cell", Cell, SERIES, "a recurrence by hand: shared layers, four steps"),
    entry("embedding-mean", MeanEmbedding, TEXT, "mean of embeddings", tokens=20),
    entry("embedding-tied", TiedEmbedding, TEXT, "output weights tied to the embedding", tokens=20),
    entry("embedding-masked", Padded, TEXT, "the mean over tokens that are not padding", tokens=20),
    entry("textcnn", TextCnn, TEXT, "convolutions of several widths over tokens", tokens=20),
)
