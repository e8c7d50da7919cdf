"""A network compiled for answering: BatchNorm folded away, and a run that can stop and resume midway.

Folding a BatchNorm into the layer before it leaves the answers as they are up to rounding and saves a
pass over every activation. A run that stops before a step keeps the values still needed there, so that
the steps after it can run again without those before it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from analysis.network import BATCH_NORM_TYPES, CONVOLUTION_TYPES, TRANSPOSED_TYPES, Network

_BATCHES = (64, 128, 32)  # the first wins a tie
_CALIBRATION_EXAMPLES = 128
_ROUNDS = 3
_TIE = 1.05
_PATIENCE = 1.0  # seconds

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Layout:
    """How examples are handed to a program: how many at once, and channels last or first."""

    batch: int = 64
    channels_last: bool = False

    def prepare(self, inputs: Tensor) -> Tensor:
        """`inputs` in this memory layout."""
        if self.channels_last and inputs.dim() == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs


@dataclass(frozen=True)
class _Step:
    """One call of the graph; `last_uses` are the values that nothing needs afterwards."""

    node: fx.Node
    inputs: tuple[fx.Node, ...]
    last_uses: tuple[fx.Node, ...]


class _Route:
    """What all programs of one graph share: its steps, what is folded, where each module is called."""

    def __init__(self, network: Network) -> None:
        self.module = network.module
        self.folded = _foldable(network)
        norms = set(self.folded.values())
        alias = {
            node: node.args[0]
            for node in self.module.graph.nodes
            if node.op == "call_module" and node.target in norms
        }
        nodes = [
            n for n in self.module.graph.nodes if n.op not in ("placeholder", "output") and n not in alias
        ]
        self.placeholder = next(n for n in self.module.graph.nodes if n.op == "placeholder")
        output = next(n for n in self.module.graph.nodes if n.op == "output")
        self.alias = alias
        self.answer = self.resolve(output.args[0])
        inputs = [tuple(dict.fromkeys(self.resolve(i) for i in n.all_input_nodes)) for n in nodes]
        last = {node: i for i, used in enumerate(inputs) for node in used}
        last[self.answer] = len(nodes)
        self.steps = tuple(
            _Step(node, used, tuple(i for i in used if last[i] == k))
            for k, (node, used) in enumerate(zip(nodes, inputs, strict=True))
        )
        self.needed_until = last
        self.calls: dict[str, int] = {}
        for k, step in enumerate(self.steps):
            for name in _modules_of(step.node):
                self.calls.setdefault(name, k)
        for layer, norm in self.folded.items():
            self.calls[norm] = self.calls[layer]

    def resolve(self, value: Any) -> Any:
        """The node that computes `value` once BatchNorms are folded away."""
        while value in self.alias:
            value = self.alias[value]
        return value

    def live(self, cut: int) -> tuple[fx.Node, ...]:
        """The values that exist before step `cut` and are needed from there on, in a fixed order."""
        earlier = (self.placeholder, *(step.node for step in self.steps[:cut]))
        return tuple(n for n in earlier if self.needed_until.get(n, -1) >= cut)


class Program:
    """A network, or a pruned version of it, ready to answer; build one with :func:`compile_network`."""

    def __init__(self, route: _Route, modules: Mapping[str, nn.Module], layout: Layout) -> None:
        self._route = route
        self._modules = modules
        self.layout = layout

    @property
    def length(self) -> int:
        """How many steps it has."""
        return len(self._route.steps)

    @property
    def can_resume(self) -> bool:
        """False if a method writes into its tensor (``y.add_(x)``): kept values would be overwritten."""
        return not any(
            step.node.op == "call_method" and str(step.node.target).endswith("_")
            for step in self._route.steps
        )

    def first_step(self, module: str) -> int:
        """The first step that calls `module` (or reads its weight); KeyError if none does."""
        return self._route.calls[module]

    def live(self, cut: int) -> tuple[fx.Node, ...]:
        """The graph nodes whose values :meth:`run_until` returns."""
        return self._route.live(cut)

    def readers(self, node: fx.Node, cut: int) -> list[str]:
        """The modules that read the value of `node` directly at or after step `cut`."""
        steps = self._route.steps[cut:]
        return [str(s.node.target) for s in steps if s.node.op == "call_module" and node in s.inputs]

    def with_modules(self, changed: Mapping[str, nn.Module]) -> Program:
        """The program of the network with some modules replaced; all others are shared, not copied."""
        modules = dict(self._modules)
        folded = self._route.folded
        norms = {norm: layer for layer, norm in folded.items()}
        for name in {norms.get(name, name) for name in changed}:
            module = changed.get(name, self._route.module.get_submodule(name))
            if name in folded:
                norm = folded[name]
                module = _fold(module, changed.get(norm, self._route.module.get_submodule(norm)))
            modules[name] = _laid_out(module, self.layout)
        return Program(self._route, modules, self.layout)

    def __call__(self, inputs: Tensor) -> Tensor:
        """The answers to a batch of inputs."""
        return self._run({self._route.placeholder: inputs}, 0, self.length)[self._route.answer]

    def run_until(self, cut: int, inputs: Tensor) -> Values:
        """Run the steps before `cut`; the values that :meth:`run_from` needs.

        Only where the program :attr:`can_resume`.
        """
        environment = self._run({self._route.placeholder: inputs}, 0, cut)
        return tuple(environment[node] for node in self.live(cut))

    def run_between(self, cut: int, values: Values, later: int) -> Values:
        """From the values at `cut` to those at a later cut."""
        environment = self._run(dict(zip(self.live(cut), values, strict=True)), cut, later)
        return tuple(environment[node] for node in self.live(later))

    def run_from(self, cut: int, values: Values) -> Tensor:
        """The answers, from the values at `cut`."""
        environment = dict(zip(self.live(cut), values, strict=True))
        return self._run(environment, cut, self.length)[self._route.answer]

    @torch.no_grad()
    def _run(self, environment: dict[fx.Node, Any], start: int, stop: int) -> dict[fx.Node, Any]:
        resolve = self._route.resolve

        def load(argument: Any) -> Any:
            return fx.node.map_arg(argument, lambda node: environment[resolve(node)])

        for step in self._route.steps[start:stop]:
            node = step.node
            match node.op:
                case "call_module":
                    value = self._modules[str(node.target)](*load(node.args), **load(node.kwargs))
                case "call_function":
                    assert callable(node.target)
                    value = node.target(*load(node.args), **load(node.kwargs))
                case "call_method":
                    owner, *arguments = load(node.args)
                    value = getattr(owner, str(node.target))(*arguments, **load(node.kwargs))
                case _:
                    value = self._attribute(str(node.target))
            environment[node] = value
            for used in step.last_uses:
                del environment[used]
        return environment

    def _attribute(self, target: str) -> Any:
        parent, _, attribute = target.rpartition(".")
        owner = self._modules.get(parent)  # a tied weight follows its layer
        return getattr(owner if owner is not None else self._route.module.get_submodule(parent), attribute)


def compile_network(network: Network, layout: Layout | None = None) -> Program:
    """A program that answers as `network.module` does, up to rounding."""
    route = _Route(network)
    layout = layout or Layout()
    names = {str(step.node.target) for step in route.steps if step.node.op == "call_module"}
    modules = {name: _laid_out(network.module.get_submodule(name), layout) for name in names}
    return Program(route, modules, layout).with_modules(
        {name: network.module.get_submodule(name) for name in route.folded}
    )


def answers(program: Program, inputs: Tensor) -> Tensor:
    """The answers to all `inputs` (N, ...), batch by batch."""
    layout = program.layout
    return torch.cat([program(layout.prepare(batch)) for batch in inputs.split(layout.batch)])


def calibrate(network: Network, inputs: Tensor, *, clock: Callable[[], float] = time.perf_counter) -> Layout:
    """The layout in which this machine answers fastest, timed on some of `inputs`.

    Images always lie channels last: with the odd channel counts of pruned networks channels first is up
    to three times slower. The best of three rounds for each batch size; among those within 5% the first.
    """
    some = inputs[:_CALIBRATION_EXAMPLES]
    choices = [Layout(batch, channels_last=some.dim() == 4) for batch in _BATCHES]
    programs = [compile_network(network, layout) for layout in choices]
    best = [float("inf")] * len(choices)
    spent = 0.0
    for _ in range(_ROUNDS):
        for i, program in enumerate(programs):
            if spent > _PATIENCE:
                break
            start = clock()
            answers(program, some)
            taken = clock() - start
            best[i], spent = min(best[i], taken), spent + taken
    return next(c for c, taken in zip(choices, best, strict=True) if taken <= _TIE * min(best))


def _foldable(network: Network) -> dict[str, str]:
    """{layer: the BatchNorm after it} where nothing else reads the layer and each is called once."""
    module = network.module
    nodes = [node for node in module.graph.nodes if node.op == "call_module"]
    read = {node.target.rpartition(".")[0] for node in module.graph.nodes if node.op == "get_attr"}
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.target] = counts.get(node.target, 0) + 1
    found: dict[str, str] = {}
    for node in nodes:
        norm = module.get_submodule(node.target)
        source = node.args[0] if node.args else None
        if (
            not isinstance(norm, BATCH_NORM_TYPES)
            or norm.running_mean is None
            or not isinstance(source, fx.Node)
        ):
            continue
        if source.op != "call_module" or len(source.users) != 1 or {node.target, source.target} & read:
            continue
        layer_name = str(source.target)
        if counts[node.target] != 1 or counts[layer_name] != 1:
            continue
        layer = module.get_submodule(layer_name)
        flat = isinstance(layer, nn.Linear) and len(network.layer(layer_name).output_shape) == 1
        plain = isinstance(layer, (*CONVOLUTION_TYPES, *TRANSPOSED_TYPES)) and not (
            isinstance(layer, TRANSPOSED_TYPES) and layer.groups > 1
        )
        if flat or plain:
            found[layer_name] = node.target
    return found


def _fold(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """A layer that does what `layer` and then `norm` do (Jacob et al. 2018, section 3.2)."""
    assert isinstance(norm, BATCH_NORM_TYPES)
    assert norm.running_mean is not None and norm.running_var is not None
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor) and not isinstance(bias, nn.Module)
    scale = torch.ones_like(norm.running_var) if norm.weight is None else norm.weight  # none if not affine
    shift = torch.zeros_like(norm.running_mean) if norm.bias is None else norm.bias
    arguments = (weight, bias, norm.running_mean, norm.running_var, norm.eps, scale, shift)
    if isinstance(layer, nn.Linear):
        new = fuse_linear_bn_weights(*arguments)
    else:
        new = fuse_conv_bn_weights(*arguments, transpose=isinstance(layer, TRANSPOSED_TYPES))
    return _with_parameters(layer, weight=new[0], bias=new[1])


def _laid_out(module: nn.Module, layout: Layout) -> nn.Module:
    """`module`, or a copy of it whose kernel lies channels last."""
    weight = getattr(module, "weight", None)
    if not layout.channels_last or not isinstance(weight, Tensor) or weight.dim() != 4:
        return module
    turned = weight.detach().contiguous(memory_format=torch.channels_last)
    return _with_parameters(module, weight=turned)


def _with_parameters(module: nn.Module, **values: Tensor) -> nn.Module:
    """A shallow copy of `module` with other parameters; all else is shared."""
    twin = copy.copy(module)
    twin._parameters = dict(module._parameters)
    for name, value in values.items():
        twin._parameters[name] = nn.Parameter(value.detach(), requires_grad=False)
    return twin


def _modules_of(node: fx.Node) -> list[str]:
    if node.op == "call_module":
        return [str(node.target)]
    if node.op == "get_attr":
        return [str(node.target).rpartition(".")[0]]
    return []
