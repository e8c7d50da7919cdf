"""From an nn.Module or a .pt2 file to a Network: one graph of modules in one form."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from analysis.canonical import DROPOUTS, canonicalise
from analysis.errors import NetworkError, PrunescopeError
from analysis.loading.pt2 import read_pt2
from analysis.network import Network, check_runs, check_values, first_line, from_graph

# Modules that torch.fx leaves whole although layers are inside; torch.export opens them.
_COMPOSITES = (
    nn.MultiheadAttention,
    nn.Transformer,
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoder,
    nn.TransformerDecoderLayer,
)


_SAME = 1e-4  # answers before and after the graph is brought into one form


class _UnfollowedError(NetworkError):
    """A graph that answers otherwise once it is in one form."""


def trace(module: nn.Module, example_input: Tensor, name: str) -> Network:
    """Turn a module into a :class:`Network`. The module itself is copied, not modified.

    ``torch.fx`` draws the graph; what it cannot follow (a branch on a shape, an attention module) goes
    through ``torch.export`` instead.

    Parameters
    ----------
    module : nn.Module
        Takes one tensor and answers with one.
    example_input : Tensor
        Shape (N, ...) with N >= 1; its first example is kept to learn shapes and costs.
    name : str
        What plans and pages call the network.

    Raises
    ------
    NetworkError
        If neither can follow it, it cannot run on the example, it has no prunable layer, or a weight is
        NaN or infinite.
    """
    root = _copy(module)
    example = example_input[:1].detach().clone()
    if any(isinstance(child, _COMPOSITES) for child in root.modules()):
        return _exported(root, example, name)
    try:
        graph_module = fx.GraphModule(root, fx.Tracer().trace(root))
    except Exception:
        return _exported(root, example, name)
    try:
        return _network(graph_module, example, name, root)
    except _UnfollowedError:
        return _exported(_copy(module), example, name)  # torch.export turns writing into new values


def _copy(module: nn.Module) -> nn.Module:
    """A copy in full precision and eval mode, which may be changed."""
    return copy.deepcopy(module).cpu().float().eval()


def open_pt2(source: bytes | Path, name: str) -> Network:
    """The network of a file that ``torch.export.save`` wrote; nothing in it is executed.

    Raises
    ------
    NetworkError
        If the file is refused, or as :func:`trace`.
    """
    graph_module, example = read_pt2(source, name)
    return _network(graph_module, example, name, graph_module)


def _exported(root: nn.Module, example: Tensor, name: str) -> Network:
    """Through torch.export, and back to modules by the reader that uploads take."""
    inputs = torch.cat([example, example])  # export takes a batch of one for a constant
    buffer = io.BytesIO()
    try:
        batch = {0: torch.export.Dim("batch")}
        program = torch.export.export(root, (inputs,), dynamic_shapes=(batch,))
        torch.export.save(program, buffer)
    except Exception as error:
        raise NetworkError(
            f"{name} cannot be drawn as a graph: {first_line(error)}. torch.fx and torch.export follow "
            "tensors, so the forward pass must not branch on their values, and must take any batch size."
        ) from error
    graph_module, _ = read_pt2(buffer.getvalue(), name)
    return _network(graph_module, example, name, root)


@torch.no_grad()
def _network(graph_module: fx.GraphModule, example: Tensor, name: str, original: nn.Module) -> Network:
    """The network of a graph that answers as `original` does, with which it may share modules."""
    check_values(name, graph_module)
    check_runs(name, graph_module, example.clone())  # a copy: the graph may still write into what it reads
    try:
        inputs, before = _answers(original, example)
        canonicalise(graph_module, example)
    except PrunescopeError:
        raise
    except Exception as error:
        raise NetworkError(
            f"{name} runs on one example but not on two ({first_line(error)}). Export it with a dynamic batch: "
            'dynamic_shapes=({0: torch.export.Dim("batch")},).'
        ) from error
    if not isinstance(before, Tensor):
        raise NetworkError(f"{name} answers with a {type(before).__name__}. Let it answer with one tensor.")
    network = from_graph(name, fx.GraphModule(graph_module, graph_module.graph), example)  # with what it uses
    try:
        after = network.module(inputs.clone())
    except Exception as error:
        raise _UnfollowedError(
            f"{name} cannot take {len(inputs)} examples at once: {first_line(error)}"
        ) from error
    if not _are_alike(after, before):
        raise _UnfollowedError(
            f"{name} writes into tensors in a way that cannot be followed. Write x = x + y instead of x += y "
            "where x is a part of another tensor, and leave out random operations."
        )
    return network


def _answers(module: nn.Module, example: Tensor) -> tuple[Tensor, Any]:
    """Inputs to compare on, and what a module answers: the example, and others if it takes any values.

    An example of zeros would hide most differences. Dropout that is on even in eval mode is left out.
    """
    with _NoDropout():
        if example.is_floating_point():
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(4, *example.shape[1:], generator=generator)
            inputs = torch.cat([example, example + noise])
            try:
                return inputs, module(inputs.clone())
            except Exception:  # numbers that stand for something, as positions do
                pass
        inputs = torch.cat([example, example])
        return inputs, module(inputs.clone())


def _are_alike(after: Tensor, before: Tensor) -> bool:
    """True if two answers are the same but for rounding, which is relative to the largest."""
    if after.shape != before.shape or not before.is_floating_point():
        return torch.equal(after, before)
    finite = before[torch.isfinite(before)]
    largest = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(after, before, rtol=_SAME, atol=_SAME * max(1.0, largest), equal_nan=True)


class _NoDropout(TorchFunctionMode):
    """Functional dropout is on unless told otherwise; here it is not."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in DROPOUTS:
            return args[0] if args else kwargs["input"]
        return func(*args, **(kwargs or {}))
