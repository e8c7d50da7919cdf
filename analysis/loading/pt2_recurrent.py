"""GRU, LSTM and RNN calls with flat lists of weights, rebuilt as the modules they came from."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from analysis.loading.pt2_build import State, zeros_in
from analysis.loading.pt2_step import Result, Step

Handler = Callable[[Step], Result]

MAX_RECURRENT_LAYERS = 64


def _recurrent(kind: type[nn.RNNBase], **fixed: Any) -> Handler:
    def emit(step: Step) -> Result:
        states = _weights(step, kind)
        sizes = _sizes(step, kind, states)
        settings = {**sizes, **fixed, "num_layers": step["num_layers"], "bias": step["has_biases"],
                    "batch_first": step["batch_first"], "bidirectional": step["bidirectional"]}  # fmt: skip
        inputs = (step["input"], *_first_state(step, kind))

        def otherwise() -> fx.Node:
            raise step.refuse(
                "shares a weight with another layer. Give each recurrent layer weights of its own."
            )

        node = step.layer(kind, settings, dict(states), *inputs, otherwise=otherwise)
        pick = step.builder.graph.call_function
        output, last = pick(operator.getitem, (node, 0)), pick(operator.getitem, (node, 1))
        if kind is not nn.LSTM:
            return output, last
        return output, pick(operator.getitem, (last, 0)), pick(operator.getitem, (last, 1))

    return emit


def _weights(step: Step, kind: type[nn.RNNBase]) -> dict[str, State]:
    """The list of weights by the attribute of the module that holds each."""
    directions = ("", "_reverse") if step["bidirectional"] else ("",)
    layers = step["num_layers"]
    if not isinstance(layers, int) or not 1 <= layers <= MAX_RECURRENT_LAYERS:
        raise step.refuse(f"has a number of layers outside 1 to {MAX_RECURRENT_LAYERS}. Use fewer layers.")
    values = step["params"]
    of_each = ["weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if step["has_biases"] else ())]
    count = layers * len(directions)
    if kind is nn.LSTM and len(values) == count * (len(of_each) + 1):
        of_each.append("weight_hr")  # the projection
    names = [f"{name}_l{i}{direction}" for i in range(layers) for direction in directions for name in of_each]
    states = [step.builder.state(value) for value in values]
    if len(states) != len(names) or any(state is None for state in states):
        raise step.refuse(
            "does not get its weights as plain parameters. Use nn.GRU, nn.LSTM or nn.RNN as they are."
        )
    return {name: state for name, state in zip(names, states, strict=True) if state is not None}


def _sizes(step: Step, kind: type[nn.RNNBase], states: dict[str, State]) -> dict[str, int]:
    """The constructor's sizes, read off the first layer's weights."""
    inner, outer = states["weight_ih_l0"].tensor, states["weight_hh_l0"].tensor
    assert inner is not None and outer is not None
    gates = {nn.GRU: 3, nn.LSTM: 4, nn.RNN: 1}[kind]
    if inner.dim() != 2 or outer.dim() != 2 or inner.shape[0] % gates:
        raise step.refuse("has weights of an unusual shape. Use nn.GRU, nn.LSTM or nn.RNN as they are.")
    sizes = {"input_size": inner.shape[1], "hidden_size": inner.shape[0] // gates}
    if "weight_hr_l0" in states:
        sizes["proj_size"] = outer.shape[1]
    return sizes


def _first_state(step: Step, kind: type[nn.RNNBase]) -> tuple[Any, ...]:
    """The state the layer starts from; nothing if it is zeros, as the module's own default."""
    given = step["hx"] if isinstance(step["hx"], tuple) else (step["hx"],)
    nodes = [step.builder.argument(value) for value in given]
    if len(nodes) != (2 if kind is nn.LSTM else 1):
        raise step.refuse("gets a first state of unusual form. Use nn.GRU, nn.LSTM or nn.RNN as they are.")
    if all(isinstance(node, fx.Node) and zeros_in(node) for node in nodes):
        return ()
    return (tuple(given),) if kind is nn.LSTM else tuple(given)


HANDLERS: dict[str, Handler] = {
    "gru.input": _recurrent(nn.GRU),
    "lstm.input": _recurrent(nn.LSTM),
    "rnn_tanh.input": _recurrent(nn.RNN, nonlinearity="tanh"),
    "rnn_relu.input": _recurrent(nn.RNN, nonlinearity="relu"),
}
