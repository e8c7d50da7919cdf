"""The dense and the pruned network side by side, layer by layer, so that each layer can be mended where it stands.

Recovery without training asks the same of every method: what a layer reads in the pruned network (all layers
before it mended already), what it read and answered in the dense one, and other values for it. Each network
runs once, and values are let go after their last use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from analysis.modules import Recurrent
from analysis.network import (
    BATCH_NORM_TYPES,
    LAYER_TYPES,
    Network,
    Side,
    Substitute,
    output_shapes,
    replace_modules,
)
from analysis.recovery.meeting import Meeting, channel_dim
from analysis.recovery.pruned import LEAST, Pruned, locks

Progress = Callable[[float], None]

_ROOM = 2**25  # values of the largest activation of all examples together: 128 MiB
_SAME = 1e-6  # of the largest output: the layer answers as it did


@dataclass(frozen=True)
class Mended:
    """A network that recovery without training made.

    Parameters
    ----------
    network : Network
        A new network. Modules that were not changed are shared with the pruned one.
    layers : tuple of str
        The layers (or BatchNorms) that were given other values.
    left : mapping
        Layers that would have needed it and stay as they are, with the reason in words.
    """

    network: Network
    layers: tuple[str, ...]
    left: Mapping[str, str] = field(default_factory=dict)


Mend = Callable[[Meeting], Mapping[str, nn.Module] | str]


@torch.no_grad()
def mend_layers(
    pruned: Pruned,
    examples: int,
    mend: Mend,
    progress: Progress = lambda share: None,
    *,
    among: Collection[str] | None = None,
) -> Mended:
    """Give each layer that answers otherwise than in the dense network what `mend` makes of it, in order.

    Parameters
    ----------
    examples : int
        How many of the examples to learn from are looked at, at most (see :func:`some_inputs`).
    mend : callable
        Given a :class:`Meeting`, returns changed modules by name, or why the layer stays as it is. It is not asked
        about recurrences, embeddings, layers called several times, and layers whose weights another module reads,
        too: these stay as they are.
    among : collection of str, optional
        The layers that it is about; all by default.

    Returns
    -------
    Mended
        What follows a mended layer has met its new answers already.
    """
    inputs = some_inputs(pruned, examples)
    dense, here = _Run(pruned.dense, inputs), _Run(pruned.network, inputs.clone())
    places = _Places(pruned)
    mended: dict[str, None] = {}
    left: dict[str, str] = {}
    nodes = list(zip(pruned.dense.module.graph.nodes, pruned.network.module.graph.nodes, strict=True))
    for done, (node, partner) in enumerate(nodes, start=1):
        layer = here.layer(partner)
        if layer is None or (among is not None and str(node.target) not in among):
            dense.step(node)
            here.step(partner)
            continue
        name, read, original_inputs = str(node.target), here.first_input(partner), dense.first_input(node)
        wanted = places.left_of(name, "out", dense.step(node))
        answered = layer(read)
        if answered.shape != wanted.shape:
            left[name] = "it works along positions, side by side for channels of which some are gone"
        elif _differ(answered, wanted):
            reason = places.reason(name)
            changed = reason or mend(
                places.meeting(partner, layer, here, original_inputs, read, wanted, answered)
            )
            if isinstance(changed, str):
                left[name] = changed
            else:
                here.changed.update(changed)
                mended |= dict.fromkeys(changed)
        here.step(partner)
        progress(done / len(nodes))
    progress(1.0)
    network = replace_modules(pruned.network, here.changed) if here.changed else pruned.network
    return Mended(network, tuple(mended), left)


def some_inputs(pruned: Pruned, examples: int) -> Tensor:
    """The first of the examples to learn from: at most `examples`, and no more than memory allows at once."""
    shapes = output_shapes(pruned.dense.module, pruned.dense.example_input)
    largest = max(torch.Size(shape).numel() for shape in shapes.values())
    count = min(examples, max(LEAST, _ROOM // max(1, largest)))
    inputs = pruned.fit.inputs[:count]
    layout = torch.channels_last if inputs.dim() == 4 else torch.preserve_format  # as for measuring: faster
    return inputs.clone(memory_format=layout)  # an activation in place may write into it


class Replaced(Substitute):
    """Runs a network while some of its modules, by name, are changed; values are let go after their last use."""

    changed: dict[str, nn.Module]

    def __init__(self, network: Network) -> None:
        super().__init__(network.module, {})

    def module_of(self, node: fx.Node) -> nn.Module:
        """The module that a node calls."""
        name = str(node.target)
        return self.changed[name] if name in self.changed else self.submodules[name]


class _Run(Replaced):
    """A network run node by node."""

    def __init__(self, network: Network, inputs: Tensor) -> None:
        super().__init__(network)
        self.args_iter = iter((inputs,))

    def step(self, node: fx.Node) -> Any:
        value = self.env[node] = self.run_node(node)
        for used in self.user_to_last_uses.get(node, ()):
            del self.env[used]
        return value

    def layer(self, node: fx.Node) -> nn.Module | None:
        """The layer that a node calls with one tensor; None if it does something else."""
        if node.op != "call_module" or len(node.args) != 1 or not isinstance(node.args[0], fx.Node):
            return None
        module = self.module_of(node)
        return module if isinstance(module, LAYER_TYPES) else None

    def first_input(self, node: fx.Node) -> Tensor:
        value = self.env[node.args[0]]  # type: ignore[index]
        assert isinstance(value, Tensor)
        return value


class _Places:
    """What of each dense module is left in the pruned network, and which modules can be given other values."""

    def __init__(self, pruned: Pruned) -> None:
        self.dense = pruned.dense
        self.locks = locks(pruned.dense, pruned.selection)
        self.gone: dict[tuple[str, Side], set[int]] = {}
        for name, channels in pruned.selection.channels.items():
            for part in pruned.dense.group(name).slices:
                self.gone.setdefault((part.module, part.side), set()).update(part.positions(channels))
        graph = pruned.network.module.graph
        self.calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
        self.read = {str(n.target).rpartition(".")[0] for n in graph.nodes if n.op == "get_attr"}
        self.owners = Counter(_parameters(pruned.dense))

    def kept(self, name: str, side: Side, count: int) -> Tensor:
        """The positions of `count` that are left of a dense layer's side, in order."""
        gone = self.gone.get((name, side), set())
        return torch.tensor([position for position in range(count) if position not in gone])

    def left_of(self, name: str, side: Side, values: Tensor) -> Tensor:
        """What a dense layer reads or answers, without the channels that are gone."""
        if (name, side) not in self.gone:
            return values
        dim = channel_dim(self.dense.module.get_submodule(name), values)
        return values.index_select(dim, self.kept(name, side, values.shape[dim]))

    def reason(self, name: str) -> str:
        """Why a layer stays as it is; empty if it need not."""
        module = self.dense.module.get_submodule(name)
        if isinstance(module, Recurrent):
            return "it is a recurrence, whose answers are not linear in its weights"
        if isinstance(module, nn.Embedding):
            return "it is an embedding, which reads nothing that was mended"
        if self.calls[name] > 1:
            return "it is called several times"
        if name in self.read or any(self.owners[id(value)] > 1 for value in module.parameters()):
            return "another module reads its weights, too"
        return ""

    def meeting(
        self,
        node: fx.Node,
        layer: nn.Module,
        here: _Run,
        original_inputs: Tensor,
        read: Tensor,
        wanted: Tensor,
        answered: Tensor,
    ) -> Meeting:
        """All that is known where a layer is mended."""
        name = str(node.target)
        original = self.dense.module.get_submodule(name)
        inputs = original_inputs.shape[channel_dim(original, original_inputs)]
        outputs = int(original.out_features if isinstance(original, nn.Linear) else original.out_channels)  # type: ignore[arg-type]
        return Meeting(
            name,
            original,
            layer,
            original_inputs,
            read,
            wanted,
            answered,
            self.kept(name, "in", inputs),
            self.kept(name, "out", outputs),
            self.locks.get(f"{name}.weight"),
            self._norm_after(node, here),
        )

    def _norm_after(self, node: fx.Node, here: _Run) -> tuple[str, nn.Module] | None:
        """The BatchNorm that alone reads what a layer answers, with its mean for each channel."""
        users = list(node.users)
        if len(users) != 1 or users[0].op != "call_module" or self.calls[str(users[0].target)] > 1:
            return None
        norm = here.module_of(users[0])
        is_norm = isinstance(norm, BATCH_NORM_TYPES) and norm.running_mean is not None
        return (str(users[0].target), norm) if is_norm else None


def _parameters(network: Network) -> list[int]:
    """The identity of every parameter, once for each module that holds it."""
    modules = dict(network.module.named_modules(remove_duplicate=False)).values()
    return [id(value) for module in modules for value in module._parameters.values() if value is not None]


def _differ(answered: Tensor, wanted: Tensor) -> bool:
    return float((answered - wanted).abs().max()) > _SAME * float(wanted.abs().max())
