"""Training: reproducible, honest about its splits, and careful with what it writes."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from analysis.datasets import Split
from analysis.tasks import CLASSIFICATION, REGRESSION
from sample_models import architectures, datasets, train
from sample_models.catalog import BY_NAME, SampleSpec
from tests.sample_models.test_datasets import fake_fashion

TASKS = {"digits": CLASSIFICATION, "fashion": CLASSIFICATION, "auto-mpg": REGRESSION}


def _short(name: str) -> SampleSpec:
    spec = BY_NAME[name]
    return dataclasses.replace(spec, recipe=dataclasses.replace(spec.recipe, epochs=1))


def _fit(name: str) -> Split:
    if BY_NAME[name].dataset == "fashion":
        return datasets.fashion().calibration
    parts = {"digits": datasets.digits_training, "auto-mpg": datasets.auto_mpg_training}
    return parts[BY_NAME[name].dataset]().fit


@pytest.fixture
def short_recipes(monkeypatch):
    monkeypatch.setattr(train, "BY_NAME", {name: _short(name) for name in BY_NAME})


@pytest.mark.parametrize("name", BY_NAME)
def test_training_twice_gives_the_same_bits(name):
    spec, fit = _short(name), _fit(name).sample(200)
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        module = train.train(spec, TASKS[spec.dataset], fit, report=False)
        assert not module.training
        states.append(module.state_dict())
    untrained = architectures.build(spec.config).state_dict()
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key
        assert value.numel() == 1 or not torch.equal(value, untrained[key])


def test_another_seed_gives_another_network():
    spec, fit = _short("digits-mlp"), _fit("digits-mlp")
    other = dataclasses.replace(spec, recipe=dataclasses.replace(spec.recipe, seed=1))
    first, second = (train.train(s, CLASSIFICATION, fit, report=False).head.weight for s in (spec, other))
    assert not torch.equal(first, second)


def test_one_epoch_already_learns_something():
    module = train.train(_short("digits-mlp"), CLASSIFICATION, _fit("digits-mlp"), report=False)
    figure = train.headline_figure(module, CLASSIFICATION, datasets.digits_training().validation)
    assert figure.value > 0.5 and figure.metric == "accuracy" and figure.examples == 270


def test_a_value_is_answered_in_its_own_unit():
    """Training standardises miles per gallon; the head takes that back."""
    parts = datasets.auto_mpg_training()
    module = train.train(_short("auto-mpg-mlp"), REGRESSION, parts.fit, report=False)
    answers = module(parts.validation.inputs).detach()
    assert abs(float(answers.mean()) - float(parts.fit.targets.mean())) < 8


def test_folding_the_standardisation_is_shift_plus_scale_times_answer():
    torch.manual_seed(0)
    module = architectures.build(architectures.MLPConfig(inputs=7, hidden=(5,), outputs=1))
    inputs, plain = torch.randn(6, 7), copy.deepcopy(module)
    train._fold_standardisation(module, 23.0, 7.5)
    torch.testing.assert_close(module(inputs), 23.0 + 7.5 * plain(inputs))


def test_penalties_are_sums_over_all_weights_and_no_biases():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    recipe = dataclasses.replace(BY_NAME["digits-mlp"].recipe, l1=0.5, l2=0.25)
    weights = module[0].weight.flatten().tolist() + module[3].weight.flatten().tolist()
    expected = 0.5 * sum(abs(w) for w in weights) + 0.25 * sum(w * w for w in weights)
    assert train._penalty(module, recipe).item() == pytest.approx(expected, rel=1e-5)
    assert train._penalty(module, BY_NAME["digits-mlp"].recipe).item() == 0


def test_augmentation_shifts_and_mirrors_only():
    torch.manual_seed(0)
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 3:6, 2:5] = torch.arange(1.0, 10).reshape(3, 3)
    allowed = {
        tuple(np.roll(flipped, (down, right), axis=(0, 1)).ravel())
        for flipped in (image[0, 0].numpy(), image[0, 0].numpy()[:, ::-1])
        for down in range(-2, 3)
        for right in range(-2, 3)
    }
    seen = {tuple(train._augment(image).flatten().tolist()) for _ in range(400)}
    assert seen <= allowed
    assert len(seen) > 40


def test_training_writes_weights_and_card(short_recipes, tmp_path, capsys):
    assert train.main(["digits-mlp", "--output", str(tmp_path / "new")]) == 0
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "digits-mlp.json", "digits-mlp.safetensors"
    ]  # fmt: skip
    module = architectures.build(BY_NAME["digits-mlp"].config).eval()
    module.load_state_dict(load_file(tmp_path / "new" / "digits-mlp.safetensors"))
    test = datasets.digits_training().test
    right = float((module(test.inputs).argmax(dim=1) == test.targets).double().mean())
    card = json.loads((tmp_path / "new" / "digits-mlp.json").read_text())
    assert card["test"] == {
        "metric": "accuracy", "value": right, "examples": 450, "origin": test.origin
    }  # fmt: skip
    assert card["recipe"]["epochs"] == 1
    assert capsys.readouterr().out == f"digits-mlp: test accuracy {right:.4f} on 450 examples\n"


@pytest.mark.parametrize("name", ["digits-mlp", "auto-mpg-mlp"])
def test_validation_writes_nothing_and_never_meets_the_test_data(
    short_recipes, tmp_path, capsys, monkeypatch, name
):
    met = []
    figure = train.headline_figure
    monkeypatch.setattr(
        train, "headline_figure", lambda m, t, split: met.append(split) or figure(m, t, split)
    )
    assert train.main([name, "--validate", "--output", str(tmp_path / "new")]) == 0
    assert list(tmp_path.iterdir()) == []
    assert "validation" in met[0].origin and len(met) == 1
    assert capsys.readouterr().out.startswith(f"{name}: validation ")


def test_fashion_validation_images_are_held_out_of_training(tmp_path, monkeypatch, capsys):
    """In the full training set the last 6,000 double as validation; --validate must not fit them."""
    images = np.zeros((6050, 28, 28), dtype=np.uint8)
    images.reshape(6050, -1).view(np.uint32)[:, 0] = np.arange(6050)  # each image can be told apart
    folder = fake_fashion(tmp_path / "full", images, (np.arange(6050) % 10).astype(np.uint8))
    seen = {}

    def spy(spec, task, fit):
        seen["fit"] = fit
        return architectures.build(spec.config).eval()

    figure = train.headline_figure
    monkeypatch.setattr(train, "train", spy)
    monkeypatch.setattr(
        train,
        "headline_figure",
        lambda m, t, split: seen.update(held=split) or figure(m, t, split.sample(50)),
    )
    arguments = ["fashion-lenet", "--validate", "--data", str(folder), "--output", str(tmp_path / "new")]
    assert train.main(arguments) == 0
    fit, held = ({x.numpy().tobytes() for x in seen[key].inputs} for key in ("fit", "held"))
    assert (len(fit), len(held)) == (50, 6000)
    assert not fit & held
    assert not (tmp_path / "new").exists()


def test_missing_training_data_are_refused_in_one_line(tmp_path, capsys):
    arguments = ["fashion-lenet", "--data", str(tmp_path / "nowhere"), "--output", str(tmp_path / "new")]
    assert train.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and captured.err.startswith("error: ")
    assert str(tmp_path / "nowhere") in captured.err and "--data" in captured.err
    assert not (tmp_path / "new").exists()


def test_an_unknown_name_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        train.main(["digits-rnn"])
    assert caught.value.code == 2
    assert "digits-cnn" in capsys.readouterr().err
