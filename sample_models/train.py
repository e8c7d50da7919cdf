"""Train a sample network: ``python -m sample_models.train NAME [--validate]``.

Writes NAME.safetensors and the model card NAME.json. With ``--validate`` the validation examples are
held out, nothing is written, and the figure printed is theirs: hyperparameters are chosen that way,
never on the test set.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from analysis.datasets import Split
from analysis.errors import DataError
from analysis.tasks import Task, predictions
from sample_models import architectures, datasets
from sample_models.catalog import BY_NAME, WEIGHTS_FOLDER, Recipe, SampleSpec

LICENCES = {
    "digits": "CC BY 4.0 (UCI Optical Recognition of Handwritten Digits)",
    "fashion": "MIT (Zalando Research)",
    "auto-mpg": "CC BY 4.0 (UCI Auto MPG)",
}


@dataclass(frozen=True)
class Figure:
    """A quality measured once, with what it was measured on."""

    metric: str
    value: float
    examples: int
    origin: str


def train(spec: SampleSpec, task: Task, fit: Split, *, report: bool = True) -> nn.Module:
    """The trained network of `spec`, in eval mode; the same seed gives the same weights."""
    recipe = spec.recipe
    torch.manual_seed(recipe.seed)
    model = architectures.build(spec.config)
    shift, scale = _target_standardisation(task, fit)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    steps = -(-len(fit) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, epochs=recipe.epochs, steps_per_epoch=steps
    )
    start = time.monotonic()
    for epoch in range(recipe.epochs):
        model.train()
        total = 0.0
        for batch in torch.randperm(len(fit)).split(recipe.batch_size):
            inputs, targets = fit.inputs[batch], fit.targets[batch]
            if recipe.augment:
                inputs = _augment(inputs)
            outputs = model(inputs)
            loss = _data_loss(task, outputs, targets, shift, scale)
            total += float(loss.detach()) * len(batch)
            loss = loss + _penalty(model, recipe)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if report:
            seconds = time.monotonic() - start
            print(
                f"epoch {epoch + 1}/{recipe.epochs}  loss {total / len(fit):.4f}  {seconds:.0f} s",
                file=sys.stderr,
            )
    if not task.is_classification:
        _fold_standardisation(model, shift, scale)
    return model.eval()


@torch.no_grad()
def headline_figure(model: nn.Module, task: Task, split: Split) -> Figure:
    """Accuracy or R² of `model` on `split`."""
    outputs = torch.cat([model(part) for part in split.inputs.split(256)])
    answers = predictions(task, outputs)
    if task.is_classification:
        value = float((answers == split.targets).double().mean())
    else:
        residual = ((split.targets - answers) ** 2).sum()
        value = float(1 - residual / ((split.targets - split.targets.mean()) ** 2).sum())
    return Figure(task.headline.key, value, len(split), split.origin)


def model_card(spec: SampleSpec, task: Task, fit: Split, figure: Figure) -> dict[str, object]:
    """What the network is and how it came to be, as plain JSON data."""
    return {
        "name": spec.name,
        "summary": spec.summary,
        "task": task.name,
        "architecture": {"kind": type(spec.config).__name__.removesuffix("Config"), **asdict(spec.config)},
        "dataset": spec.dataset,
        "licence": LICENCES[spec.dataset],
        "trained_on": fit.origin,
        "recipe": asdict(spec.recipe),
        "command": f"python -m sample_models.train {spec.name}",
        "torch": torch.__version__,
        "test": asdict(figure),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sample_models.train", description=__doc__)
    parser.add_argument("name", choices=sorted(BY_NAME))
    parser.add_argument("--validate", action="store_true", help="hold the validation examples out")
    parser.add_argument(
        "--data", type=Path, default=datasets.FASHION_SYSTEM_FOLDER, help="folder of the full Fashion-MNIST"
    )
    parser.add_argument("--output", type=Path, default=WEIGHTS_FOLDER)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    spec = BY_NAME[options.name]
    task = datasets.DATASETS[spec.dataset]().task
    try:
        parts = _training_data(spec, options.data)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.validate:
        fit = parts.fit
        if spec.dataset == "fashion":
            fit = Split(fit.inputs[:-6000], fit.targets[:-6000], "the first 54,000 training images")
        figure = headline_figure(train(spec, task, fit), task, parts.validation)
        print(f"{spec.name}: validation {figure.metric} {figure.value:.4f} on {figure.examples} examples")
        return 0
    model = train(spec, task, parts.fit)
    figure = headline_figure(model, task, parts.test)
    options.output.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), options.output / f"{spec.name}.safetensors")
    card = model_card(spec, task, parts.fit, figure)
    (options.output / f"{spec.name}.json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"{spec.name}: test {figure.metric} {figure.value:.4f} on {figure.examples} examples")
    return 0


def _training_data(spec: SampleSpec, folder: Path) -> datasets.TrainingData:
    if spec.dataset == "fashion":
        return datasets.fashion_training(folder)
    return {"digits": datasets.digits_training, "auto-mpg": datasets.auto_mpg_training}[spec.dataset]()


def _target_standardisation(task: Task, fit: Split) -> tuple[float, float]:
    if task.is_classification:
        return 0.0, 1.0
    return float(fit.targets.mean()), float(fit.targets.std())


def _data_loss(task: Task, outputs: Tensor, targets: Tensor, shift: float, scale: float) -> Tensor:
    return task.losses(outputs, targets if task.is_classification else (targets - shift) / scale).mean()


def _penalty(model: nn.Module, recipe: Recipe) -> Tensor:
    weights = [m.weight for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    penalty = torch.zeros(())
    if recipe.l1:
        penalty = penalty + recipe.l1 * torch.stack([w.abs().sum() for w in weights]).sum()
    if recipe.l2:
        penalty = penalty + recipe.l2 * torch.stack([w.square().sum() for w in weights]).sum()
    return penalty


def _augment(images: Tensor) -> Tensor:
    """Mirror half of the images and shift the batch by up to two pixels, filling with its darkest value."""
    flipped = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)
    height, width = images.shape[2:]
    padded = nn.functional.pad(flipped, (2, 2, 2, 2), value=float(images.min()))
    top, left = (int(v) for v in torch.randint(0, 5, (2,)))
    return padded[:, :, top : top + height, left : left + width]


@torch.no_grad()
def _fold_standardisation(model: nn.Module, shift: float, scale: float) -> None:
    """Make the head answer in the target's own unit."""
    head = model.get_submodule("head")
    assert isinstance(head, nn.Linear) and head.bias is not None
    head.weight.mul_(scale)
    head.bias.mul_(scale).add_(shift)


if __name__ == "__main__":
    raise SystemExit(main())
