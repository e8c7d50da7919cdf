"""Channels followed through a network: what every module must lose when a channel goes.

The network runs once on its example while labels (:mod:`analysis.pruning.labels`) run beside its values:
by the rule of its type (:mod:`analysis.pruning.flow_rules`) through each layer, and operator by operator
(:mod:`analysis.pruning.operator_rules`) through everything else. A replacement for tracing dependencies
by autograd nodes (Fang et al. 2023, "DepGraph") that also sees heads, gates, shuffles and fixed sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from analysis.network import Network, by_output, out_dim
from analysis.pruning.beside import Notes, Operators, operator_name
from analysis.pruning.flow_rules import rule_of
from analysis.pruning.operator_rules import bound_arguments, labels_after
from analysis.pruning.operators import Call, MaybeLabels
from analysis.pruning.slots import Slot, Slots

__all__ = ["Flow", "Slot", "follow"]


@dataclass(frozen=True)
class Flow:
    """What was found: for each slot of a module, the label at each position; -1 where none can go.

    `products` are the MACs outside of layers by label, `heads` the labels that are attention heads.
    """

    slots: dict[Slot, list[int]]
    reasons: dict[int, str]
    products: dict[int, int]
    heads: frozenset[int]


def follow(network: Network) -> Flow:
    """Follow the channels of every layer of a network to its answer."""
    follower = _Follower(network.module)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), follower.mode:
        answer = follower.run(network.example_input.clone())
    slots = follower.slots
    for layer in network.layers:
        if (layer.name, "out", 0) not in slots.held:
            rows = by_output(network.module.get_submodule(layer.name), network.weight(layer.name))
            outputs = slots.outputs(layer.name, rows.shape[0])
            slots.labels.pin(outputs, f"{layer.name} is called in an unusual way")
    return follower.result(answer)


class _Follower(fx.Interpreter):
    """Runs the graph; layers by the rule of their type, everything else operator by operator."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.slots = Slots()
        self.mode = Operators(self.operator)
        self.notes = Notes()

    def of(self, value: Tensor) -> MaybeLabels:
        """The labels of a tensor that the network has computed."""
        found = self.notes.of(value)
        return None if found is None else self.slots.labels.current(found)

    def operator(self, function: Any, args: Any, kwargs: Any, output: Any) -> None:
        """One operator that ran."""
        call = Call(operator_name(function), bound_arguments(function, args, kwargs), output, self.of)
        self.notes.note(output, labels_after(self.slots.rules, function, call))

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(str(target))
        rule = rule_of(module)
        if rule is None or kwargs or len(args) > 1:
            return super().call_module(target, args, kwargs)
        with self.mode.paused():
            output = module(*args)
            given = self.of(args[0]) if args else None
            self.notes.note(output, rule(self.slots, str(target), module, given, output))
        return output

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A tied weight: its rows or columns go with the channels of the layer that owns it."""
        value = super().get_attr(target, args, kwargs)
        owner, _, attribute = str(target).rpartition(".")
        module = self.fetch_attr(owner) if owner else None
        if isinstance(module, (nn.Linear, nn.Embedding)):
            with self.mode.paused():
                channels = module.out_features if isinstance(module, nn.Linear) else module.embedding_dim
                labels = self.slots.outputs(owner, channels)
                if attribute == "weight":
                    dim = out_dim(module)
                    labels = (labels[:, None] if dim == 0 else labels[None]).expand(value.shape)
                    if isinstance(module, nn.Linear):
                        reason = f"the weights of {owner} are used twice"
                        self.slots.fix_inputs(owner, module.in_features, reason)
                self.notes.note(value, labels)
        return value

    def result(self, answer: Any) -> Flow:
        """All labels as they stand at the end."""
        slots, labels = self.slots, self.slots.labels
        for value in answer if isinstance(answer, (tuple, list)) else [answer]:
            found = self.of(value) if isinstance(value, Tensor) else None
            if found is not None:
                labels.pin(found, "they reach the network's answer")
        slots.settle()
        held = {key: labels.current(vector).tolist() for key, vector in slots.held.items()}
        every = {label for vector in held.values() for label in vector if label >= 0}
        products: dict[int, int] = {}
        for found, macs in slots.rules.products:
            for label in labels.current(found).reshape(-1).tolist():
                products[label] = products.get(label, 0) + macs
        heads = [labels.current(found).reshape(-1).tolist() for found in slots.rules.heads]
        return Flow(
            held,
            {label: reason for label in every if (reason := labels.reason(label)) is not None},
            products,
            frozenset(label for found in heads for label in found),
        )
