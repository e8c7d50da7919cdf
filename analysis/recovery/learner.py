"""What is trained: a private copy of a network, with dropout, frozen layers and values inside that can be seen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from analysis.importance.signals import signal_node
from analysis.network import LAYER_TYPES, Network, called_modules, output_layers
from analysis.recovery.recipe import Recipe

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True)
class Hint:
    """What values inside a network are worth (FitNets, Romero et al. 2015).

    Parameters
    ----------
    layers : tuple of str
        Behind which layers values are read: after the BatchNorm, addition and activation that follow each.
    loss : callable
        Given the inputs as shown and the values, one tensor a layer, the loss of each example (N,).
    """

    layers: tuple[str, ...]
    loss: Callable[[Tensor, Sequence[Tensor]], Tensor]


class Learner:
    """A copy of a network in training; call it for its outputs and the values inside that a hint reads."""

    def __init__(self, module: fx.GraphModule, frozen: frozenset[str], has_inside: bool) -> None:
        self.module = module
        self.parameters = dict(module.named_parameters(remove_duplicate=False))
        self._frozen, self._has_inside = frozen, has_inside

    @property
    def weights(self) -> list[Tensor]:
        """The weights of its layers, each once: no biases, no norms."""
        found: dict[int, Tensor] = {}
        for _, module in called_modules(self.module):
            if isinstance(module, LAYER_TYPES):
                found |= {id(v): v for v in module.parameters(recurse=False) if v.dim() > 1}
        return list(found.values())

    def begin(self) -> None:
        """Ready for an epoch: in training, but for what is frozen."""
        self.module.train()
        for name in self._frozen:
            self.module.get_submodule(name).eval()

    def __call__(self, inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        given: Any = self.module(inputs)
        return (given[0], tuple(given[1:])) if self._has_inside else (given, ())


def learner(network: Network, recipe: Recipe, hint: Hint | None = None) -> Learner:
    """A copy of the network that learns by a recipe; convolutions lie channels last, where they are faster."""
    module = copy.deepcopy(network.module)
    for value in module.parameters():
        if value.dim() == 4:
            value.data = value.data.contiguous(memory_format=torch.channels_last)
    learning = learning_modules(network, recipe.last)
    _let_learn(module, not recipe.last)
    for name in learning:
        _let_learn(module.get_submodule(name), True)
    frozen = frozenset(name for name, _ in called_modules(module) if name not in learning)
    nodes = list(module.graph.nodes)  # dropout comes in between
    if recipe.dropout is not None:
        _drop(module, recipe.dropout)
    if hint is not None:
        show_inside(module, [nodes[place] for place in places(network, hint.layers)])
    return Learner(module, frozen, hint is not None)


def _let_learn(module: nn.Module, learns: bool) -> None:
    """Whole numbers among the parameters never learn: they have no gradient."""
    for value in module.parameters():
        value.requires_grad_(learns and (value.is_floating_point() or value.is_complex()))


def learning_modules(network: Network, last: int) -> tuple[str, ...]:
    """The modules that learn if the `last` layers do (0: all): what is called from the first of them on."""
    called = [name for name, _ in called_modules(network.module)]
    if not last:
        return tuple(called)
    first = network.layers[max(0, len(network.layers) - last)].name
    return tuple(called[called.index(first) :])


def learning_layers(network: Network, last: int) -> tuple[str, ...]:
    """The layers that learn if the `last` ones do (0: all)."""
    return tuple(layer.name for layer in network.layers[-last if last else 0 :])


def places(network: Network, layers: Sequence[str]) -> list[int]:
    """Where behind each layer its signal is read: positions in the graph, the same in every pruned version."""
    nodes = list(network.module.graph.nodes)
    return [nodes.index(signal_node(network, layer)) for layer in layers]


def show_inside(module: fx.GraphModule, nodes: Sequence[fx.Node]) -> None:
    """Make a module (a private copy) answer with a tuple: its answer, and the values of some of its nodes."""
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    seen = []
    for node in nodes:
        with module.graph.inserting_after(node):
            seen.append(module.graph.call_method("clone", (node,)))  # some modules overwrite
    output.args = ((output.args[0], *seen),)
    module.recompile()


def has_dropout(network: Network) -> bool:
    """True if the network has dropout of its own, whose rate a recipe sets."""
    return any(isinstance(module, _DROPOUTS) for _, module in called_modules(network.module))


def _drop(module: fx.GraphModule, rate: float) -> None:
    """Set the rate of the module's own dropout, or put one before the layers that answer."""
    own = [child for _, child in called_modules(module) if isinstance(child, _DROPOUTS)]
    if own:
        for child in own:
            child.p = rate
        return
    last = output_layers(module)
    for node in list(module.graph.nodes):
        layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if str(node.target) not in last or layer is None or isinstance(layer, nn.Embedding):
            continue
        name = f"{str(node.target).replace('.', '_')}_dropout"
        module.add_submodule(name, nn.Dropout(rate))
        with module.graph.inserting_before(node):
            fresh = module.graph.call_module(name, (node.args[0],))
        node.replace_input_with(node.args[0], fresh)
    module.recompile()
