"""Networks of kinds that no sample is of, with their data, as somebody could bring them."""

from __future__ import annotations

from dataclasses import replace

import torch

from analysis.datasets import Dataset, Split
from analysis.sources import Opened
from analysis.tasks import BINARY, CLASSIFICATION
from tests.networks import Mlp, load, randomise, split
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module


def tokens() -> Opened:
    """Recurrent, tokens, one class."""
    network = from_module("gru-tokens")
    lines = Split(BY_NAME["gru-tokens"].inputs(30), torch.zeros(30, dtype=torch.long), "30 lines")
    data = Dataset("lines", CLASSIFICATION, lines, lines, class_names=("a", "b", "c", "d"))
    return Opened(replace(network, name="tokens"), data)


def single() -> Opened:
    """Rows that a network with a single output tells into two classes."""
    network = load(randomise(Mlp(outputs=1)), (5,), "single")
    rows = split((5,), 2, 60, task=BINARY)
    return Opened(network, Dataset("rows", BINARY, rows, rows, class_names=("no", "yes")))
