"""Weights and activations in modules of their own, one for each call."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch.nn.functional as F
from torch import Tensor, fx, nn

from analysis.canonical.edits import add, attribute, calls, hand_on, hand_over, replace
from analysis.canonical.functional import ACTIVATIONS, layer_of_call
from analysis.modules import Values


def one_module_per_activation(module: fx.GraphModule) -> None:
    """Give every activation call a module of its own.

    Captum's DeepLift and GuidedBackprop are silently wrong on functional or reused activations.
    """
    seen: set[str] = set()
    for node in [n for n in module.graph.nodes if _is_in_place(module, n)]:
        hand_on(node.all_input_nodes[0], node)
    for node in list(module.graph.nodes):
        if node.op == "call_module":
            called = module.get_submodule(node.target)
            if hasattr(called, "inplace"):
                setattr(called, "inplace", False)  # noqa: B010 - mypy knows no such attribute
            if node.target in seen and not list(called.parameters()) and not list(called.buffers()):
                node.target = add(module, node.target, copy.deepcopy(called))
            seen.add(node.target)
        elif node.op in ("call_function", "call_method") and node.target in ACTIVATIONS:
            build, names = ACTIVATIONS[node.target]
            given = dict(zip(names, node.args[1:], strict=False))
            given.update({k: v for k, v in node.kwargs.items() if k in names})
            source = node.args[0] if node.args else node.kwargs["input"]
            replace(module, node, build(**given).eval(), source)


def _is_in_place(module: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    if node.target not in ACTIVATIONS:
        return False
    name = node.target if isinstance(node.target, str) else node.target.__name__
    return name.endswith("_") or bool(node.kwargs.get("inplace", False))


def layers_of_calls(module: fx.GraphModule) -> None:
    """``F.linear(x, self.w)`` becomes a layer, if nothing else reads its weights."""
    called = _called(module)
    reads: Counter[str] = Counter()
    for node in module.graph.nodes:
        if node.op == "get_attr":
            reads[str(node.target)] += len(node.users)

    def own(value: Any) -> Any:
        """The tensor of a weight that only this call reads; `value` itself if it is none."""
        if not isinstance(value, fx.Node):
            return value
        target = str(value.target)
        if value.op != "get_attr" or reads[target] > 1 or target.rpartition(".")[0] in called:
            raise LookupError
        return attribute(module, target)

    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        try:
            made = layer_of_call(node.target, node.args, node.kwargs, own)
        except LookupError:
            continue
        if made is None:
            continue
        source, layer = made
        weights = [n for n in node.all_input_nodes if n is not source]
        owner, _, last = str(weights[0].target).rpartition(".") if weights else ("", "", "")
        replace(module, node, layer.eval(), source, name=owner if owner and last == "weight" else node.name)


def tied_layers(module: fx.GraphModule) -> None:
    """A linear layer that holds another layer's weight becomes a call that reads it there."""
    owners: dict[int, str] = {}
    for node, called in calls(module):
        weight = getattr(called, "weight", None)
        if not isinstance(weight, nn.Parameter):
            continue
        target = str(node.target)
        owner = owners.setdefault(id(weight), target)
        if owner == target or not isinstance(called, nn.Linear):
            continue
        with module.graph.inserting_before(node):
            read = [module.graph.get_attr(f"{owner}.weight")]
            if called.bias is not None:
                read.append(module.graph.get_attr(f"{target}.bias"))
            hand_over(node, module.graph.call_function(F.linear, (node.args[0], *read)))


def values_as_modules(module: fx.GraphModule) -> None:
    """A parameter or buffer that no called module owns becomes a module, so that it can be cut."""
    called = _called(module)
    made: dict[str, str] = {}
    for node in list(module.graph.nodes):
        target = str(node.target)
        if node.op != "get_attr" or target.rpartition(".")[0] in called:
            continue
        if target not in made:
            value = attribute(module, target)
            if not isinstance(value, Tensor):
                continue
            owner, _, last = target.rpartition(".")
            delattr(module.get_submodule(owner), last)
            made[target] = add(module, target, Values(value))
        with module.graph.inserting_before(node):
            hand_over(node, module.graph.call_module(made[target]))


def _called(module: fx.GraphModule) -> set[str]:
    """The names of the modules that are called."""
    return {str(node.target) for node in module.graph.nodes if node.op == "call_module"}
