"""Sample networks: small, really trained, each with its data and a model card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from safetensors.torch import load_file

from analysis.datasets import Dataset
from analysis.errors import NetworkError
from analysis.network import Network
from analysis.pruning.groups import with_groups
from analysis.tracing import trace
from sample_models.architectures import build
from sample_models.catalog import BY_NAME, SPECS, WEIGHTS_FOLDER
from sample_models.datasets import DATASETS


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample network with the data it is judged on and its model card."""

    network: Network
    dataset: Dataset
    card: dict[str, Any]
    siblings: tuple[str, ...]


def names() -> tuple[str, ...]:
    """The sample networks, in the order they are offered."""
    return tuple(spec.name for spec in SPECS)


@cache
def load(name: str) -> Sample:
    """A sample network, traced and with its groups verified; loaded once per process.

    Raises
    ------
    NetworkError
        If there is no sample of that name.
    """
    if name not in BY_NAME:
        raise NetworkError(f"There is no sample network {name!r}. Samples: {', '.join(names())}.")
    spec = BY_NAME[name]
    dataset = DATASETS[spec.dataset]()
    module = build(spec.config)
    module.load_state_dict(load_file(WEIGHTS_FOLDER / f"{name}.safetensors"))
    network = with_groups(trace(module, dataset.evaluation.inputs[:1], name))
    return Sample(network, dataset, read_card(name), spec.siblings)


def read_card(name: str) -> dict[str, Any]:
    """The model card that training wrote."""
    return json.loads((WEIGHTS_FOLDER / f"{name}.json").read_text())
