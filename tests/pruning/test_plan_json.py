"""Plans as JSON: a round trip changes nothing, and whatever is not a plan is refused in words."""

import json

import pytest

from analysis.errors import PlanError
from analysis.pruning.plan import SCHEMA, Cut, Plan, from_json, to_json

PLANS = [
    Plan("digits-cnn", "l1"),
    Plan("digits-cnn", "taylor", (Cut("conv1", "channel", 0.5), Cut("conv2", "channel", 1.0))),
    Plan("n", "wanda", (Cut("stage1.0.conv1", "weight", 1 / 3), Cut("head", "weight", 0.1 + 0.2))),
    Plan('Größe "quoted" \n\\ 网络', "l2", (Cut("ünï.0", "weight", 5e-324),)),
]


def document(**changes):
    content = {
        "schema": SCHEMA,
        "network": "n",
        "criterion": "l1",
        "cuts": [{"target": "a", "granularity": "weight", "ratio": 0.5}],
    }
    content.update(changes)
    return content


def cut(**changes):
    return {**document()["cuts"][0], **changes}


@pytest.mark.parametrize("plan", PLANS, ids=range(len(PLANS)))
def test_round_trip(plan):
    text = to_json(plan)
    assert from_json(text) == plan
    assert hash(from_json(text)) == hash(plan)
    assert from_json(text.encode()) == plan
    assert to_json(from_json(text)) == text


def test_the_document():
    plan = Plan("n", "l1", (Cut("b", "weight", 0.25), Cut("a", "weight", 0.5), Cut("c", "weight", 0)))
    assert json.loads(to_json(plan)) == {
        "schema": 1,
        "network": "n",
        "criterion": "l1",
        "cuts": [
            {"target": "a", "granularity": "weight", "ratio": 0.5},
            {"target": "b", "granularity": "weight", "ratio": 0.25},
        ],
    }
    assert from_json(json.dumps(document())) == Plan("n", "l1", (Cut("a", "weight", 0.5),))


@pytest.mark.parametrize(
    "text",
    ["", "{", "plan", "[1,", "{'schema': 1}", b"\xff\xfe\x00", b"\x80", "[" * 100_000, "1" * 10_000],
    ids=range(9),
)
def test_not_json(text):
    with pytest.raises(PlanError, match="is not JSON"):
        from_json(text)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"plan"', "NaN", "true", "[{}]"])
def test_not_an_object(text):
    with pytest.raises(PlanError, match="not a JSON object"):
        from_json(text)


@pytest.mark.parametrize("schema", [None, 0, 2, "1", [1], 1.5, True])
def test_another_schema(schema):
    with pytest.raises(PlanError, match="schema") as caught:
        from_json(json.dumps(document(schema=schema)))
    assert repr(schema) in str(caught.value)
    assert "1" in str(caught.value)


@pytest.mark.parametrize("field", ["schema", "network", "criterion", "cuts"])
def test_a_missing_field(field):
    content = document()
    del content[field]
    with pytest.raises(PlanError, match=field):
        from_json(json.dumps(content))


@pytest.mark.parametrize(
    "changes",
    [{"network": 3}, {"network": None}, {"criterion": ["l1"]}, {"cuts": {}}, {"cuts": "a"}, {"cuts": None}],
    ids=str,
)
def test_a_field_of_the_wrong_kind(changes):
    with pytest.raises(PlanError, match=f"no valid '{next(iter(changes))}'"):
        from_json(json.dumps(document(**changes)))


@pytest.mark.parametrize("entry", [None, 3, "a", [], ["a", "weight", 0.5]], ids=str)
def test_a_cut_that_is_no_object(entry):
    with pytest.raises(PlanError, match=r"cut .* not a JSON object"):
        from_json(json.dumps(document(cuts=[entry])))


@pytest.mark.parametrize("field", ["target", "granularity", "ratio"])
def test_a_cut_without_a_field(field):
    entry = cut()
    del entry[field]
    with pytest.raises(PlanError, match=field):
        from_json(json.dumps(document(cuts=[entry])))


@pytest.mark.parametrize("ratio", [True, False, "0.5", None, [0.5], {}], ids=str)
def test_a_ratio_that_is_no_number(ratio):
    with pytest.raises(PlanError, match="no number as ratio"):
        from_json(json.dumps(document(cuts=[cut(ratio=ratio)])))


@pytest.mark.parametrize(
    "ratio",
    ["NaN", "Infinity", "-Infinity", "1.5", "-0.1", "2", "1e400", "1" + "0" * 400, "-1" + "0" * 400],
    ids=range(9),
)
def test_a_ratio_outside_zero_to_one(ratio):
    text = json.dumps(document(cuts=[cut(ratio="HERE")])).replace('"HERE"', ratio)
    with pytest.raises(PlanError, match="between 0 and 1"):
        from_json(text)


@pytest.mark.parametrize("granularity", ["filter", "", "CHANNEL"])
def test_an_unknown_granularity(granularity):
    with pytest.raises(PlanError, match="granularity"):
        from_json(json.dumps(document(cuts=[cut(granularity=granularity)])))


def test_a_duplicate_target():
    with pytest.raises(PlanError, match="a twice"):
        from_json(json.dumps(document(cuts=[cut(), cut(ratio=0.1)])))


def test_weights_and_channels_in_one_plan():
    text = json.dumps(document(cuts=[cut(), cut(granularity="channel")]))
    plan = from_json(text)
    assert {c.granularity for c in plan.cuts} == {"weight", "channel"}
    assert from_json(to_json(plan)) == plan


def test_an_integer_ratio_is_a_number():
    assert from_json(json.dumps(document(cuts=[cut(ratio=1)]))).cuts == (Cut("a", "weight", 1.0),)
