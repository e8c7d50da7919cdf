"""The unit for faithfulness: plain data there and back, what the method's maps mean, known measures."""

import json

import pytest
import torch
from torch import nn

from analysis.datasets import Dataset, Split
from analysis.explain.explainer import explainer
from analysis.explain.faithfulness import faithfulness
from analysis.pruning.plan import make_plan
from analysis.tasks import CLASSIFICATION
from analysis.tracing import trace
from analysis.units import Case, find_unit
from analysis.units.faithfulness import from_data, parameters, to_data
from tests.networks import ConvNet, dataset, load, randomise


@pytest.fixture(scope="module")
def case() -> Case:
    network, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 40)
    plan = make_plan(network, "l1", "channel", {network.groups[0].name: 0.5})
    return Case(network, data, data.evaluation, plan)


def _found(case: Case, wanted, known=(), say=lambda share: None) -> list[dict]:
    return [
        json.loads(json.dumps(part)) for part in find_unit("faithfulness")(case, wanted, list(known), say)
    ]


@pytest.mark.parametrize(
    ("method", "signed", "local"),
    [("saliency", False, True), ("input-x-gradient", True, False), ("grad-cam", True, True)],
)
def test_findings_are_those_of_the_method(case, method, signed, local):
    layer = "conv1" if method == "grad-cam" else None
    shares: list[float] = []
    found = _found(case, parameters(method, layer, 15), say=shares.append)
    expected = list(
        faithfulness(
            case.network, case.pruned, case.dataset.task, case.split.sample(15),
            explainer(method, case.dataset.baseline, layer=layer),
            empty=case.dataset.baseline, signed=signed, local=local,
        )
    )  # fmt: skip
    assert [from_data(part) for part in found] == expected
    assert shares == sorted(shares) and shares[-1] == 1
    for finding in expected:
        assert from_data(json.loads(json.dumps(to_data(finding)))) == finding


def test_known_measures_are_not_judged_again(case):
    whole = _found(case, parameters("saliency", None, 15))
    assert _found(case, parameters("saliency", None, 15), whole[:3]) == whole[3:]


def test_tokens_are_judged_but_not_nudged():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 3))
    network = trace(module, torch.zeros(1, 5, dtype=torch.long), "words")
    inputs = torch.randint(1, 9, (20, 5), generator=torch.Generator().manual_seed(1))
    split = Split(inputs, torch.arange(20) % 3, "noise")
    data = Dataset("words", CLASSIFICATION, split, split)
    case = Case(network, data, split, make_plan(network, "l1", "weight", {"2": 0.5}))
    found = [from_data(part) for part in _found(case, parameters("saliency", None, 20))]
    assert [finding.note != "" for finding in found] == [False, False, False, True]
