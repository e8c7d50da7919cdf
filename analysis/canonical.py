"""One form for every graph: weights, activations and sizes live in modules, whatever the code looked like.

Captum wants a module of its own for each activation call; pruning wants every weight in a layer, every
recurrence one direction at a time, and every size that counts channels in a module that can be cut.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from analysis.functional import ACTIVATIONS, layer_of_call
from analysis.modules import MOVEMENTS, Pad, Recurrent, Reshape, Split, Take, Values

_RESHAPES = ("view", "reshape", "unflatten", torch.reshape, torch.unflatten)
_SPLITS = ("chunk", "split", "tensor_split", torch.chunk, torch.split, torch.tensor_split)
_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout)
_WRITING = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
_Seen = dict[fx.Node, Any]
_RECURRENT = {"GRU": "gru", "LSTM": "lstm", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}


def canonicalise(module: fx.GraphModule, example_input: Tensor) -> None:
    """Bring a traced graph into the form described above, in place; its answers stay the same.

    Parameters
    ----------
    example_input : Tensor
        Shape (1, ...): it is run, repeated, to learn which sizes depend on the number of examples.

    Raises
    ------
    Exception
        Whatever the network raises if it cannot run on two or three examples.
    """
    _positional_calls(module)
    _without_writing(module)
    _without_dropout_calls(module)
    _one_module_per_activation(module)
    _layers_of_calls(module)
    _tied_layers(module)
    _recurrences(module)
    _values_as_modules(module)
    _clean(module)
    _sizes_as_modules(module, example_input)
    _clean(module)


def _clean(module: fx.GraphModule) -> None:
    module.graph.eliminate_dead_code(lambda node: node.is_impure() or _writes(node))
    module.recompile()


def _writes(node: fx.Node) -> bool:
    """True if a call changes a tensor that others may read."""
    if node.op == "call_method":
        return str(node.target).endswith("_")
    return node.op == "call_function" and (node.target is operator.setitem or node.target in _WRITING)


def _positional_calls(module: fx.GraphModule) -> None:
    """``layer(input=x)`` becomes ``layer(x)``."""
    for node in module.graph.nodes:
        if node.op == "call_module" and not node.args and len(node.kwargs) == 1:
            node.args, node.kwargs = tuple(node.kwargs.values()), {}


def _without_writing(module: fx.GraphModule) -> None:
    """``y.add_(x)`` and ``y += x`` become ``y.add(x)`` and ``y + x``, and later readers read the result."""
    for node in list(module.graph.nodes):
        if not _writes(node) or not isinstance(node.args[0], fx.Node):
            continue
        plain = str(node.target).removesuffix("_") if node.op == "call_method" else _WRITING.get(node.target)
        if node.op == "call_method" and not hasattr(Tensor, plain) or plain is None:
            continue
        order = {other: i for i, other in enumerate(module.graph.nodes)}
        node.args[0].replace_all_uses_with(node, delete_user_cb=lambda u, o=order, n=node: o[u] > o[n])
        node.target = plain


def _without_dropout_calls(module: fx.GraphModule) -> None:
    """A functional dropout is on unless told otherwise, even in eval mode: answers would be random."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in _DROPOUTS:
            _hand_over(node, node.args[0] if node.args else node.kwargs["input"])


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
        elif node.op in ("call_function", "call_method") and node.target in ACTIVATIONS:
            build, names = ACTIVATIONS[node.target]
            given = dict(zip(names, node.args[1:], strict=False))
            given.update({k: v for k, v in node.kwargs.items() if k in names})
            source = node.args[0] if node.args else node.kwargs["input"]
            _replace(module, node, build(**given).eval(), source)


