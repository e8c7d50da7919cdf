"""Architectures by name, for files that hold weights alone: of the libraries the user has, none required."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from analysis.errors import NetworkError
from analysis.loading.matching import fit_heads, misfit
from analysis.network import first_line

MAX_PARAMETERS = 200_000_000  # 0.8 GB as float32
TOKENS = 128  # length of the example that a network for text is shown

# Networks of torchvision that come with another scaling of the input if their weights are published ones.
_SCALED = ("googlenet", "inception_v3")
_SCALED_NOTE = "As trained from scratch; the published ImageNet weights expect inputs scaled to -1...1."

# Classes of `transformers` whose default configuration is a published network.
_VISION = ("ViT", "DeiT", "Swin", "ConvNext", "ResNet", "MobileNetV2")
_TEXT = ("Bert", "DistilBert", "Roberta", "Electra")


@dataclass(frozen=True)
class Architecture:
    """A network without its weights.

    Attributes
    ----------
    key, label : str
        What settings and pages call it; the key is unique among all libraries.
    library : str
        Where it comes from.
    build : function
        Makes the module, with random weights, under the names that its weights files carry. It downloads
        nothing.
    input_shape : tuple of int
        Of one example, without the batch.
    note : str
        What a page should add, or nothing.
    vocabulary : int
        If positive, an example is whole numbers below it, tokens; otherwise it is real numbers.
    finish : function, optional
        From the module with its weights to the one that takes and gives a single tensor.
    """

    key: str
    label: str
    library: str
    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    note: str = ""
    vocabulary: int = 0
    finish: Callable[[nn.Module], nn.Module] | None = None

    def example_input(self) -> Tensor:
        """A seeded batch of one, shape (1, *input_shape)."""
        generator = torch.Generator().manual_seed(0)
        shape = (1, *self.input_shape)
        if self.vocabulary:
            return torch.randint(0, self.vocabulary, shape, generator=generator)
        return torch.randn(shape, generator=generator)


@dataclass(frozen=True)
class Library:
    """What an installed library offers; without architectures, `reason` says why."""

    name: str
    architectures: tuple[Architecture, ...] = ()
    reason: str = ""


class Logits(nn.Module):
    """The first answer of a network of `transformers`, which gives several in one object."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Scores, shape (N, classes)."""
        return self.network(x, return_dict=False)[0]


def libraries() -> tuple[Library, ...]:
    """torchvision, timm and transformers, imported here for the first time; keep the answer.

    A library that is missing, or does not work with this PyTorch, is said with its reason and otherwise
    left alone.
    """
    return tuple(_survey(name, offer) for name, offer in _OFFERS.items())


def available() -> tuple[Architecture, ...]:
    """All architectures of :func:`libraries`."""
    return tuple(one for library in libraries() for one in library.architectures)


def load_into(architecture: Architecture, weights: Mapping[str, Tensor], *, name: str) -> nn.Module:
    """The architecture with these weights, in eval mode.

    Its head gets as many classes as the weights have. Every other name and shape must fit; only a
    BatchNorm's count of batches may be missing, which evaluation does not use.

    Parameters
    ----------
    architecture : Architecture
        What to build.
    weights : mapping of str to Tensor
        As of :func:`analysis.loading.weights_file.read_weights`.
    name : str
        What messages call the file.

    Raises
    ------
    NetworkError
        If the library cannot build it, it is too large, or the weights are of another network.
    """
    module = _build(architecture)
    fit_heads(module, weights)
    problem = misfit(module, weights)
    if problem:
        raise NetworkError(f"{name} does not fit {architecture.label}: {problem}")
    try:
        module.load_state_dict(dict(weights), strict=True)
        module = architecture.finish(module) if architecture.finish else module
    except Exception as error:  # a module may check or convert more than names and shapes
        raise NetworkError(f"{architecture.label} does not take {name}: {first_line(error)}") from error
    return module.eval()


