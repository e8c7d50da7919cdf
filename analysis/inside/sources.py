"""Who is heard where: which units' values, or the network's input, each value inside depends on directly.

Directly means without another layer in between. Numbers run through the network beside its values; each stands
for a set of units. Layers have a rule of their own, all else is seen as ATen operators, below functions, methods
and modules. An operator without a rule lets everything it reads be heard in everything it gives, so that a
dependence may be said that is none, but none is left out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten

from analysis.importance.signals import channels_last, is_activation, output_channels
from analysis.inside.hearing import INPUT, Hearing, Sources
from analysis.inside.hearing_rules import is_by_element, module_rule, operator_rule
from analysis.inside.sets import NOBODY
from analysis.network import BATCH_NORM_TYPES, LAYER_TYPES, Network
from analysis.pruning.beside import Operators, operator_name
from analysis.pruning.operator_rules import bound_arguments


def find_sources(network: Network, *, statistics: bool = True) -> Sources:
    """Run the network once on its example and find who is heard where.

    Parameters
    ----------
    statistics : bool
        True if a normalisation lets every channel be heard in all it normalises together (LayerNorm,
        GroupNorm), because its statistics do; False if each channel counts only for itself there.
    """
    follower = _Follower(network, statistics)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), follower.mode:
        answer = follower.run(network.example_input.clone())
    found = follower.hearing.sources
    numbers = follower.hearing.of(answer)
    found.answer = NOBODY if numbers is None else found.sets.whole(numbers)
    return found


def own_end(network: Network, layer: str) -> fx.Node:
    """The last node that is a layer's own signal: after its BatchNorm and activation, before any sum."""
    nodes = network.module.graph.nodes
    node = next(n for n in nodes if n.op == "call_module" and n.target == layer)
    while True:
        users = list(node.users)
        if len(users) != 1 or users[0].op != "call_module":
            return node
        module = network.module.get_submodule(str(users[0].target))
        if is_by_element(module):
            node = users[0]
            if is_activation(module):
                return node
        elif isinstance(module, BATCH_NORM_TYPES):
            node = users[0]
        else:
            return node


class _Follower(fx.Interpreter):
    """Runs the graph; layers and normalisations by the rule of their type, everything else by operators."""

    def __init__(self, network: Network, statistics: bool) -> None:
        super().__init__(network.module)
        self.network = network
        self.hearing = Hearing(network, statistics)
        self.mode = Operators(self.operator)
        self._ends = {own_end(network, layer.name): layer.name for layer in network.layers}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        with self.mode.paused():
            if n.op == "placeholder":
                number = self.hearing.sets.number(frozenset({INPUT}))
                self.hearing.note(value, self.hearing.all_alike(number, value))
            if n in self._ends:
                name = self._ends[n]
                module = self.network.module.get_submodule(name)
                self.hearing.says(name, channels_last(value, output_channels(module), module))
        return value

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        name, module = str(target), self.fetch_attr(str(target))
        rule = module_rule(module)
        if rule is None or kwargs or len(args) != 1:
            return super().call_module(target, args, kwargs)
        with self.mode.paused():
            output = module(*args)
            self.hearing.note(output, rule(self.hearing, name, module, args[0], output))
        return output

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        owner = str(target).rpartition(".")[0]
        if owner and isinstance(self.fetch_attr(owner), LAYER_TYPES):
            with self.mode.paused():
                self.hearing.uses_weights(owner, value)
        return value

    def operator(self, function: Any, args: Any, kwargs: Any, output: Any) -> None:
        """One operator that ran."""
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
        if all(self.hearing.of(tensor) is None for tensor in tensors):
            return
        arguments = bound_arguments(function, args, kwargs)
        self.hearing.note(
            output, operator_rule(self.hearing, function, operator_name(function), arguments, tensors, output)
        )