def _is_in_place(module: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    if node.target not in ACTIVATIONS:
        return False
    name = node.target if isinstance(node.target, str) else node.target.__name__
    return name.endswith("_") or bool(node.kwargs.get("inplace", False))


def _hand_on(module: fx.GraphModule, node: fx.Node) -> None:
    """Let all that reads an overwritten value later read the activation's result, as it did."""
    order = {other: i for i, other in enumerate(module.graph.nodes)}
    source = node.all_input_nodes[0]
    source.replace_all_uses_with(node, delete_user_cb=lambda user: order[user] > order[node])


def _layers_of_calls(module: fx.GraphModule) -> None:
    """``F.linear(x, self.w)`` becomes a layer, if nothing else reads its weights."""
    called = {n.target for n in module.graph.nodes if n.op == "call_module"}
    reads: dict[str, int] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            reads[node.target] = reads.get(node.target, 0) + len(node.users)

    def own(value: Any) -> Any:
        """The tensor of a weight that only this call reads; `value` itself if it is none."""
        if not isinstance(value, fx.Node):
            return value
        if value.op != "get_attr" or reads[value.target] > 1 or value.target.rpartition(".")[0] in called:
            raise LookupError
        return _attribute(module, value.target)

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
        owner, _, last = weights[0].target.rpartition(".") if weights else ("", "", "")
        _replace(module, node, layer.eval(), source, name=owner if owner and last == "weight" else node.name)


def _tied_layers(module: fx.GraphModule) -> None:
    """A linear layer that holds another layer's weight becomes a call that reads it there."""
    owners: dict[int, str] = {}
    for node in list(module.graph.nodes):
        if node.op != "call_module":
            continue
        called = module.get_submodule(node.target)
        weight = getattr(called, "weight", None)
        if not isinstance(weight, nn.Parameter):
            continue
        owner = owners.setdefault(id(weight), node.target)
        if owner == node.target or not isinstance(called, nn.Linear):
            continue
        with module.graph.inserting_before(node):
            read = [module.graph.get_attr(f"{owner}.weight")]
            if called.bias is not None:
                read.append(module.graph.get_attr(f"{node.target}.bias"))
            _hand_over(node, module.graph.call_function(F.linear, (node.args[0], *read)))


def _recurrences(module: fx.GraphModule) -> None:
    """A GRU, LSTM or RNN becomes one :class:`Recurrent` for each layer and direction."""
    targets = dict.fromkeys(n.target for n in module.graph.nodes if n.op == "call_module")
    for target in targets:
        rnn = module.get_submodule(str(target))
        calls = [n for n in module.graph.nodes if n.op == "call_module" and n.target == target]
        if not isinstance(rnn, nn.RNNBase) or not all(_can_unroll(node, rnn) for node in calls):
            continue
        names = _in_parts(module, str(target), rnn)
        for node in calls:
            _unroll(module, node, rnn, names)


def _in_parts(module: fx.GraphModule, target: str, rnn: nn.RNNBase) -> list[str]:
    """Put the parts of a recurrence in its place; their names, layer by layer, forward before reverse."""
    owner, _, last = target.rpartition(".")
    if rnn.num_layers == 1 and not rnn.bidirectional:
        setattr(module.get_submodule(owner), last, _recurrent(rnn, 0, ""))
        return [target]
    setattr(module.get_submodule(owner), last, nn.Module())
    directions = ("", "_reverse") if rnn.bidirectional else ("",)
    return [
        _add(module, f"{target}.l{layer}{direction}", _recurrent(rnn, layer, direction))
        for layer in range(rnn.num_layers)
        for direction in directions
    ]


def _can_unroll(node: fx.Node, rnn: nn.RNNBase) -> bool:
    """True if it starts from zero and nothing but outputs and last hidden states is read."""
    if rnn.proj_size or len(node.args) != 1 or node.kwargs or rnn.mode not in _RECURRENT:
        return False
    for user in node.users:
        if user.target is not operator.getitem or user.args[1] not in (0, 1):
            return False
        if user.args[1] == 1 and isinstance(rnn, nn.LSTM):
            picks = [u.args[1] for u in user.users if u.target is operator.getitem]
            if len(picks) != len(user.users) or any(pick != 0 for pick in picks):
                return False
    return True


def _unroll(module: fx.GraphModule, node: fx.Node, rnn: nn.RNNBase, names: list[str]) -> None:
    graph, time = module.graph, 1 if rnn.batch_first else 0
    directions = 2 if rnn.bidirectional else 1
    current, last_states = node.args[0], []
    with graph.inserting_before(node):
        for layer in range(rnn.num_layers):
            outputs = []
            for direction in range(directions):
                outputs.append(graph.call_module(names[layer * directions + direction], (current,)))
                last_states.append(
                    graph.call_method("select", (outputs[-1], time, -1 if direction == 0 else 0))
                )
            current = outputs[0] if len(outputs) == 1 else graph.call_function(torch.cat, (outputs, 2))
        states = graph.call_function(torch.stack, (last_states, 0))
    for user in list(node.users):
        if user.args[1] == 0:
            _hand_over(user, current)
        else:
            for reader in list(user.users) if isinstance(rnn, nn.LSTM) else [user]:
                _hand_over_states(reader, states, last_states)
    module.graph.eliminate_dead_code()


def _hand_over(node: fx.Node, to: fx.Node) -> None:
    node.replace_all_uses_with(to)
    node.graph.erase_node(node)


def _hand_over_states(node: fx.Node, states: fx.Node, parts: list[fx.Node]) -> None:
    """Last states that are picked one by one are not stacked: stacked, all would have to shrink alike."""
    for reader in list(node.users):
        index = reader.args[1] if reader.target is operator.getitem else None
        if isinstance(index, int):
            _hand_over(reader, parts[index])
    _hand_over(node, states)


def _recurrent(rnn: nn.RNNBase, layer: int, direction: str) -> Recurrent:
    def named(kind: str) -> Tensor | None:
        value = getattr(rnn, f"{kind}_l{layer}{direction}", None)
        return None if value is None else value.detach().clone()

    weight_ih, weight_hh = named("weight_ih"), named("weight_hh")
    assert weight_ih is not None and weight_hh is not None
    return Recurrent(
        _RECURRENT[rnn.mode],  # type: ignore[arg-type]
        weight_ih,
        weight_hh,
        named("bias_ih"),
        named("bias_hh"),
        batch_first=rnn.batch_first,
        reverse=bool(direction),
    ).eval()


def _values_as_modules(module: fx.GraphModule) -> None:
    """A parameter or buffer that no called module owns becomes a module, so that it can be cut."""
    called = {n.target for n in module.graph.nodes if n.op == "call_module"}
    made: dict[str, str] = {}
    for node in list(module.graph.nodes):
        if node.op != "get_attr" or node.target.rpartition(".")[0] in called:
            continue
        value = _attribute(module, node.target)
        if not isinstance(value, Tensor):
            continue
        if node.target not in made:
            owner, _, last = node.target.rpartition(".")
            delattr(module.get_submodule(owner), last)
            made[node.target] = _add(module, node.target, Values(value))
        with module.graph.inserting_before(node):
            node.replace_all_uses_with(module.graph.call_module(made[node.target]))
        module.graph.erase_node(node)


def _sizes_as_modules(module: fx.GraphModule, example_input: Tensor) -> None:
    """Reshapes, splits, ranges and paddings become modules wherever their sizes are fixed."""
    two, three = (_Record(module).of(torch.cat([example_input] * n)) for n in (2, 3))
    _fixed_numbers(module, two, three)
    for node in list(module.graph.nodes):
        if node.op == "call_module" and isinstance(module.get_submodule(node.target), nn.Unflatten):
            _reshape(module, node, two, three)
        elif node.op not in ("call_function", "call_method"):
            continue
        elif node.target in _RESHAPES:
            _reshape(module, node, two, three)
        elif node.target in _SPLITS:
            _split(module, node, two, three)
        elif node.target is operator.getitem:
            _take(module, node, two, three)
        elif node.target in ("narrow", torch.narrow):
            _narrow(module, node, two, three)
        elif node.target is F.pad:
            _pad(module, node, two, three)
        elif node.target in ("expand",):
            _expand(node, two)


def _fixed_numbers(module: fx.GraphModule, two: _Seen, three: _Seen) -> None:
    """``x.shape[1]`` becomes the number it is: it must stay what it was when channels go."""
    for node in list(module.graph.nodes):
        value = two[node]
        numbers = value if isinstance(value, torch.Size) else (value,)
        if node.op in ("placeholder", "output") or not all(isinstance(n, (int, float)) for n in numbers):
            continue
        if value == three[node] and node.users:
            fixed = tuple(value) if isinstance(value, torch.Size) else value
            for user in list(node.users):
                _put(user, node, fixed)


def _put(user: fx.Node, node: fx.Node, value: Any) -> None:
    """Let `user` read a number instead of a node."""

    def swap(argument: Any) -> Any:
        if argument is node:
            return value
        if isinstance(argument, slice):
            return slice(swap(argument.start), swap(argument.stop), swap(argument.step))
        if isinstance(argument, (tuple, list)):
            return type(argument)(swap(part) for part in argument)
        return {k: swap(v) for k, v in argument.items()} if isinstance(argument, dict) else argument

    user.args, user.kwargs = swap(tuple(user.args)), swap(dict(user.kwargs))


class _Record(fx.Interpreter):
    """Runs the graph and keeps shapes of tensors and everything else as it is."""

    @torch.no_grad()
    def of(self, inputs: Tensor) -> dict[fx.Node, Any]:
        self.seen: dict[fx.Node, Any] = {}
        self.run(inputs)
        return self.seen

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.seen[n] = _shapes(value)
        return value


def _shapes(value: Any) -> Any:
    """Shapes of tensors as tuples; sizes stay a torch.Size, which tells the two apart."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return [_shapes(v) for v in value]
    return value


def _reshape(module: fx.GraphModule, node: fx.Node, two: _Seen, three: _Seen) -> None:
    sizes = _free(two[node], three[node])
    if sizes is not None:
        _swap(module, node, Reshape(sizes), node.all_input_nodes[0], two, three)


def _free(two: Any, three: Any) -> tuple[int, ...] | None:
    """The sizes of a result with -1 where they follow the number of examples; None if several do."""
    if not isinstance(two, tuple) or len(two) != len(three) or 0 in two:
        return None
    sizes = tuple(-1 if a != b else a for a, b in zip(two, three, strict=True))
    return sizes if sizes.count(-1) <= 1 else None


def _split(module: fx.GraphModule, node: fx.Node, two: _Seen, three: _Seen) -> None:
    source = node.args[0] if node.args else node.kwargs.get("input", node.kwargs.get("tensor"))
    given = node.kwargs.get("dim", node.args[2] if len(node.args) > 2 else 0)
    if not isinstance(source, fx.Node) or not isinstance(given, int):
        return
    dim = given % len(two[source])
    pieces = tuple(shape[dim] for shape in two[node])
    if pieces == tuple(shape[dim] for shape in three[node]):
        _swap(module, node, Split(pieces, dim), source, two, three)


def _take(module: fx.GraphModule, node: fx.Node, two: _Seen, three: _Seen) -> None:
    """``x[:, 4:8]``: the ranges become modules, the rest of the index stays."""
    source, index = node.args
    if not isinstance(source, fx.Node) or not isinstance(two[source], tuple):
        return
    index = index if isinstance(index, tuple) else (index,)
    now, later = (fx.node.map_arg(index, lambda n, seen=seen: seen[n]) for seen in (two, three))
    if any(part is not None and not isinstance(part, (int, slice, type(...))) for part in now):
        return
    shape, left = two[source], []
    consuming = sum(part is not None and part is not ... for part in now)
    dim, value = 0, source
    for part, other in zip(now, later, strict=True):
        if part is ...:
            skipped = len(shape) - consuming
            left += [slice(None)] * skipped
            dim += skipped
            continue
        if part is None:
            left.append(None)
            continue
        if isinstance(part, slice) and _is_range_of_channels(part, other, dim, shape, three[source]):
            positions = tuple(range(shape[dim])[part])
            with module.graph.inserting_before(node):
                name = _add(module, node.name, Take(positions, dim))
                value = module.graph.call_module(name, (value,))
            left.append(slice(None))
        else:
            left.append(index[len(left)] if ... not in now else part)
        dim += 1
    if value is source:
        return
    if all(part == slice(None) for part in left):
        two[value], three[value] = two[node], three[node]
        _hand_over(node, value)
    else:
        node.args = (value, tuple(left))


def _is_range_of_channels(
    part: slice, other: Any, dim: int, shape: Sequence[int], later: Sequence[int]
) -> bool:
    """True for a real range along a fixed dimension; steps along rows and columns of images stay."""
    if part != other or shape[dim] != later[dim]:
        return False
    positions = range(shape[dim])[part]
    whole = positions == range(shape[dim])
    strided_image = len(shape) > 3 and dim > 1 and positions.step != 1
    return not whole and len(positions) > 0 and not strided_image


def _narrow(module: fx.GraphModule, node: fx.Node, two: _Seen, three: _Seen) -> None:
    source, *arguments = node.args
    if not isinstance(source, fx.Node) or node.kwargs or not all(isinstance(a, int) for a in arguments):
        return
    dim, start, length = arguments[0] % len(two[source]), arguments[1], arguments[2]
    if two[source][dim] == three[source][dim]:
        start %= two[source][dim]
        _swap(module, node, Take(tuple(range(start, start + length)), dim), source, two, three)


def _pad(module: fx.GraphModule, node: fx.Node, two: _Seen, three: _Seen) -> None:
    """Padding of channels becomes a module; that of rows and columns of images stays."""
    source, amounts = node.args[0], node.args[1] if len(node.args) > 1 else node.kwargs.get("pad")
    mode = node.args[2] if len(node.args) > 2 else node.kwargs.get("mode", "constant")
    value = node.args[3] if len(node.args) > 3 else node.kwargs.get("value")
    if not isinstance(source, fx.Node) or mode != "constant" or not isinstance(amounts, (list, tuple)):
        return
    if not all(isinstance(amount, int) and amount >= 0 for amount in amounts):
        return
    rank, kept, current = len(two[source]), list(amounts), source
    for k in range(len(amounts) // 2):
        dim = rank - 1 - k
        before, after = amounts[2 * k], amounts[2 * k + 1]
        if (dim > 1 and rank > 3) or not (before or after):
            continue
        with module.graph.inserting_before(node):
            pad = Pad(before, after, before + two[source][dim] + after, dim, float(value or 0.0))
            name = _add(module, node.name, pad)
            current = module.graph.call_module(name, (current,))
        kept[2 * k] = kept[2 * k + 1] = 0
    if current is source:
        return
    if any(kept):
        node.args, node.kwargs = (current, kept, mode, value), {}
    else:
        two[current], three[current] = two[node], three[node]
        _hand_over(node, current)


def _expand(node: fx.Node, two: _Seen) -> None:
    """Sizes that stay are -1, so that they follow when channels go."""
    source, *sizes = node.args
    sizes = list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    if not isinstance(source, fx.Node) or node.kwargs or len(sizes) != len(two[source]):
        return
    pairs = zip(sizes, two[source], two[node], strict=True)
    node.args = (source, *(-1 if before == after else size for size, before, after in pairs))


def _replace(
    module: fx.GraphModule, node: fx.Node, child: nn.Module, source: Any, *, name: str | None = None
) -> fx.Node:
    """Let a module of its own compute what `node` computed from `source`; returns its call."""
    target = _add(module, name or node.name, child)
    with module.graph.inserting_after(node):
        replacement = module.graph.call_module(target, (source,))
    _hand_over(node, replacement)
    return replacement


def _swap(
    module: fx.GraphModule, node: fx.Node, child: nn.Module, source: Any, two: _Seen, three: _Seen
) -> None:
    """As :func:`_replace`; the shapes that were seen stay known."""
    shapes = two[node], three[node]
    replacement = _replace(module, node, child, source)
    two[replacement], three[replacement] = shapes


def _attribute(module: fx.GraphModule, target: str) -> Any:
    owner, _, last = target.rpartition(".")
    return getattr(module.get_submodule(owner), last)


def _add(module: fx.GraphModule, name: str, child: nn.Module) -> str:
    """Add `child` under `name`, numbered if taken; returns the name used."""
    taken = {key for key, _ in module.named_modules()}
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    module.add_submodule(unique, child)
    return unique