def _build(architecture: Architecture) -> nn.Module:
    """The module with random weights, given up as soon as it grows too large."""
    thread = threading.get_ident()
    parameters = 0

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal parameters
        if parameter is None or threading.get_ident() != thread:  # the hook hears of every thread
            return
        parameters += parameter.numel()
        if parameters > MAX_PARAMETERS:
            raise NetworkError(
                f"{architecture.label} has more than {MAX_PARAMETERS:,} parameters. Choose a smaller one."
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.random.fork_rng(devices=[]):  # weights drawn only to be replaced
            return architecture.build()
    except NetworkError:
        raise
    except Exception as error:
        raise NetworkError(
            f"{architecture.library} cannot build {architecture.label}: {first_line(error)}"
        ) from error
    finally:
        hook.remove()


def _survey(name: str, offer: Callable[[Any], tuple[Architecture, ...]]) -> Library:
    """One library's architectures, or why there are none."""
    try:
        return Library(name, offer(importlib.import_module(name)))
    except ModuleNotFoundError as error:
        if error.name == name:
            return Library(name, reason=f"{name} is not installed.")
        return Library(name, reason=_broken(name, error))
    except (ImportError, RuntimeError, AttributeError, OSError) as error:  # operators of another PyTorch
        return Library(name, reason=_broken(name, error))


def _broken(name: str, error: Exception) -> str:
    return f"{name} is installed, but does not work with PyTorch {torch.__version__}: {first_line(error)}"


def _torchvision(_library: Any) -> tuple[Architecture, ...]:
    """The classification networks of torchvision."""
    models = importlib.import_module("torchvision.models")
    found = []
    for name in models.list_models(module=models):
        published = getattr(models.get_model_weights(name), "DEFAULT", None)
        transforms = getattr(published, "transforms", None)
        side = getattr(transforms, "keywords", {}).get("crop_size", 224)
        scaled = name in _SCALED
        options = {"init_weights": False} if scaled else {}  # theirs takes seconds
        build = partial(models.get_model, name, weights=None, **options)
        found.append(_image("torchvision", name, build, (3, side, side), _SCALED_NOTE if scaled else ""))
    return tuple(found)


def _timm(library: Any) -> tuple[Architecture, ...]:
    """All networks of timm, each with the input of its published weights."""
    found = []
    for name in library.list_models():
        published = library.get_pretrained_cfg(name, allow_unregistered=True)
        shape = tuple(published.input_size) if published else (3, 224, 224)
        found.append(_image("timm", name, partial(library.create_model, name, pretrained=False), shape))
    return tuple(found)


def _transformers(library: Any) -> tuple[Architecture, ...]:
    """Some classifiers of transformers, each by its default configuration."""
    return tuple(
        one
        for family, task in (
            *((name, "ForImageClassification") for name in _VISION),
            *((name, "ForSequenceClassification") for name in _TEXT),
        )
        if (one := _configured(library, family, family + task))
    )


def _configured(library: Any, family: str, kind: str) -> Architecture | None:
    """One class of transformers; None where this version lacks it."""
    network, make_config = getattr(library, kind, None), getattr(library, f"{family}Config", None)
    if network is None or make_config is None:
        return None
    config = make_config()
    text = kind.endswith("ForSequenceClassification")
    side = getattr(config, "image_size", 224)
    return Architecture(
        key=f"transformers/{kind}",
        label=kind,
        library="transformers",
        build=lambda: network(make_config()),
        input_shape=(TOKENS,) if text else (config.num_channels, side, side),
        note=f"The default configuration of {family}; other widths and depths come as .pt2."
        + (" It reads token numbers." if text else ""),
        vocabulary=config.vocab_size if text else 0,
        finish=Logits,
    )


def _image(
    library: str, name: str, build: Callable[[], nn.Module], input_shape: tuple[int, ...], note: str = ""
) -> Architecture:
    return Architecture(f"{library}/{name}", f"{name} ({library})", library, build, input_shape, note)


_OFFERS: dict[str, Callable[[Any], tuple[Architecture, ...]]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": _transformers,
}
