"""Attribution: which inputs an answer rests on. Captum does the work; each method is a file in `methods`.

References: Captum (Kokhlikyan et al. 2020); the papers of the methods are named in their files.
"""

from __future__ import annotations

import copy
import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import AttributionError
from analysis.explain.methods import METHODS
from analysis.explain.methods.base import Found, Method, Request
from analysis.explain.methods.deep_lift import RULES
from analysis.explain.tokens import empty_token, token_embedding
from analysis.importance.signals import signal_node
from analysis.modules import Recurrent
from analysis.network import Network, first_line

warnings.filterwarnings("ignore", module=r"captum\..*")  # it announces hooks that it removes again
Progress = Callable[[float], None]

TOGETHER = 64  # evaluations at once: the fastest on a CPU core
_MEMORY = 2**29  # bytes of activations that they may take
_COPIES = 3  # of a layer's output: itself, after BatchNorm, after activation
_PAUSE_SECONDS = 0.1  # between two reports of progress inside a batch
_MAPS = (nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each input adds to the answers of a network.

    Parameters
    ----------
    values : Tensor
        The inputs' shape (N, ...).
    delta : Tensor or None
        For methods whose values should add up: how far each example's miss, (N,). Above 0 if they are too
        large: ``sum(values) - (answer(input) - answer(empty input))``. Of layer conductance the sum is taken
        at the layer, of DeepLiftShap the answer to the empty input is the mean over its noisy ones.
    """

    values: Tensor
    delta: Tensor | None = None


def spatial_layers(network: Network) -> tuple[str, ...]:
    """Convolutions whose output is a map over an image: what layer methods can look at."""
    if network.example_input.dim() != 4:
        return ()
    return tuple(
        layer.name
        for layer in network.layers
        if len(layer.output_shape) == 3 and isinstance(network.module.get_submodule(layer.name), _MAPS)
    )


def pixel_maps(method: str, values: Tensor) -> Tensor:
    """The attributions (N, channels, h, w) of images as one value a pixel, (N, h, w).

    What a pixel's channels add is summed; a method that finds one map for all channels is shown as it is.
    """
    return values[:, 0] if METHODS[method].is_map else values.sum(dim=1)


def refusal(method: str, network: Network) -> str:
    """Why `method` cannot explain `network`, as a sentence; empty if it can."""
    entry = METHODS[method]
    if entry.needs_layer and not spatial_layers(network):
        return f"{entry.label} needs a convolution over an image, and {network.name} has none."
    if not network.example_input.is_floating_point():
        return _token_refusal(entry, network)
    others = _without_rule(network) if entry.needs_rules else ()
    if others:
        return f"{entry.label} has no rule for {', '.join(others)}, which {network.name} uses."
    if entry.needs_relu and not any(isinstance(m, nn.ReLU) for m in network.module.modules()):
        return f"{entry.label} changes how ReLU passes gradients back, and {network.name} has no ReLU."
    return ""


def attribute(
    network: Network,
    method: str,
    inputs: Tensor,
    targets: Tensor | None,
    *,
    baseline: float | Tensor = 0.0,
    layer: str | None = None,
    seed: int = 0,
    parameters: Mapping[str, float] | None = None,
    progress: Progress = lambda share: None,
) -> Attribution:
    """Attribute the answers of `network` to its inputs.

    Parameters
    ----------
    inputs : Tensor
        (N, ...), or tokens (N, T); neither they nor the network are modified.
    targets : Tensor or None
        Class to explain, (N,); None for a network whose single output is a value. If a single output
        tells two classes apart, it speaks for class 1 and, turned around, for class 0.
    baseline : float or Tensor
        The value that means "nothing" in the inputs; a tensor must broadcast over one example, as
        (channels, 1, 1) over an image. Of tokens, the padding token of their embedding comes first.
    layer : str, optional
        For methods that look at a layer: the convolution; default the last.
    seed : int
        Of random methods. With one seed, an example gets the same noise from every network.
    parameters : mapping, optional
        Numbers of the method's own; the others keep their defaults.
    progress : callable
        Told the share done after each batch, and in between several times a second. What it raises
        ends the computation and comes through as it is.

    Raises
    ------
    AttributionError
        If the method or a parameter is unknown, does not suit the network or the inputs, or finds no finite
        answer.
    """
    if method not in METHODS:
        raise AttributionError(f"There is no method {method!r}. Known: {', '.join(METHODS)}.")
    entry = METHODS[method]
    values = entry.complete(parameters)
    outputs = _check(entry, network, inputs, targets)
    heard = _heard(entry, network, layer) if entry.needs_layer else ""
    module = copy.deepcopy(network.module)  # Captum hooks modules, and the network is shared
    empty = _empty(network, inputs, baseline)
    together = _together(network)
    batch = 1 if entry.is_random else min(entry.batch, together)
    watch = _Watch(len(inputs), entry.cost(values, tuple(inputs.shape[1:])).forwards, progress)
    entry.prepare(module)
    module.register_forward_hook(watch.answered)
    parts = []
    with torch.enable_grad():
        for start in range(0, len(inputs), batch):
            rows = slice(start, start + batch)
            given = inputs[rows].detach().clone()
            request = Request(
                module=module,
                inputs=given.requires_grad_(True) if given.is_floating_point() else given,
                target=None if targets is None or outputs == 1 else targets[rows],
                baseline=empty.expand_as(given),
                layer=heard,
                seed=seed,
                values=values,
                together=together,
            )
            parts.append(_computed(entry, request, network, watch))
            watch.finished(len(given))
    opposite = targets == 0 if targets is not None and outputs == 1 and entry.is_signed else None
    return _joined(parts, opposite)


class _Watch:
    """Reports progress: after each batch, and from the answers of the network in between."""

    def __init__(self, examples: int, forwards: float, progress: Progress) -> None:
        self.raised: Exception | None = None
        self._examples, self._forwards, self._progress = examples, forwards, progress
        self._done, self._answers, self._reported = 0, 0, time.monotonic()

    def answered(self, _module: nn.Module, _inputs: Any, outputs: Tensor) -> None:
        """Called after each forward pass: the share of the batch that the answers so far make up."""
        self._answers += len(outputs) if outputs.dim() else 1
        if time.monotonic() - self._reported >= _PAUSE_SECONDS:
            self._report(min(self._done + self._answers / self._forwards, self._examples))

    def finished(self, count: int) -> None:
        """Called after each batch."""
        self._done, self._answers = self._done + count, 0
        self._report(self._done)

    def _report(self, done: float) -> None:
        try:
            self._progress(done / self._examples)
        except Exception as error:
            self.raised = error  # whatever Captum makes of it on the way up
            raise
        self._reported = time.monotonic()


def _check(entry: Method, network: Network, inputs: Tensor, targets: Tensor | None) -> int:
    """Refuse what cannot be explained; returns how many outputs the network has."""
    reason = refusal(entry.name, network)
    if reason:
        raise AttributionError(reason + " Choose another method.")
    if len(inputs) == 0:
        raise AttributionError("There is no example to explain. Choose at least one.")
    if inputs.is_floating_point() != network.example_input.is_floating_point():
        kinds = ("tokens", "numbers") if inputs.is_floating_point() else ("numbers", "tokens")
        raise AttributionError(f"{network.name} reads {kinds[0]}, and the inputs are {kinds[1]}.")
    with torch.no_grad():
        outputs = network.module(network.example_input).numel()
    if targets is None and outputs > 1:
        raise AttributionError(
            f"{network.name} answers with {outputs:,} values an example: say which of them to explain."
        )
    return outputs


def _heard(entry: Method, network: Network, layer: str | None) -> str:
    """The module where a layer's channels are heard: its activation, if one follows."""
    layer = layer or spatial_layers(network)[-1]
    if layer not in spatial_layers(network):
        raise AttributionError(
            f"{entry.label} cannot look at {layer}. Choose one of {', '.join(spatial_layers(network))}."
        )
    node = signal_node(network, layer)
    return str(node.target) if node.op == "call_module" else layer


def _empty(network: Network, inputs: Tensor, baseline: float | Tensor) -> Tensor:
    """The empty input, of the shape of one example."""
    if not inputs.is_floating_point():
        first = float(torch.as_tensor(baseline).flatten()[0])
        return torch.full(inputs.shape[1:], empty_token(network.module, first), dtype=inputs.dtype)
    empty = torch.as_tensor(baseline, dtype=inputs.dtype)
    try:
        return empty.expand(inputs.shape[1:])
    except RuntimeError as error:
        raise AttributionError(
            f"The empty input has shape {tuple(empty.shape)}, which does not fit inputs of shape "
            f"{tuple(inputs.shape[1:])}. Give a number for each channel."
        ) from error


def _together(network: Network) -> int:
    """How many examples' activations fit into memory, at most `TOGETHER`."""
    each = 4 * _COPIES * sum(math.prod(layer.output_shape) for layer in network.layers)
    return max(1, min(TOGETHER, _MEMORY // each))


def _computed(entry: Method, request: Request, network: Network, watch: _Watch) -> Found:
    """One batch, with what Captum and torch refuse in words."""
    try:
        found = entry.compute(request)
    except Exception as error:
        if watch.raised is not None:
            raise watch.raised from None
        raise AttributionError(
            f"{entry.label} cannot explain {network.name} ({first_line(error)}). Choose another method."
        ) from error
    values = found.values.detach()
    if not torch.isfinite(values).all():
        raise AttributionError(
            f"{entry.label} finds NaN or infinity in {network.name}: its gradient does not exist at some of "
            "these inputs. Choose another method."
        )
    return Found(values, None if found.delta is None else found.delta.detach())


def _joined(parts: list[Found], opposite: Tensor | None) -> Attribution:
    """All batches; the examples where `opposite` is True are turned around."""
    values = torch.cat([part.values for part in parts])
    deltas = [part.delta for part in parts if part.delta is not None]
    delta = torch.cat(deltas) if deltas else None
    if opposite is not None:
        values[opposite] *= -1
        if delta is not None:
            delta[opposite] *= -1
    return Attribution(values, delta)


def _without_rule(network: Network) -> tuple[str, ...]:
    """The activations without a sound rule: there Captum's DeepLift would be the gradient, without a word."""
    return tuple(
        sorted(
            {
                type(module).__name__
                for module in network.module.modules()
                if (type(module).__module__ == "torch.nn.modules.activation" or isinstance(module, Recurrent))
                and type(module) not in RULES
            }
        )
    )


def _token_refusal(entry: Method, network: Network) -> str:
    if not entry.reads_tokens:
        able = [m.label for m in METHODS.values() if m.reads_tokens]
        return f"{entry.label} {entry.no_tokens} ({', '.join(able[:-1])} and {able[-1]} can)."
    if entry.kind == "gradient" and token_embedding(network.module) is None:
        return f"{entry.label} needs one embedding that reads the tokens, and {network.name} has none or several."
    return ""
