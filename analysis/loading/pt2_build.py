"""The fx graph while it grows: values by name, weights given to modules, writes in place made functional."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from analysis.errors import NetworkError
from analysis.loading.pt2_json import shown
from analysis.loading.pt2_names import Names, safe_path
from analysis.loading.pt2_schema import Call, Ignored, Meta, Program, Ref
from analysis.loading.pt2_tensors import Weights

Settings = dict[str, Any]
_OF_A_MODULE = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_OF_A_RECURRENT = ("weight_ih_l", "weight_hh_l", "weight_hr_l", "bias_ih_l", "bias_hh_l")


@dataclass(eq=False)
class State:
    """A weight, buffer or constant: its original names (several if tied), and who holds it by now."""

    names: list[str]
    tensor: Tensor | None = None
    is_parameter: bool = False
    holder: str = ""  # dotted name of the module's attribute
    nodes: list[fx.Node] = field(default_factory=list)  # that read it outside its module


@dataclass(frozen=True)
class Missing:
    """A result that the emitted module does not return; reading it is refused with `reason`."""

    reason: str


def module_path(state: str) -> str:
    """Path of the module that a weight belongs to: of "a.in_proj_weight" it is "a.in_proj"."""
    parent, _, last = state.rpartition(".")
    if last in _OF_A_MODULE or last.startswith(_OF_A_RECURRENT):
        return parent
    for ending in ("_weight", "_bias"):
        last = last.removesuffix(ending)
    return f"{parent}.{last}" if parent else last


class Builder:
    """Emits one exported program as an fx graph. Values are looked up by the names that the file gives them."""

    def __init__(self, program: Program, weights: Weights, constants: Weights) -> None:
        self.program = program
        self.graph = fx.Graph()
        self._sources = (weights, constants)
        self._states: dict[str, State] = {}  # by the name of the value
        self._by_name: dict[str, State] = {}
        self._values: dict[str, fx.Node | Missing] = {}
        self._families: dict[str, set[str]] = {}  # values that share memory
        self._last_use = _last_uses(program)
        self._transposed: dict[str, Ref] = {}
        self._layers: dict[Any, str] = {}
        self._modules: dict[str, nn.Module] = {}
        self._group_states()
        self.names = Names(filter(None, (module_path(n) for s in self._states.values() for n in s.names)))
        # fx writes a placeholder's target into code as it stands: never a name from the file.
        self._values[program.user_input.name] = self.graph.placeholder("x")

    # ---------------------------------------------------------------- values

    def argument(self, value: Any) -> Any:
        """`value` with every name replaced by its node; a weight is read by ``get_attr``."""
        if isinstance(value, Ref):
            return self._node(value.name)
        if isinstance(value, tuple):
            return [self.argument(v) for v in value]
        return None if isinstance(value, Ignored) else value

    def meta(self, value: Any) -> Meta:
        """What the file claims of a tensor."""
        if not isinstance(value, Ref):
            raise NetworkError("a number stands where a tensor should. Save the model again.")
        return self.program.meta(value.name)

    def state(self, value: Any) -> State | None:
        """The weight that `value` is, unless it was computed or overwritten."""
        if not isinstance(value, Ref) or value.name in self._values or value.name not in self._states:
            return None
        return self._loaded(self._states[value.name])

    def define(self, name: str, value: fx.Node | Missing, shares_with: str | None = None) -> None:
        """Name a result; `shares_with` names a value whose memory it may share."""
        if name in self._values or name in self._states:
            raise NetworkError(f"two values are called {shown(name)}. Save the model again.")
        self._values[name] = value
        if shares_with is not None:
            family = self._families.setdefault(shares_with, {shares_with})
            family.add(name)
            self._families[name] = family

    def overwrite(self, name: str, node: fx.Node, position: int) -> None:
        """Let all that reads the memory of `name` after call `position` see `node`, as if written in place."""
        before = self._values.get(name, self._states.get(name))
        for other in self._families.get(name, {name}):
            if self._values.get(other, self._states.get(other)) is before:
                self._values[other] = node
            elif self._last_use.get(other, -1) > position:
                raise NetworkError(
                    f"A call writes through a view into {shown(other)}, which is read later. Express it with torch.cat or "
                    "torch.where (out of place), or open the module from the command line with --model."
                )

    # --------------------------------------------------------------- modules

    def leaf(self, call: Call, module: nn.Module, *inputs: Any) -> fx.Node:
        """Call a module without weights, under the path it had or the name of its result."""
        named = call.path if call.kind == type(module).__name__ else ""
        first = next((o for o in call.outputs if isinstance(o, str)), "")
        path = self.names.claim(named or first or type(module).__name__.lower())
        self._modules[path] = module.eval()
        return self.graph.call_module(path, tuple(self.argument(i) for i in inputs))

    def layer(
        self,
        call: Call,
        kind: type[nn.Module],
        settings: Settings,
        states: dict[str, State | None],
        inputs: Sequence[Any],
        otherwise: Callable[[], fx.Node],
    ) -> fx.Node:
        """Call a module that holds weights: the same one again if it was built before.

        Parameters
        ----------
        settings : dict
            Arguments of the module's constructor.
        states : dict
            Its weights and buffers by attribute; None where it has none.
        otherwise : function
            Emits the call as a function, for weights that another module holds.
        """
        held = {name: state for name, state in states.items() if state is not None}
        key = (kind, tuple(settings.items()), tuple((n, id(s)) for n, s in held.items()))
        if key not in self._layers:
            if any(state.holder for state in held.values()) or len(set(map(id, held.values()))) < len(held):
                return otherwise()
            empty = next((s for s in held.values() if s.tensor is not None and s.tensor.numel() == 0), None)
            if empty is not None:
                raise NetworkError(f"The weight {shown(empty.names[0])} has no values. Save the model again.")
            module = kind(**settings, device="meta")
            path = self.names.claim(self._layer_path(call, kind, held), of_weight=True)
            for name, state in held.items():
                _set(module, name, state)
                state.holder = f"{path}.{name}"
            self._modules[path] = module.eval()
            self._layers[key] = path
        return self.graph.call_module(self._layers[key], tuple(self.argument(i) for i in inputs))

    def sibling(self, state: State, name: str) -> Tensor | None:
        """The tensor `name` of the same module, as ``num_batches_tracked`` beside ``running_mean``."""
        for held in state.names:
            parent = held.rpartition(".")[0]
            found = self._by_name.get(f"{parent}.{name}" if parent else name)
            if found is not None:
                return self._loaded(found).tensor
        return None

    def count_batches(self, path: str, average: State) -> None:
        """Give a norm with running statistics its count of batches, which stands in no call."""
        count = self.sibling(average, "num_batches_tracked")
        if count is None or count.shape != () or count.is_floating_point():
            count = torch.tensor(0)
        self._modules[path].num_batches_tracked = count

    def transpose_of(self, name: str, state: Ref) -> None:
        """Remember that the value `name` is a weight transposed."""
        self._transposed[name] = state

    def transposed(self, value: Any) -> Ref | None:
        """The weight whose transpose `value` is."""
        found = self._transposed.get(value.name) if isinstance(value, Ref) else None
        return found if self.state(found) is not None else None

    def finish(self) -> fx.GraphModule:
        """The module of all calls so far, dead ones left out."""
        self.graph.output(self._node(self.program.output))
        root = nn.Module()
        for path, module in self._modules.items():
            _place(root, path).add_module(path.rpartition(".")[2], module)
        for state in dict.fromkeys(self._states.values()):
            if state.nodes:
                self._publish(root, state)
        module = fx.GraphModule(root, self.graph)
        module.graph.eliminate_dead_code()
        used = fx.GraphModule(module, module.graph)  # takes along only what the graph still names
        for held in used.modules():
            held.training = False
        return used

    # --------------------------------------------------------------- helpers

    def _node(self, name: str) -> fx.Node:
        value = self._values.get(name)
        if isinstance(value, Missing):
            raise NetworkError(value.reason)
        if value is not None:
            return value
        if name not in self._states:
            raise NetworkError(f"{shown(name)} is read before any call computes it. Save the model again.")
        state = self._loaded(self._states[name])
        if not state.nodes:
            named = safe_path(state.names[0]).replace(".", "_")
            state.nodes.append(self.graph.create_node("get_attr", "pending", name=named))
        return state.nodes[0]

    def _group_states(self) -> None:
        by_identity: dict[Any, State] = {}
        for entry in self.program.inputs:
            if entry.role == "user":
                continue
            source = self._source(entry.state)
            identity = (id(source), source.identity(entry.state))
            state = by_identity.setdefault(identity, State([]))
            if entry.name in self._states or entry.name == self.program.user_input.name:
                raise NetworkError(f"two inputs are called {shown(entry.name)}. Save the model again.")
            state.names.append(entry.state)
            state.is_parameter |= entry.role == "parameter"
            self._states[entry.name] = self._by_name[entry.state] = state

    def _source(self, name: str) -> Weights:
        for source in self._sources:
            if name in source:
                return source
        raise NetworkError(f"The weight {shown(name)} is not in the file. Save the model again.")

    def _loaded(self, state: State) -> State:
        if state.tensor is None:
            state.tensor = self._source(state.names[0]).load(state.names[0])
        return state

    def _layer_path(self, call: Call, kind: type[nn.Module], held: dict[str, State]) -> str:
        name, lead = next(iter(held.items()))
        if call.kind == kind.__name__ and f"{call.path}.{name}" in lead.names:
            return call.path
        return module_path(lead.names[0]) or kind.__name__.lower()

    def _publish(self, root: nn.Module, state: State) -> None:
        """Give the nodes that read a weight its place: in its module, or under its own name."""
        if not state.holder:
            state.holder = self.names.claim(state.names[0], of_weight=True)
            owner, name = _place(root, state.holder), state.holder.rpartition(".")[2]
            assert state.tensor is not None
            if state.is_parameter and state.tensor.is_floating_point():
                owner.register_parameter(name, nn.Parameter(state.tensor))
            else:
                owner.register_buffer(name, state.tensor)
        for node in state.nodes:
            node.target = state.holder


def _set(module: nn.Module, name: str, state: State) -> None:
    assert state.tensor is not None
    if name in module._buffers:
        setattr(module, name, state.tensor)
        return
    expected = module.get_parameter(name).shape
    if expected != state.tensor.shape or not state.tensor.is_floating_point():
        raise NetworkError(
            f"the weight {shown(state.names[0])} has shape {tuple(state.tensor.shape)}; its operator needs "
            f"{tuple(expected)}. Save the model again."
        )
    setattr(module, name, nn.Parameter(state.tensor))


def _place(root: nn.Module, path: str) -> nn.Module:
    """The module that holds `path`, made on the way down."""
    owner = root
    for part in path.split(".")[:-1]:
        if part not in owner._modules:
            owner.add_module(part, nn.Module())
        owner = owner.get_submodule(part)
    return owner


def _last_uses(program: Program) -> dict[str, int]:
    """The position of the last call that reads each value."""
    last: dict[str, int] = {}
    for position, call in enumerate(program.calls):
        for argument in call.arguments:
            values = argument.value if isinstance(argument.value, tuple) else (argument.value,)
            last.update((v.name, position) for v in values if isinstance(v, Ref))
    last[program.output] = len(program.calls)
    return last


def zeros_in(node: fx.Node) -> bool:
    """True if `node` makes a tensor of zeros, as the first state of a recurrent layer."""
    if node.target in (torch.zeros, torch.zeros_like):
        return True
    is_filled = node.target in (torch.full, torch.full_like) and len(node.args) > 1
    return is_filled and node.args[1] in (0, 0.0)
