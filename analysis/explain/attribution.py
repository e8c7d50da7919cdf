"""Attribution: which inputs an answer rests on. Captum does the work; each method is one entry.

References: Captum (Kokhlikyan et al. 2020); the papers of the methods are named in their entries.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from captum import attr
from torch import Tensor, fx, nn

from analysis.errors import AttributionError
from analysis.explain.tokens import token_embedding, token_integrated_gradients, token_saliency
from analysis.importance.signals import is_activation, signal_node
from analysis.network import Network, first_line

warnings.filterwarnings("ignore", module=r"captum\..*")  # it announces hooks that it removes again
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Request:
    """One batch to explain: `module` is a private copy, `target` None for a single output.

    `baseline` has the shape of `inputs`.
    """

    module: fx.GraphModule
    inputs: Tensor
    target: Tensor | None
    baseline: Tensor
    layer: str
    seed: int


@dataclass(frozen=True)
class Method:
    """An attribution method: `compute` gives one value per input value, shape (N, ...).

    `batch` examples are explained at a time, so that progress moves and memory stays small. A method that
    `is_signed` speaks for and against an answer: turned around, it explains the opposite answer.
    """

    name: str
    label: str
    sentence: str
    compute: Callable[[Request], Tensor]
    batch: int = 64
    needs_layer: bool = False
    needs_relu: bool = False
    reads_tokens: bool = False
    is_signed: bool = True


def _saliency(request: Request) -> Tensor:
    if not request.inputs.is_floating_point():
        return token_saliency(request.module, request.inputs, request.target)
    return attr.Saliency(request.module).attribute(request.inputs, target=request.target)


def _input_x_gradient(request: Request) -> Tensor:
    return attr.InputXGradient(request.module).attribute(request.inputs, target=request.target)


def _integrated_gradients(request: Request) -> Tensor:
    if not request.inputs.is_floating_point():
        empty = int(request.baseline.flatten()[0])
        return token_integrated_gradients(request.module, request.inputs, request.target, empty)
    return attr.IntegratedGradients(request.module).attribute(
        request.inputs, request.baseline, target=request.target, n_steps=32, internal_batch_size=256
    )


def _gradient_shap(request: Request) -> Tensor:
    state = np.random.get_state()  # Captum draws from NumPy's generator, too
    with torch.random.fork_rng():
        torch.manual_seed(request.seed)
        np.random.seed(request.seed)
        try:
            return attr.GradientShap(request.module).attribute(
                request.inputs, request.baseline[:1], target=request.target, n_samples=16, stdevs=0.1
            )
        finally:
            np.random.set_state(state)


def _deep_lift(request: Request) -> Tensor:
    """Captum hooks what leaves one module and what enters the next; where both are the same tensor it
    reads a gradient before its neighbour has replaced it. A clone between modules keeps them apart.
    """
    graph = request.module.graph
    for node in [n for n in graph.nodes if n.op == "call_module"]:
        with graph.inserting_after(node):
            clone = graph.call_method("clone", (node,))
        node.replace_all_uses_with(clone, delete_user_cb=lambda user, clone=clone: user is not clone)
    request.module.recompile()
    return attr.DeepLift(request.module).attribute(request.inputs, request.baseline, target=request.target)


def _guided_backprop(request: Request) -> Tensor:
    return attr.GuidedBackprop(request.module).attribute(request.inputs, target=request.target)


def _occlusion(request: Request) -> Tensor:
    shape = request.inputs.shape[1:]
    window, stride = [1] * len(shape), [1] * len(shape)
    if len(shape) == 3:  # an image: a patch of about a seventh of its side, through all channels
        side = max(1, min(shape[1:]) // 7)
        window = [shape[0], side, side]
        stride = [shape[0], max(1, side // 2), max(1, side // 2)]
    return attr.Occlusion(request.module).attribute(
        request.inputs,
        tuple(window),
        strides=tuple(stride),
        baselines=request.baseline,
        target=request.target,
        perturbations_per_eval=8,
    )


def _grad_cam(request: Request) -> Tensor:
    heard = request.module.get_submodule(request.layer)
    maps = attr.LayerGradCam(request.module, heard).attribute(
        request.inputs, target=request.target, relu_attributions=False
    )
    size = request.inputs.shape[2:]
    spread = F.interpolate(maps.detach(), size=size, mode="bilinear", align_corners=False)
    return spread.expand_as(request.inputs)


_ALL = (
    Method(
        "saliency", "Saliency",
        "How strongly the answer reacts to each input: the size of its gradient (Simonyan et al. 2014).",
        _saliency, reads_tokens=True, is_signed=False,
    ),
    Method(
        "input-x-gradient", "Input × gradient",
        "The gradient times the input: what each input adds, to first order (Shrikumar et al. 2016).",
        _input_x_gradient,
    ),
    Method(
        "integrated-gradients", "Integrated gradients",
        "Gradients gathered on the way from an empty input; they add up to the answer "
        "(Sundararajan et al. 2017).",
        _integrated_gradients, batch=16, reads_tokens=True,
    ),
    Method(
        "gradient-shap", "GradientShap",
        "Shapley values approximated by gradients at noisy inputs (Lundberg & Lee 2017).",
        _gradient_shap, batch=16,
    ),
    Method(
        "deep-lift", "DeepLift",
        "The answer's difference from an empty input, shared out by rules (Shrikumar et al. 2017).",
        _deep_lift,
    ),
    Method(
        "guided-backprop", "Guided backprop",
        "The gradient with negative signals dropped at each ReLU (Springenberg et al. 2015).",
        _guided_backprop, needs_relu=True,
    ),
    Method(
        "occlusion", "Occlusion",
        "How much the answer drops when a patch is blanked out (Zeiler & Fergus 2014).",
        _occlusion, batch=16,
    ),
    Method(
        "grad-cam", "GradCAM",
        "Where a convolution's channels speak for the answer, coarsely (Selvaraju et al. 2017).",
        _grad_cam, needs_layer=True,
    ),
)  # fmt: skip

# The activations that Captum has rules for; on all others it falls back to the gradient without a word.
_DEEP_LIFT_RULES = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softmax)
_MAPS = (nn.Conv2d, nn.ConvTranspose2d)
METHODS = {method.name: method for method in _ALL}


def spatial_layers(network: Network) -> tuple[str, ...]:
    """Convolutions whose output is a map over an image: what GradCAM can look at."""
    if network.example_input.dim() != 4:
        return ()
    return tuple(
        layer.name
        for layer in network.layers
        if len(layer.output_shape) == 3 and isinstance(network.module.get_submodule(layer.name), _MAPS)
    )


def refusal(method: str, network: Network) -> str:
    """Why `method` cannot explain `network`, as a sentence; empty if it can."""
    entry = METHODS[method]
    if not network.example_input.is_floating_point():
        return _token_refusal(entry, network)
    if entry.needs_layer and not spatial_layers(network):
        return f"{entry.label} needs a convolution over an image, and {network.name} has none."
    if method == "deep-lift":
        others = {
            type(m).__name__
            for m in network.module.modules()
            if is_activation(m) and not isinstance(m, _DEEP_LIFT_RULES)
        }
        if others:
            return f"{entry.label} has no rule for {', '.join(sorted(others))}, which {network.name} uses."
    if entry.needs_relu and not any(isinstance(m, nn.ReLU) for m in network.module.modules()):
        return f"{entry.label} changes how ReLU passes gradients back, and {network.name} has no ReLU."
    return ""


def _token_refusal(entry: Method, network: Network) -> str:
    if not entry.reads_tokens:
        able = " and ".join(m.label for m in _ALL if m.reads_tokens)
        return f"{entry.label} follows gradients to the inputs, and tokens have none ({able} can)."
    if token_embedding(network.module) is None:
        return f"{entry.label} needs one embedding that reads the tokens, and {network.name} has none or several."
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
    progress: Progress = lambda share: None,
) -> Tensor:
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
        (channels, 1, 1) over an image.
    layer : str, optional
        For GradCAM: the convolution to look at; default its last.

    Returns
    -------
    Tensor
        Same shape as `inputs`.

    Raises
    ------
    AttributionError
        If the method is unknown, does not suit the network or the inputs, or finds no finite answer.
    """
    if method not in METHODS:
        raise AttributionError(f"There is no method {method!r}. Known: {', '.join(METHODS)}.")
    reason = refusal(method, network)
    if reason:
        raise AttributionError(reason + " Choose another method.")
    if inputs.is_floating_point() != network.example_input.is_floating_point():
        kinds = ("tokens", "numbers") if inputs.is_floating_point() else ("numbers", "tokens")
        raise AttributionError(f"{network.name} reads {kinds[0]}, and the inputs are {kinds[1]}.")
    with torch.no_grad():
        outputs = network.module(network.example_input).numel()
    if targets is None and outputs > 1:
        raise AttributionError(
            f"{network.name} answers with {outputs:,} values an example: say which of them to explain."
        )
    entry = METHODS[method]
    heard = ""
    if entry.needs_layer:
        layer = layer or spatial_layers(network)[-1]
        if layer not in spatial_layers(network):
            raise AttributionError(
                f"{entry.label} cannot look at {layer}. Choose one of {', '.join(spatial_layers(network))}."
            )
        node = signal_node(network, layer)
        heard = str(node.target) if node.op == "call_module" else layer
    empty = torch.as_tensor(baseline, dtype=inputs.dtype)
    try:
        empty = empty.expand(inputs.shape[1:])
    except RuntimeError as error:
        raise AttributionError(
            f"The empty input has shape {tuple(empty.shape)}, which does not fit inputs of shape "
            f"{tuple(inputs.shape[1:])}. Give a number for each channel."
        ) from error
    module = copy.deepcopy(network.module)  # Captum hooks modules, and the network is shared
    opposite = targets == 0 if targets is not None and outputs == 1 and entry.is_signed else None
    parts = []
    with torch.enable_grad():
        for start in range(0, len(inputs), entry.batch):
            rows = slice(start, start + entry.batch)
            given = inputs[rows].detach().clone()
            request = Request(
                module=module,
                inputs=given.requires_grad_(True) if given.is_floating_point() else given,
                target=None if targets is None or outputs == 1 else targets[rows],
                baseline=empty.expand_as(given),
                layer=heard,
                seed=seed + start,
            )
            parts.append(_computed(entry, request, network))
            progress(min(1.0, (start + entry.batch) / len(inputs)))
    values = torch.cat(parts)
    if opposite is not None:
        values[opposite] *= -1
    return values


def _computed(entry: Method, request: Request, network: Network) -> Tensor:
    """One batch, with what Captum and torch refuse in words."""
    try:
        values = entry.compute(request).detach()
    except Exception as error:
        raise AttributionError(
            f"{entry.label} cannot explain {network.name} ({first_line(error)}). Choose another method."
        ) from error
    if not torch.isfinite(values).all():
        raise AttributionError(
            f"{entry.label} finds NaN or infinity in {network.name}: its gradient does not exist at some of "
            "these inputs. Choose another method."
        )
    return values
