"""The shipped networks: each is what its card says, and as good."""

import pytest
import torch
from safetensors import safe_open
from sklearn.metrics import accuracy_score, r2_score

import sample_models
from analysis.errors import NetworkError
from sample_models.catalog import BY_NAME, SPECS, WEIGHTS_FOLDER
from sample_models.train import LICENCES

NAMES = sample_models.names()
AT_LEAST = {"digits-cnn": 0.985, "fashion-resnet": 0.915}


def _answers(name: str) -> torch.Tensor:
    sample = sample_models.load(name)
    with torch.no_grad():
        return torch.cat([sample.network.module(x) for x in sample.dataset.evaluation.inputs.split(64)])


@pytest.mark.parametrize("name", NAMES)
def test_the_cards_figure_is_what_the_shipped_weights_reach(name):
    sample = sample_models.load(name)
    outputs, targets = _answers(name).numpy(), sample.dataset.evaluation.targets.numpy()
    test = sample.card["test"]
    if sample.card["task"] == "classification":
        assert test["metric"] == "accuracy"
        assert test["value"] == pytest.approx(accuracy_score(targets, outputs.argmax(axis=1)), abs=1e-6)
    else:
        assert test["metric"] == "r2"
        assert test["value"] == pytest.approx(r2_score(targets, outputs[:, 0]), abs=1e-4)
    assert test["examples"] == len(targets)


@pytest.mark.parametrize("name", AT_LEAST)
def test_samples_are_as_good_as_promised(name):
    assert sample_models.load(name).card["test"]["value"] >= AT_LEAST[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_card_tells_data_licence_split_seed_command_and_figure(name):
    card, spec = sample_models.read_card(name), BY_NAME[name]
    data = sample_models.load(name).dataset
    assert card["name"] == name and card["summary"] == spec.summary
    assert card["dataset"] == spec.dataset
    assert card["licence"] == LICENCES[spec.dataset] and ("CC BY 4.0" in card["licence"]) == (
        spec.dataset != "fashion"
    )
    assert "training" in card["trained_on"]
    assert card["test"]["origin"] == data.evaluation.origin and "test" in card["test"]["origin"]
    assert card["command"] == f"python -m sample_models.train {name}"
    assert card["torch"].startswith("2.")
    assert card["task"] == data.task.name


@pytest.mark.parametrize("name", NAMES)
def test_the_card_tells_the_recipe_and_architecture_of_the_catalog(name):
    card, spec = sample_models.read_card(name), BY_NAME[name]
    assert card["recipe"] == vars(spec.recipe) and "seed" in card["recipe"]
    architecture = dict(card["architecture"])
    assert f"{architecture.pop('kind')}Config" == type(spec.config).__name__
    expected = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(spec.config).items()}
    assert architecture == expected


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small_and_hold_nothing_but_the_networks_tensors(name):
    file = WEIGHTS_FOLDER / f"{name}.safetensors"
    assert file.stat().st_size < 1_000_000
    state = sample_models.load(name).network.module.state_dict()
    with safe_open(file, "pt") as tensors:
        assert set(tensors.keys()) == set(state)
        assert all(torch.equal(tensors.get_tensor(key), state[key]) for key in state)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_loaded_once_with_its_groups(name):
    sample = sample_models.load(name)
    assert sample_models.load(name) is sample
    assert sample.network.name == name
    assert {member for group in sample.network.groups for member in group.members} == {
        layer.name for layer in sample.network.layers
    }
    assert any(group.is_prunable for group in sample.network.groups)
    assert not any(group.is_prunable for group in sample.network.groups if "head" in group.members)


def test_an_unknown_sample_lists_the_known_ones():
    with pytest.raises(NetworkError, match="no sample network 'mine'") as caught:
        sample_models.load("mine")
    assert all(name in str(caught.value) for name in NAMES)


def test_siblings_share_their_architecture_and_differ_in_their_penalty_alone():
    family = BY_NAME["digits-mlp"].siblings
    assert family == ("digits-mlp", "digits-mlp-l1", "digits-mlp-l2")
    recipes = [dict(vars(BY_NAME[name].recipe)) for name in family]
    penalties = [(recipe.pop("l1"), recipe.pop("l2")) for recipe in recipes]
    assert recipes[0] == recipes[1] == recipes[2]
    assert [(l1 > 0, l2 > 0) for l1, l2 in penalties] == [(False, False), (True, False), (False, True)]
    for name in family:
        assert BY_NAME[name].config == BY_NAME["digits-mlp"].config
        assert BY_NAME[name].dataset == "digits"
        assert sample_models.load(name).siblings == family


def test_penalties_leave_their_marks():
    """L1 drives weights to (nearly) zero one by one, L2 shrinks the largest ones."""
    weights = {
        name: torch.cat([sample_models.load(name).network.weight(layer.name).abs().flatten()
                         for layer in sample_models.load(name).network.layers])
        for name in BY_NAME["digits-mlp"].siblings
    }  # fmt: skip
    tiny = {name: float((values < 1e-3).float().mean()) for name, values in weights.items()}
    assert tiny["digits-mlp-l1"] > 3 * tiny["digits-mlp"]
    norms = {name: float(values.norm()) for name, values in weights.items()}
    assert norms["digits-mlp-l2"] < norms["digits-mlp"]


def test_names_follow_the_catalog():
    assert tuple(spec.name for spec in SPECS) == NAMES
    assert len(set(NAMES)) == len(NAMES)
