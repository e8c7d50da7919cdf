"""Where recovery begins: a pruned network, what is gone from it, and what it may learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.datasets import Dataset, Split
from analysis.errors import DataError
from analysis.network import Network, replace_modules, weight_parameters
from analysis.pruning.channels import private, write_weight
from analysis.pruning.prune import remove
from analysis.pruning.selection import Selection
from analysis.tasks import Task, settled

VALIDATION_SHARE = 0.1
LEAST = 8  # calibration examples, below which nothing can be learned and judged
_MOST_VALIDATION = 1000
_SETTLING = 64
SPARSE = 0.1  # of a layer's weights that are zero as loaded: from there on its zeros are meant


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned network on its way to recovery.

    Parameters
    ----------
    dense, network : Network
        The loaded network, and the pruned one (or what recovery made of it so far). Neither is ever modified.
    selection : Selection
        What is gone from the dense one.
    dataset : Dataset
        Its evaluation split is never looked at here.
    task : Task
        The dataset's, settled by the dense network's outputs.
    fit, validation : Split
        The calibration split in two: what is learned from, and what decides when to stop.
    """

    dense: Network
    network: Network
    selection: Selection
    dataset: Dataset
    task: Task
    fit: Split
    validation: Split

    def without(self, selection: Selection) -> Pruned:
        """The dense network as `selection` cuts it, with the same examples."""
        return replace(self, network=remove(self.dense, selection), selection=selection)


def begin_whole(dense: Network, dataset: Dataset, *, seed: int = 0) -> Pruned:
    """The dense network, of which nothing is gone yet, as :func:`begin`."""
    return begin(dense, dense, Selection(), dataset, seed=seed)


def begin(
    dense: Network, network: Network, selection: Selection, dataset: Dataset, *, seed: int = 0
) -> Pruned:
    """The way to recovery of a network that is `selection` removed from the dense one.

    A tenth of the calibration examples, 1,000 at most and drawn evenly over the classes, are held out for
    validation.

    Raises
    ------
    DataError
        If there are too few calibration examples.
    """
    task = dataset.task
    if len(dataset.calibration) >= 1:
        with torch.no_grad():
            task = settled(task, dense.module(dataset.calibration.inputs[:_SETTLING]))
    fit, validation = hold_out(dataset.calibration, seed=seed)
    return Pruned(dense, network, selection, dataset, task, fit, validation)


def hold_out(calibration: Split, *, seed: int = 0) -> tuple[Split, Split]:
    """Calibration examples in two, without an example in both: to learn from, and for validation."""
    total = len(calibration)
    if total < LEAST:
        raise DataError(
            f"Recovery learns from calibration examples, and there are {total:,}: at least {LEAST} are needed. Give "
            "more data."
        )
    size = max(2, min(_MOST_VALIDATION, round(VALIDATION_SHARE * total)))
    numbers = Split(torch.arange(total), calibration.targets, "")  # to learn which examples are drawn
    chosen = numbers.sample(size, seed=seed).inputs
    rest = torch.ones(total, dtype=torch.bool)
    rest[chosen] = False
    held = calibration.take(chosen)
    return (
        Split(
            calibration.inputs[rest], calibration.targets[rest], f"{total - size:,} of {calibration.origin}"
        ),
        Split(held.inputs, held.targets, f"{size:,} held out of {calibration.origin}"),
    )


def locks(dense: Network, selection: Selection) -> dict[str, Tensor]:
    """Which values of the pruned network stay zero: {parameter: mask}, True where a weight was removed.

    So do zeros that a layer was loaded with if they are at least `SPARSE` of its weights: it was pruned before.
    Fewer are chance, and may learn. Masks have the shapes of the network with `selection` removed.
    """
    marks = {}
    for layer in (layer.name for layer in dense.layers):
        weight = dense.weight(layer)
        came_sparse = int((weight == 0).sum()) >= SPARSE * weight.numel()
        if came_sparse or layer in selection.weights:
            marks[layer] = private(dense.module.get_submodule(layer))
            write_weight(marks[layer], (weight != 0).to(weight) if came_sparse else torch.ones_like(weight))
    if not marks:
        return {}
    marked = replace(replace_modules(dense, marks), groups=dense.groups)
    smaller = remove(marked, selection)
    found = {}
    for layer in marks:
        module = smaller.module.get_submodule(layer)
        for name, values in weight_parameters(module, smaller.weight(layer)).items():
            found[f"{layer}.{name}"] = values == 0
    return found
