"""The unit for training for sparsity: plain data there and back, going on, and both curves."""

import json

import pytest
import torch

from analysis.errors import PlanError
from analysis.importance.registry import score
from analysis.measure.quality import evaluate, headline
from analysis.pruning.plan import Plan, uniform_plan
from analysis.pruning.prune import prune
from analysis.recovery.keep import FOLDER
from analysis.recovery.penalties import PENALTIES
from analysis.recovery.recipe import Recipe
from analysis.recovery.sparse_training import train_for_sparsity
from analysis.units import Case, find_unit
from analysis.units.sparse_training import RATIOS, Curve, Stage, from_data, parameters, to_data, trained
from tests.networks import ConvNet, dataset, load, randomise

RECIPE = Recipe(epochs=3, learning_rate=0.02, batch=16)
WANTED = parameters("bn-scale", 1.5, RECIPE)


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER, str(tmp_path / "recovered"))


@pytest.fixture(scope="module")
def case() -> Case:
    network, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 60)
    return Case(network, data, data.evaluation, Plan(network.name, "l1"))


def found(case, known=(), say=lambda share: None):
    wanted, known = json.loads(json.dumps(WANTED)), json.loads(json.dumps(list(known)))
    return [json.loads(json.dumps(part)) for part in find_unit("sparse-training")(case, wanted, known, say)]


def test_stages_then_both_curves(case):
    shares = []
    parts = [from_data(part) for part in found(case, say=shares.append)]
    assert shares == sorted(shares) and shares[-1] == 1
    stages, curves = parts[:4], parts[4:]
    penalty = PENALTIES["bn-scale"]
    for stage, epoch in zip(
        stages, train_for_sparsity(case.network, case.dataset, penalty, 1.5, RECIPE), strict=True
    ):
        assert (stage.number, stage.train_loss, stage.validation) == (
            epoch.number, epoch.train_loss, epoch.validation,
        )  # fmt: skip
        assert (stage.near_zero, stage.counts, stage.strength) == (
            epoch.near_zero, epoch.counts, epoch.strength,
        )  # fmt: skip
    last = trained(case.network, stages[-1].digest)
    for layer in case.network.layers:
        assert torch.equal(last.weight(layer.name), epoch.network.weight(layer.name))
    assert [curve.trained for curve in curves] == [False, True]
    for curve, network in zip(curves, (case.network, last), strict=True):
        scores = score(network, "bn-scale")
        for ratio in RATIOS:
            pruned = prune(network, uniform_plan(network, "bn-scale", "channel", ratio), scores)
            expected = headline(evaluate(pruned, case.split, case.dataset.task))
            assert curve.quality[ratio] == expected


def test_what_is_known_is_not_trained_again(case):
    whole = found(case)
    assert found(case, whole) == []
    assert [p.get("number") for p in found(case, whole[:3])] == [3, None, None]
    assert found(case, whole[:5]) == whole[5:]


def test_training_begins_anew_if_its_weights_have_gone(case, monkeypatch, tmp_path):
    whole = found(case)
    monkeypatch.setenv(FOLDER, str(tmp_path / "elsewhere"))
    again = found(case, whole[:3])
    assert [p.get("number") for p in again] == [0, 1, 2, 3, None, None]
    for one, other in zip(whole, again, strict=True):
        assert {k: v for k, v in one.items() if k != "seconds" and k != "digest"} == {
            k: v for k, v in other.items() if k != "seconds" and k != "digest"
        }


def test_parts_are_plain_data(case):
    for part in found(case):
        read = from_data(part)
        assert isinstance(read, Curve if "trained" in part else Stage)
        assert json.loads(json.dumps(to_data(read))) == part


def test_weights_that_are_not_kept_are_refused_in_words(case):
    with pytest.raises(PlanError, match="not kept here"):
        trained(case.network, "0" * 64)


def test_only_what_the_criterion_can_rank_is_cut(case):
    """A hidden linear layer has no BatchNorm: it is left alone, and the rest is cut."""
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU(), torch.nn.Linear(6, 5), torch.nn.ReLU(),
        torch.nn.Linear(5, 3),
    )  # fmt: skip
    network, data = load(randomise(module), (4,)), dataset((4,), 3, 40)
    parts = list(
        find_unit("sparse-training")(
            Case(network, data, data.evaluation, Plan(network.name, "l1")), WANTED, [], lambda share: None
        )
    )
    assert [{p["ratio"] for p in part["points"]} for part in parts if "trained" in part] == [set(RATIOS)] * 2


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_training_begins_anew_if_an_epoch_is_missing(case, missing):
    whole = found(case)
    known = [part for part in whole[:4] if part["number"] != missing]
    assert [p.get("number") for p in found(case, known)] == [0, 1, 2, 3, None, None]
