"""The unit for similarity against ratio: plain data there and back, known parts, both ways to cut."""

import json

import pytest

from analysis.explain.drift import DriftPoint, Floor, alike, drift, scaled
from analysis.explain.explainer import explainer
from analysis.importance.registry import score
from analysis.pruning.plan import Plan, make_plan
from analysis.units import Case, find_unit
from analysis.units.drift import from_data, parameters, to_data
from tests.networks import ConvNet, dataset, load, randomise


@pytest.fixture(scope="module")
def case() -> Case:
    network, data = load(randomise(ConvNet()), (2, 5, 5)), dataset((2, 5, 5), 4, 40)
    plan = make_plan(network, "taylor", "channel", {network.groups[0].name: 0.5})
    return Case(network, data, data.evaluation, plan)


def _expected(case: Case, family, scores) -> list[DriftPoint | Floor]:
    return list(
        drift(
            case.network, case.dataset.task, case.split, family, scores,
            {name: explainer(name, case.dataset.baseline) for name in ("saliency", "grad-cam")},
            calibration=case.dataset.calibration.inputs, ratios=(0.3,), examples=12,
        )
    )  # fmt: skip


def _found(case: Case, wanted, known=(), say=lambda share: None) -> list[dict]:
    wanted, known = json.loads(json.dumps(wanted)), json.loads(json.dumps(list(known)))
    return [json.loads(json.dumps(part)) for part in find_unit("drift")(case, wanted, known, say)]


def test_every_target_alike(case):
    wanted = parameters(["saliency", "grad-cam"], 12, [0.3], criterion="taylor", granularity="channel")
    found = [from_data(part) for part in _found(case, wanted)]
    scores = score(case.network, "taylor", case.dataset)
    assert found == _expected(case, alike(case.network, "taylor", "channel"), scores)


def test_the_plan_scaled(case):
    wanted = parameters(["saliency", "grad-cam"], 12, [0.3])
    found = [from_data(part) for part in _found(case, wanted)]
    assert found == _expected(case, scaled(case.plan), case.scores)


def test_known_parts_are_not_measured_again(case):
    wanted = parameters(["saliency"], 12, [0.3, 0.6])
    shares: list[float] = []
    whole = _found(case, wanted, say=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1
    assert _found(case, wanted, whole[:2]) == whole[2:]
    assert _found(case, wanted, [whole[0], whole[2]]) == [whole[1], whole[3]]


def test_parts_are_plain_data(case):
    for part in _expected(case, scaled(case.plan), case.scores):
        assert from_data(json.loads(json.dumps(to_data(part)))) == part


def test_a_dense_plan_can_only_be_cut_alike(case):
    bare = Case(case.network, case.dataset, case.split, Plan(case.network.name, "l1"))
    wanted = parameters(["saliency"], 12, [0.5], criterion="l1", granularity="weight")
    assert [part.get("ratio") for part in _found(bare, wanted)] == [0, None, 0.5]
