"""A loaded network: one fx graph of modules, its layers and its groups of coupled layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, fx, nn

from analysis.errors import NetworkError
from analysis.modules import Recurrent

CONVOLUTION_TYPES = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED_TYPES = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
BATCH_NORM_TYPES = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LAYER_TYPES = (*CONVOLUTION_TYPES, *TRANSPOSED_TYPES, nn.Linear, nn.Embedding, Recurrent)

Side = Literal["out", "in"]
Verdict = Literal["exact", "approximate", "refused"]


@dataclass(frozen=True)
class Layer:
    """A module that holds prunable weights.

    `output_shape` is that of one example; `connections` is the number of weights (biases excluded).
    """

    name: str
    type: str
    shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int

    @property
    def connections(self) -> int:
        """How many weights carry a signal in the dense layer."""
        return _product(self.shape)


@dataclass(frozen=True)
class Slice:
    """What one module loses with a group's channels.

    ``entries[c]`` are the positions, along the module's output or input side, that go with the
    group's channel c. `dim` says which dimension of the result is meant where the module's type does not
    (a reshape, a padding, values that belong to no layer).
    """

    module: str
    side: Side
    entries: tuple[tuple[int, ...], ...]
    dim: int = 0

    def positions(self, channels: tuple[int, ...]) -> set[int]:
        """All positions that go with `channels`."""
        return {position for channel in channels for position in self.entries[channel]}


@dataclass(frozen=True)
class Group:
    """Coupled layers that lose channels together; the unit of one channel slider.

    `members` are the layers whose output channels go. `verdict` is the result of removing random
    channels and comparing with the masked network: its largest difference is `deviation`.
    A refused group has no slices; `reason` says why in words. `unit` is what one of its channels is
    called, and ``product_macs[c]`` the MACs outside of layers (attention) that go with channel c.
    Of each set in `parts` one channel must stay, because some module reads these alone.
    """

    name: str
    members: tuple[str, ...]
    size: int
    slices: tuple[Slice, ...] = ()
    verdict: Verdict = "exact"
    deviation: float = 0.0
    reason: str = ""
    unit: str = "channel"
    product_macs: tuple[int, ...] = ()
    parts: tuple[tuple[int, ...], ...] = ()

    @property
    def floor(self) -> int:
        """How many channels stay whatever the ratio."""
        return max(1, len(self.parts))

    @property
    def is_prunable(self) -> bool:
        """True if its slider is on."""
        return self.verdict != "refused"


@dataclass(frozen=True, eq=False)
class Network:
    """A network ready to be looked at, pruned and measured. It is never modified.

    `module` is in eval mode, on the CPU, with one module per activation call;
    `example_input` has shape (1, ...).
    """

    name: str
    module: fx.GraphModule
    example_input: Tensor
    layers: tuple[Layer, ...]
    groups: tuple[Group, ...] = ()

    def layer(self, name: str) -> Layer:
        """The layer called `name`; KeyError if there is none."""
        return _named(self.layers, name)

    def group(self, name: str) -> Group:
        """The group called `name`; KeyError if there is none."""
        return _named(self.groups, name)

    def weight(self, layer: str) -> Tensor:
        """The weight tensor of a layer, detached; do not write to it."""
        return weight_of(self.module.get_submodule(layer)).detach()

    def parameters(self) -> int:
        """Number of trainable values."""
        return sum(p.numel() for p in self.module.parameters())

    def connections(self) -> int:
        """How many weights its layers have, zeros included; biases are not counted."""
        return sum(layer.connections for layer in self.layers)


def from_graph(name: str, module: fx.GraphModule, example_input: Tensor) -> Network:
    """The :class:`Network` of an fx graph whose activations are modules already.

    Raises
    ------
    NetworkError
        As :func:`analysis.tracing.trace`.
    """
    module.eval()
    check_values(name, module)
    shapes = _shapes(name, module, example_input)
    layers = tuple(
        Layer(
            name=layer_name,
            type=type(layer).__name__,
            shape=tuple(weight_of(layer).shape),
            output_shape=shapes[layer_name],
            parameters=sum(p.numel() for p in layer.parameters()),
        )
        for layer_name, layer in called_modules(module)
        if isinstance(layer, LAYER_TYPES)
    )
    if not layers:
        raise NetworkError(f"{name} has no convolution, linear or embedding layer: nothing to prune.")
    return Network(name, module, example_input, layers)


def check_values(name: str, module: nn.Module) -> None:
    """Refuse a network with NaN or infinite weights; errors as :func:`analysis.tracing.trace`."""
    for key, value in module.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            bad = int((~torch.isfinite(value)).sum())
            raise NetworkError(
                f"{name}: {bad:,} of the {value.numel():,} values of {key} are NaN or infinite, so no "
                "output means anything. Load weights from before training diverged."
            )


def check_runs(name: str, module: fx.GraphModule, example_input: Tensor) -> None:
    """Refuse a network that does not run on its example; errors as :func:`analysis.tracing.trace`."""
    _shapes(name, module, example_input)


def called_modules(module: fx.GraphModule) -> Iterator[tuple[str, nn.Module]]:
    """The leaf modules in the order of their first call, each once."""
    seen = set()
    for node in module.graph.nodes:
        if node.op == "call_module" and node.target not in seen:
            seen.add(node.target)
            yield node.target, module.get_submodule(node.target)


def replace_modules(network: Network, changed: Mapping[str, nn.Module]) -> Network:
    """A network with some modules replaced; all others are shared with `network`, not copied."""
    source = network.module
    root: dict[str, Any] = {}
    for node in source.graph.nodes:
        if node.op == "call_module":
            root[node.target] = changed.get(node.target, source.get_submodule(node.target))
        elif node.op == "get_attr":
            parent, _, attribute = node.target.rpartition(".")
            owner = changed.get(parent, source.get_submodule(parent))  # a tied weight follows its layer
            root[node.target] = getattr(owner, attribute)
    graph = fx.Graph()  # a copy: a graph belongs to one module
    graph.output(graph.graph_copy(source.graph, {}))
    return from_graph(network.name, fx.GraphModule(root, graph), network.example_input)


def run_with(network: Network, changed: Mapping[str, nn.Module], inputs: Tensor) -> Tensor:
    """What the network would answer with some modules replaced, without building that network."""
    return Substitute(network.module, changed).run(inputs)


def has_batch_norm(network: Network) -> bool:
    """True if the network calls a BatchNorm."""
    return any(isinstance(module, BATCH_NORM_TYPES) for _, module in called_modules(network.module))


def output_layers(module: fx.GraphModule) -> set[str]:
    """Layers whose outputs reach the network's answer without passing another layer."""
    found: set[str] = set()
    pending = list(_output_node(module).all_input_nodes)
    seen = set(pending)
    while pending:
        node = pending.pop()
        if node.op == "call_module" and isinstance(module.get_submodule(str(node.target)), LAYER_TYPES):
            found.add(str(node.target))
            continue
        pending += [n for n in node.all_input_nodes if n not in seen]
        seen.update(node.all_input_nodes)
    return found


