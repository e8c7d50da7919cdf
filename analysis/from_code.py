"""A network and data from Python code: only for whoever starts the server or a command.

The code is named by environment variables, so that worker processes open the same.
"""

from __future__ import annotations

import importlib
import os
import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from analysis.datasets import Dataset
from analysis.errors import DataError, NetworkError, PrunescopeError
from analysis.loading.raw import RawData
from analysis.sources import Opened, complete, dataset_of, digest_of, identity
from analysis.tracing import trace

MODEL = "PRUNESCOPE_MODEL"
DATA = "PRUNESCOPE_DATA"
FOLDER = "PRUNESCOPE_CODE"  # modules are imported from here; the present folder if it is not named
MAX_EXAMPLES = 10_000  # of a loader, which may never end

_MODEL_FORM = "a function that returns (nn.Module, example input), the input with its batch dimension"
_DATA_FORM = (
    "a function that returns a Dataset of Prunescope, (inputs, targets) as tensors or arrays, or a "
    "DataLoader or Dataset of PyTorch that gives (x, y) pairs"
)


def is_named(environment: Mapping[str, str] = os.environ) -> bool:
    """True if the environment names code to open."""
    return bool(environment.get(MODEL) or environment.get(DATA))


def open_code(environment: Mapping[str, str] = os.environ) -> Opened:
    """The network and data of the functions that the environment names as ``package.module:function``.

    ``PRUNESCOPE_MODEL`` returns (nn.Module, example input); ``PRUNESCOPE_DATA`` returns a
    :class:`~analysis.datasets.Dataset`, (inputs, targets) as tensors or arrays, or a ``DataLoader`` or
    ``Dataset`` of PyTorch with (x, y) pairs, of which the first `MAX_EXAMPLES` are used. The random seeds
    are set before each call.

    Raises
    ------
    PrunescopeError
        If a function is not named, not there, fails, or returns something else.
    """
    folder = environment.get(FOLDER) or os.getcwd()  # noqa: PTH109 - a string, as sys.path wants it
    if folder not in sys.path:
        sys.path.insert(0, folder)
    model, data = environment.get(MODEL, ""), environment.get(DATA, "")
    module, example = _module(_call(model, "--model", _MODEL_FORM), model)
    returned = _call(data, "--data", _DATA_FORM)
    stem = model.rpartition(":")[2]
    network = trace(module, example, stem)
    dataset = returned if isinstance(returned, Dataset) else dataset_of(_raw(returned, data), network)
    return complete(replace(network, name=identity(stem, digest_of(network, dataset))), dataset)


def _call(named: str, option: str, form: str) -> Any:
    """What the function ``package.module:function`` returns."""
    module_name, _, function_name = named.partition(":")
    if not module_name or not function_name:
        raise PrunescopeError(
            f"{option} {named or 'is missing'}: name it as package.module:function, {form}."
        )
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    try:
        return getattr(importlib.import_module(module_name), function_name)()
    except Exception as error:  # somebody's code may fail in any way
        raise PrunescopeError(
            f"{option} {named} fails with {type(error).__name__}: {error}. It must name {form}."
        ) from error


def _module(returned: Any, named: str) -> tuple[nn.Module, Tensor]:
    if isinstance(returned, tuple | list) and len(returned) == 2:
        module, example = returned
        if isinstance(module, nn.Module) and isinstance(example, Tensor) and example.dim() > 1:
            return module, example
    raise NetworkError(f"--model {named} returns {_kind(returned)}. It must name {_MODEL_FORM}.")


def _raw(returned: Any, named: str) -> RawData:
    """Inputs and targets (N, ...) of whatever holds them."""
    try:
        if isinstance(returned, tuple | list) and len(returned) == 2:
            inputs, targets = (torch.as_tensor(np.asarray(part)) for part in returned)
        else:
            pairs = list(islice(_pairs(returned), MAX_EXAMPLES))
            inputs, targets = (torch.as_tensor(np.stack([np.asarray(p[i]) for p in pairs])) for i in (0, 1))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"--data {named} returns {_kind(returned)}, which gives no (x, y) pairs of equal shapes ({error}). "
            f"It must name {_DATA_FORM}."
        ) from error
    inputs = inputs.float() if inputs.is_floating_point() else inputs
    targets = targets.float() if targets.is_floating_point() else targets.long()
    return RawData(named, inputs, targets, (), (), f"{len(inputs):,} examples of {named}", "arrays")


def _pairs(source: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """The examples one by one; the batches of a loader are taken apart."""
    if not isinstance(source, DataLoader):
        yield from _entries(source)
        return
    for x, y in source:
        yield from zip(x, y, strict=True)


def _entries(source: Any) -> Iterator[tuple[Any, Any]]:
    """PyTorch's datasets need not say where they end when they are indexed; their length does."""
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return (source[i] for i in range(len(source)))
    return iter(source)


def _kind(returned: Any) -> str:
    if isinstance(returned, tuple | list):
        return f"a {type(returned).__name__} of {', '.join(type(entry).__name__ for entry in returned[:4])}"
    return f"a {type(returned).__name__}"
