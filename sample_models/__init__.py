"""Sample networks: small, really trained, each with its data and a model card."""

from __future__ import annotations

import json
from functools import cache, partial
from typing import Any

from safetensors.torch import load_file

from analysis.errors import NetworkError
from analysis.loading.architectures import Architecture
from analysis.pruning.groups import with_groups
from analysis.sources import Opened
from analysis.tracing import trace
from sample_models.architectures import build
from sample_models.catalog import BY_NAME, SPECS, WEIGHTS_FOLDER
from sample_models.datasets import DATASETS

_INPUT_SHAPES = {"digits": (1, 8, 8), "fashion": (1, 28, 28), "auto-mpg": (7,)}
# For weights that somebody trained with one of these architectures.
ARCHITECTURES = tuple(
    Architecture(
        key=f"prunescope/{spec.name}",
        label=f"{spec.name} (Prunescope)",
        library="Prunescope",
        build=partial(build, spec.config),
        input_shape=_INPUT_SHAPES[spec.dataset],
    )
    for spec in SPECS
)


def names() -> tuple[str, ...]:
    """The sample networks, in the order they are offered."""
    return tuple(spec.name for spec in SPECS)


@cache
def load(name: str) -> Opened:
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
    return Opened(network, dataset, read_card(name), spec.siblings)


def read_card(name: str) -> dict[str, Any]:
    """The model card that training wrote."""
    return json.loads((WEIGHTS_FOLDER / f"{name}.json").read_text())
