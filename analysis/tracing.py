"""From an nn.Module to a Network: torch.fx, with a module of its own for every activation call."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from analysis.errors import NetworkError
from analysis.network import Network, first_line, from_graph


def trace(module: nn.Module, example_input: Tensor, name: str) -> Network:
    """Turn a module into a :class:`Network`. The module itself is copied, not modified.

    Parameters
    ----------
    module : nn.Module
        Any module that ``torch.fx`` can trace and that takes one tensor.
    example_input : Tensor
        Shape (N, ...) with N >= 1; its first example is kept to learn shapes and costs.
    name : str
        What plans and pages call the network.

    Raises
    ------
    NetworkError
        If fx cannot trace it, it cannot run on the example, it has no prunable layer, or a weight
        is NaN or infinite.
    """
    root = copy.deepcopy(module).cpu().float().eval()
    try:
        graph_module = fx.GraphModule(root, fx.Tracer().trace(root))
    except Exception as error:
        raise NetworkError(
            f"{name} cannot be drawn as a graph: {first_line(error)}. torch.fx follows tensors, so the "
            "forward pass must not branch on their values."
        ) from error
    _one_module_per_activation(graph_module)
    return from_graph(name, graph_module, example_input[:1].detach().clone())


_FUNCTIONAL: dict[Any, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    F.relu: (nn.ReLU, ()),
    torch.relu: (nn.ReLU, ()),
    "relu": (nn.ReLU, ()),
    F.relu_: (nn.ReLU, ()),
    torch.relu_: (nn.ReLU, ()),
    "relu_": (nn.ReLU, ()),
    F.relu6: (nn.ReLU6, ()),
    F.leaky_relu: (nn.LeakyReLU, ("negative_slope",)),
    F.elu: (nn.ELU, ("alpha",)),
    F.silu: (nn.SiLU, ()),
    F.hardswish: (nn.Hardswish, ()),
    F.hardsigmoid: (nn.Hardsigmoid, ()),
    F.hardtanh: (nn.Hardtanh, ("min_val", "max_val")),
    F.selu: (nn.SELU, ()),
    F.celu: (nn.CELU, ("alpha",)),
    F.mish: (nn.Mish, ()),
    F.softplus: (nn.Softplus, ("beta", "threshold")),
    F.gelu: (nn.GELU, ("approximate",)),
    F.sigmoid: (nn.Sigmoid, ()),
    torch.sigmoid: (nn.Sigmoid, ()),
    "sigmoid": (nn.Sigmoid, ()),
    F.tanh: (nn.Tanh, ()),
    torch.tanh: (nn.Tanh, ()),
    "tanh": (nn.Tanh, ()),
}


def _one_module_per_activation(module: fx.GraphModule) -> None:
    """Give every activation call a module of its own.

    Captum's DeepLift and GuidedBackprop are silently wrong on functional or reused activations.
    """
    seen: set[str] = set()
    for node in [n for n in module.graph.nodes if _is_in_place(module, n)]:
        _hand_on(module, node)
    for node in list(module.graph.nodes):
        if node.op == "call_module":
            called = module.get_submodule(node.target)
            if hasattr(called, "inplace"):
                setattr(called, "inplace", False)  # noqa: B010 - mypy knows no such attribute
            if node.target in seen and not list(called.parameters()) and not list(called.buffers()):
                node.target = _add(module, node.target, copy.deepcopy(called))
            seen.add(node.target)
        elif node.op in ("call_function", "call_method") and node.target in _FUNCTIONAL:
            build, names = _FUNCTIONAL[node.target]
            given = dict(zip(names, node.args[1:], strict=False))
            given.update({k: v for k, v in node.kwargs.items() if k in names})
            source = node.args[0] if node.args else node.kwargs["input"]
            target = _add(module, node.name, build(**given).eval())
            with module.graph.inserting_after(node):
                replacement = module.graph.call_module(target, (source,))
            node.replace_all_uses_with(replacement)
            module.graph.erase_node(node)
    module.recompile()


def _is_in_place(module: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    if node.target not in _FUNCTIONAL:
        return False
    name = node.target if isinstance(node.target, str) else node.target.__name__
    return name.endswith("_") or bool(node.kwargs.get("inplace", False))


def _hand_on(module: fx.GraphModule, node: fx.Node) -> None:
    """Let all that reads an overwritten value later read the activation's result, as it did."""
    order = {other: i for i, other in enumerate(module.graph.nodes)}
    source = node.all_input_nodes[0]
    source.replace_all_uses_with(node, delete_user_cb=lambda user: order[user] > order[node])


def _add(module: fx.GraphModule, name: str, child: nn.Module) -> str:
    """Add `child` under `name`, numbered if taken; returns the name used."""
    taken = {key for key, _ in module.named_modules()}
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    module.add_submodule(unique, child)
    return unique
