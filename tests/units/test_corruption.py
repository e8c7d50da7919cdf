"""The unit that measures robustness: its parts, what is known, and the way through plain data."""

import json

from analysis.forgetting.robustness import robustness
from analysis.pruning.plan import uniform_plan
from analysis.units import Case, find_unit
from analysis.units.corruption import from_data, run, to_data
from tests.networks import Mlp, dataset, load, randomise


def test_parts_are_the_measured_points():
    network, data = load(randomise(Mlp()), (5,)), dataset((5,), 3, 40)
    given = Case(network, data, data.evaluation, uniform_plan(network, "l1", "channel", 0.5))
    said = []
    parts = list(run(given, {"seed": 2}, [], said.append))
    expected = list(robustness(network, given.pruned, data, data.evaluation, seed=2))
    assert [from_data(json.loads(json.dumps(part))) for part in parts] == expected
    assert [to_data(point) for point in expected] == parts
    assert said[-1] == 1
    assert list(run(given, {"seed": 2}, parts[:4], said.append)) == parts[4:]


def test_it_is_found_by_its_kind():
    assert find_unit("corruption") is run
