"""A GRU, LSTM or RNN as one module for each of its layers and directions."""

from __future__ import annotations

import operator

import torch
from torch import Tensor, fx, nn

from analysis.canonical.edits import add, hand_over
from analysis.canonical.writing import clean
from analysis.modules import Recurrent, RecurrentKind

_KINDS: dict[str, RecurrentKind] = {
    "GRU": "gru",
    "LSTM": "lstm",
    "RNN_TANH": "rnn_tanh",
    "RNN_RELU": "rnn_relu",
}


def recurrences(module: fx.GraphModule) -> None:
    """A GRU, LSTM or RNN becomes one :class:`Recurrent` for each layer and direction.

    One that starts from given states, or whose cell states are read, stays what it is.
    """
    targets = dict.fromkeys(str(n.target) for n in module.graph.nodes if n.op == "call_module")
    for target in targets:
        rnn = module.get_submodule(target)
        calls = [n for n in module.graph.nodes if n.op == "call_module" and n.target == target]
        if not isinstance(rnn, nn.RNNBase) or not all(_can_unroll(node, rnn) for node in calls):
            continue
        names = _in_parts(module, target, rnn)
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
        add(module, f"{target}.l{layer}{direction}", _recurrent(rnn, layer, direction))
        for layer in range(rnn.num_layers)
        for direction in directions
    ]


def _can_unroll(node: fx.Node, rnn: nn.RNNBase) -> bool:
    """True if it starts from zero and nothing but outputs and last hidden states is read."""
    if rnn.proj_size or len(node.args) != 1 or node.kwargs or rnn.mode not in _KINDS:
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
    """Call the parts, and let readers of outputs and of last states read theirs."""
    graph, time = module.graph, 1 if rnn.batch_first else 0
    directions = 2 if rnn.bidirectional else 1
    current, last_states = node.all_input_nodes[0], []
    with graph.inserting_before(node):
        for layer in range(rnn.num_layers):
            outputs = []
            for direction in range(directions):
                outputs.append(graph.call_module(names[layer * directions + direction], (current,)))
                last = -1 if direction == 0 else 0
                last_states.append(graph.call_method("select", (outputs[-1], time, last)))
            current = outputs[0] if len(outputs) == 1 else graph.call_function(torch.cat, (outputs, 2))
        states = graph.call_function(torch.stack, (last_states, 0))
    for user in list(node.users):
        if user.args[1] == 0:
            hand_over(user, current)
        else:
            for reader in list(user.users) if isinstance(rnn, nn.LSTM) else [user]:
                _hand_over_states(reader, states, last_states)
    clean(module)


def _hand_over_states(node: fx.Node, states: fx.Node, parts: list[fx.Node]) -> None:
    """Last states that are picked one by one are not stacked: stacked, all would have to shrink alike."""
    for reader in list(node.users):
        index = _picked(reader)
        if index is not None:
            hand_over(reader, parts[index])
    hand_over(node, states)


def _picked(reader: fx.Node) -> int | None:
    """Which entry of its first dimension is read: ``h[-1]`` or ``h.select(0, -1)``; None if it is not one."""
    index = None
    if reader.target is operator.getitem:
        index = reader.args[1]
    elif reader.target in (torch.select, "select") and reader.args[1:2] == (0,) and len(reader.args) == 3:
        index = reader.args[2]
    return index if isinstance(index, int) else None


def _recurrent(rnn: nn.RNNBase, layer: int, direction: str) -> Recurrent:
    def named(kind: str) -> Tensor | None:
        value = getattr(rnn, f"{kind}_l{layer}{direction}", None)
        return None if value is None else value.detach().clone()

    weight_ih, weight_hh = named("weight_ih"), named("weight_hh")
    assert weight_ih is not None and weight_hh is not None
    return Recurrent(
        _KINDS[rnn.mode],
        weight_ih,
        weight_hh,
        named("bias_ih"),
        named("bias_hh"),
        batch_first=rnn.batch_first,
        reverse=bool(direction),
    ).eval()