def out_dim(module: nn.Module) -> int:
    """The dimension of an ungrouped layer's weight that counts its output channels."""
    return 1 if isinstance(module, (*TRANSPOSED_TYPES, nn.Embedding)) else 0


def by_output(module: nn.Module, values: Tensor) -> Tensor:
    """Values of a layer's weight rearranged to (output channels, inputs of each, kernel or gates...).

    Grouped transposed convolutions keep (inputs, outputs of one block, kernel...), so that their output
    channels are not a dimension of the weight.
    """
    if isinstance(module, Recurrent):
        return values.unflatten(0, (module.gates, -1)).movedim(0, -1)
    groups = getattr(module, "groups", 1)
    if isinstance(module, TRANSPOSED_TYPES) and groups > 1:
        blocks = values.reshape(groups, values.shape[0] // groups, *values.shape[1:])
        return blocks.transpose(1, 2).flatten(0, 1)
    return values.movedim(out_dim(module), 0)


def weight_parameters(module: nn.Module, weight: Tensor) -> dict[str, Tensor]:
    """The parameters of a layer, by name, that hold `weight`; a recurrent layer has two."""
    return module.parts(weight) if isinstance(module, Recurrent) else {"weight": weight}


def node_values(
    module: fx.GraphModule, inputs: Tensor, wanted: set[fx.Node] | None = None
) -> dict[fx.Node, Any]:
    """Run the graph without hooks and return what the `wanted` nodes (default: all) computed."""
    recorder = _Recorder(module, wanted)
    recorder.run(inputs)
    return recorder.values


def output_shapes(module: fx.GraphModule, example_input: Tensor) -> dict[str, tuple[int, ...]]:
    """Output shape, for one example, of every called module."""
    with torch.no_grad():
        values = node_values(module, example_input)
    return {
        str(node.target): tuple(value.shape[1:])
        for node, value in values.items()
        if node.op == "call_module" and isinstance(value, Tensor)
    }


def _shapes(name: str, module: fx.GraphModule, example_input: Tensor) -> dict[str, tuple[int, ...]]:
    try:
        return output_shapes(module, example_input)
    except Exception as error:
        raise NetworkError(
            f"{name} does not run on an input of shape {tuple(example_input.shape)}: {first_line(error)}"
        ) from error


class _Recorder(fx.Interpreter):
    """Keeps node values; hooks would touch modules that other sessions share."""

    def __init__(self, module: fx.GraphModule, wanted: set[fx.Node] | None) -> None:
        super().__init__(module)
        self.wanted = wanted
        self.values: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if self.wanted is None or n in self.wanted:
            self.values[n] = value
        return value


def _output_node(module: fx.GraphModule) -> fx.Node:
    return next(node for node in module.graph.nodes if node.op == "output")


def weight_of(module: nn.Module) -> Tensor:
    """The weight of a layer's module."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


class Substitute(fx.Interpreter):
    """Calls the changed modules in the place of the network's own."""

    def __init__(self, module: fx.GraphModule, changed: Mapping[str, nn.Module]) -> None:
        super().__init__(module)
        self.changed = changed

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target in self.changed:
            return self.changed[target](*args, **kwargs)
        return super().call_module(target, args, kwargs)

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        parent, _, attribute = str(target).rpartition(".")
        if parent in self.changed:
            return getattr(self.changed[parent], attribute)  # a tied weight follows its layer
        return super().get_attr(target, args, kwargs)


T = TypeVar("T", Layer, Group)


def _named(items: tuple[T, ...], name: str) -> T:
    for item in items:
        if item.name == name:
            return item
    raise KeyError(name)


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
