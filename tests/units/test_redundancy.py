"""The unit that skips blocks: its parts, what is known, and the way through plain data."""

import json

from analysis.inside.redundancy import Skip, skips
from analysis.pruning.plan import Plan
from analysis.units import Case, find_unit
from analysis.units.redundancy import from_data, run, to_data
from tests.inside.nets import Residual
from tests.networks import dataset, load, randomise


def test_parts_are_the_skipped_blocks():
    network, data = load(randomise(Residual()), (3,)), dataset((3,), 3, 40)
    given, said = Case(network, data, data.evaluation, Plan(network.name, "l1")), []
    parts = list(run(given, {}, [], said.append))
    expected = list(skips(network, data.evaluation, data.task))
    assert [from_data(json.loads(json.dumps(part))) for part in parts] == expected
    assert len(parts) == 2 and said[-1] == 1
    assert list(run(given, {}, parts[:1], said.append)) == parts[1:]


def test_a_block_that_could_not_be_measured_survives_as_plain_data():
    network, data = load(randomise(Residual()), (3,)), dataset((3,), 3, 10)
    block = next(skips(network, data.evaluation, data.task)).block
    given = Skip(block, None, None, None, "it answers NaN")
    assert from_data(json.loads(json.dumps(to_data(given)))) == given


def test_it_is_found_by_its_kind():
    assert find_unit("redundancy") is run
