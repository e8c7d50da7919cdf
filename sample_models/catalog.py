"""The sample networks: what each is, how it is trained, why it is here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sample_models.architectures import CNNConfig, Config, LeNetConfig, MLPConfig, ResNetConfig

WEIGHTS_FOLDER = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of one training run (Adam with a one-cycle schedule).

    `l1` and `l2` multiply the sum of absolute and of squared weights of all layers in the loss.
    `augment` shifts images by up to two pixels and mirrors them.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 64
    l1: float = 0.0
    l2: float = 0.0
    augment: bool = False
    seed: int = 0


@dataclass(frozen=True)
class SampleSpec:
    """One sample network: its architecture, its data set's name and its recipe."""

    name: str
    summary: str
    config: Config
    dataset: str
    recipe: Recipe
    siblings: tuple[str, ...] = ()


_DIGITS_MLP = SampleSpec(
    name="digits-mlp",
    summary="Reads handwritten digits with four hidden layers, deep and wide on purpose: "
    "most of it is redundant.",
    config=MLPConfig(),
    dataset="digits",
    recipe=Recipe(epochs=40, learning_rate=2e-3),
    siblings=("digits-mlp", "digits-mlp-l1", "digits-mlp-l2"),
)

SPECS: tuple[SampleSpec, ...] = (
    SampleSpec(
        name="digits-cnn",
        summary="Reads handwritten digits with three convolutions, each followed by BatchNorm.",
        config=CNNConfig(),
        dataset="digits",
        recipe=Recipe(epochs=40, learning_rate=3e-3, l2=1e-4),
    ),
    _DIGITS_MLP,
    replace(
        _DIGITS_MLP,
        name="digits-mlp-l1",
        summary="digits-mlp trained with an L1 penalty, which drives weights to zero one by one.",
        recipe=replace(_DIGITS_MLP.recipe, l1=1e-4),
    ),
    replace(
        _DIGITS_MLP,
        name="digits-mlp-l2",
        summary="digits-mlp trained with an L2 penalty, which shrinks all weights alike.",
        recipe=replace(_DIGITS_MLP.recipe, l2=1e-3),
    ),
    SampleSpec(
        name="fashion-lenet",
        summary="Recognises clothes with the classic: two convolutions, three linear layers.",
        config=LeNetConfig(),
        dataset="fashion",
        recipe=Recipe(epochs=8, learning_rate=2e-3, batch_size=128, augment=True),
    ),
    SampleSpec(
        name="fashion-resnet",
        summary="Recognises clothes with a residual network of three stages, whose shortcuts couple layers.",
        config=ResNetConfig(),
        dataset="fashion",
        recipe=Recipe(epochs=12, learning_rate=1e-2, batch_size=128, augment=True),
    ),
    SampleSpec(
        name="auto-mpg-mlp",
        summary="Predicts a car's miles per gallon from seven features: a regression network.",
        config=MLPConfig(inputs=7, hidden=(64, 32), outputs=1),
        dataset="auto-mpg",
        recipe=Recipe(epochs=120, learning_rate=1e-2, batch_size=32, l2=1e-3),
    ),
)

BY_NAME = {spec.name: spec for spec in SPECS}
