"""Criteria written straight from their papers, slowly: loops over examples, channels and positions.

Nothing here uses the code under test: every function takes the original nn.Module and works on a copy.
Where a layer is heard, and which module reads it, is said by the test, not looked up.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor, nn


def loss(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of (classes,) logits, or squared error of a (1,) output."""
    if target.is_floating_point():
        return (output[0] - target) ** 2
    return output.exp().sum().log() - output[target]


def gradients(module: nn.Module, layer: str, inputs: Tensor, targets: Tensor) -> list[Tensor]:
    """The gradient of each example's loss with respect to the layer's weight."""
    result = []
    for x, y in zip(inputs, targets, strict=True):
        twin = copy.deepcopy(module).double().eval()
        loss(twin(x[None].double())[0], y).backward()
        result.append(twin.get_submodule(layer).weight.grad)
    return result


def taylor(module: nn.Module, layer: str, inputs: Tensor, targets: Tensor) -> Tensor:
    """|w g|, g the gradient of the mean loss over all examples at once."""
    twin = copy.deepcopy(module).double().eval()
    total = torch.zeros((), dtype=torch.float64)
    for x, y in zip(inputs, targets, strict=True):
        total = total + loss(twin(x[None].double())[0], y)
    (total / len(inputs)).backward()
    weight = twin.get_submodule(layer).weight
    return (weight.detach() * weight.grad).abs()


def fisher(module: nn.Module, layer: str, inputs: Tensor, targets: Tensor) -> Tensor:
    """w² times the mean of the squared gradients of single examples."""
    per_example = gradients(module, layer, inputs, targets)
    mean = torch.zeros_like(per_example[0])
    for gradient in per_example:
        mean += gradient * gradient / len(per_example)
    return module.get_submodule(layer).weight.detach().double() ** 2 * mean


def heard_values(module: nn.Module, heard: str, inputs: Tensor) -> list[list[float]]:
    """For each channel all values that module `heard` gives, over examples and positions."""
    twin = copy.deepcopy(module).eval()
    outputs: list[Tensor] = []
    twin.get_submodule(heard).register_forward_hook(lambda _m, _i, output: outputs.append(output[0]))
    with torch.no_grad():
        for x in inputs:
            twin(x[None])
    channels = range(outputs[0].shape[0])
    return [[v for output in outputs for v in output[c].flatten().tolist()] for c in channels]


def mean_activation(module: nn.Module, heard: str, inputs: Tensor) -> list[float]:
    """Mean of |a|."""
    values = heard_values(module, heard, inputs)
    return [math.fsum(abs(a) for a in channel) / len(channel) for channel in values]


def activation_variance(module: nn.Module, heard: str, inputs: Tensor) -> list[float]:
    """Mean squared distance from the channel's mean."""
    result = []
    for channel in heard_values(module, heard, inputs):
        mean = math.fsum(channel) / len(channel)
        result.append(math.fsum((a - mean) ** 2 for a in channel) / len(channel))
    return result


def nonzero_share(module: nn.Module, heard: str, inputs: Tensor) -> list[float]:
    """1 - APoZ."""
    result = []
    for channel in heard_values(module, heard, inputs):
        zeros = sum(1 for a in channel if a == 0)
        result.append(1 - zeros / len(channel))
    return result


def input_norms(module: nn.Module, layer: str, inputs: Tensor) -> list[float]:
    """The Euclidean norm of each input channel (or last-dimension feature) of a layer."""
    twin = copy.deepcopy(module).eval()
    read: list[Tensor] = []
    child = twin.get_submodule(layer)
    child.register_forward_pre_hook(lambda _m, args: read.append(args[0][0]))
    with torch.no_grad():
        for x in inputs:
            twin(x[None])
    squares: dict[int, float] = {}
    for value in read:
        if isinstance(child, nn.Linear):
            value = value.reshape(-1, child.in_features).T
        for channel in range(value.shape[0]):
            squares[channel] = squares.get(channel, 0.0) + sum(
                a * a for a in value[channel].flatten().tolist()
            )
    return [math.sqrt(squares[c]) for c in sorted(squares)]


def wanda(module: nn.Module, layer: str, inputs: Tensor) -> Tensor:
    """|w| times the norm of the input channel that the weight reads."""
    norms = input_norms(module, layer, inputs)
    child = module.get_submodule(layer)
    weight = child.weight.detach().double()
    groups = getattr(child, "groups", 1)
    result = torch.zeros_like(weight)
    transposed = isinstance(child, nn.ConvTranspose1d | nn.ConvTranspose2d)
    for a in range(weight.shape[0]):
        for b in range(weight.shape[1]):
            # a weight is (in, out / groups, ...), or (out, in / groups, ...) with output a in block
            # a // (out / groups)
            block = 0 if transposed else a // (weight.shape[0] // groups)
            source = a if transposed else block * weight.shape[1] + b
            result[a, b] = weight[a, b].abs() * norms[source]
    return result


def conductance(
    module: nn.Module, heard: str, inputs: Tensor, targets: Tensor | None, steps: int
) -> list[float]:
    """Mean over examples of |sum over positions and steps of dF/dh times the change of h|.

    The integration points are those of Captum's LayerConductance: steps + 1 Gauss-Legendre abscissae
    of (0, 1), on the straight path from zero to the input; the change is that to the next point.
    """
    points = [(1 + p) / 2 for p in np.polynomial.legendre.leggauss(steps + 1)[0].tolist()]
    twin = copy.deepcopy(module).eval()
    hidden: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        hidden.append(output)

    twin.get_submodule(heard).register_forward_hook(keep)
    totals: list[float] = []
    for i, x in enumerate(inputs):
        values, slopes = [], []
        for point in points:
            hidden.clear()
            output = twin(point * x[None])[0]
            (output[0] if targets is None else output[targets[i]]).backward()
            values.append(hidden[0].detach()[0].double())
            slopes.append(hidden[0].grad[0].double())
        flow = torch.zeros_like(values[0])
        for k in range(steps):
            flow += slopes[k] * (values[k + 1] - values[k])
        for channel in range(len(flow)):
            if channel == len(totals):
                totals.append(0.0)
            totals[channel] += abs(float(flow[channel].sum())) / len(inputs)
    return totals
