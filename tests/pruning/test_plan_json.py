"""Plans as JSON: a round trip changes nothing, and whatever is not a plan is refused in words."""

import json

import pytest

from analysis.errors import PlanError
from analysis.pruning.plan import MAX_PICKS, Cut, Pick, Plan
from analysis.pruning.plan_json import SCHEMA, from_json, to_json

PLANS = [
    Plan("digits-cnn", "l1"),
    Plan("digits-cnn", "taylor", (Cut("conv1", "channel", 0.5), Cut("conv2", "channel", 1.0))),
    Plan("n", "wanda", (Cut("stage1.0.conv1", "weight", 1 / 3), Cut("head", "weight", 0.1 + 0.2))),
    Plan("n", "l1", (), (Pick("conv1", 3, True), Pick("conv1", 0, False), Pick("a", 7, False))),
    Plan("n", "l1", (Cut("conv1", "channel", 0.5),), (Pick("conv1", 999_999, True),)),
    Plan("n", "l1", (Cut("conv1", "channel", 0.5),), (), "0" * 63 + "f"),
    Plan('Größe "quoted" \n\\ 网络', "l2", (Cut("ünï.0", "weight", 5e-324),)),
]


@pytest.mark.parametrize(
    "changed", [{"cuts": {"a": "y" * 500_000}}, {"schema": "s" * 500_000}, {"network": ["n"] * 90_000}]
)
def test_a_refusal_does_not_repeat_the_whole_file(changed):
    with pytest.raises(PlanError) as caught:
        from_json(json.dumps(document(**changed)))
    assert len(str(caught.value)) < 300


def document(**changes):
    content = {
        "schema": SCHEMA,
        "network": "n",
        "criterion": "l1",
        "cuts": [{"target": "a", "granularity": "weight", "ratio": 0.5}],
        "picks": [],
        "recovered": "",
    }
    content.update(changes)
    return content


def cut(**changes):
    return {**document()["cuts"][0], **changes}


def pick(**changes):
    return {"target": "a", "channel": 3, "removed": True, **changes}


@pytest.mark.parametrize("plan", PLANS, ids=range(len(PLANS)))
def test_round_trip(plan):
    text = to_json(plan)
    assert from_json(text) == plan
    assert hash(from_json(text)) == hash(plan)
    assert from_json(text.encode()) == plan
    assert to_json(from_json(text)) == text


def test_the_document():
    cuts = (Cut("b", "weight", 0.25), Cut("a", "weight", 0.5), Cut("c", "weight", 0))
    plan = Plan("n", "l1", cuts, (Pick("d", 10, False), Pick("d", 9, True)))
    assert json.loads(to_json(plan)) == {
        "schema": 3,
        "network": "n",
        "criterion": "l1",
        "cuts": [
            {"target": "a", "granularity": "weight", "ratio": 0.5},
            {"target": "b", "granularity": "weight", "ratio": 0.25},
        ],
        "picks": [
            {"target": "d", "channel": 9, "removed": True},
            {"target": "d", "channel": 10, "removed": False},
        ],
        "recovered": "",
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


@pytest.mark.parametrize("schema", [None, 0, 4, -2, "1", [1], 1.5, True, 2.0])
def test_another_schema(schema):
    with pytest.raises(PlanError, match="schema") as caught:
        from_json(json.dumps(document(schema=schema)))
    assert repr(schema) in str(caught.value)
    assert "reads the numbers 1, 2, 3" in str(caught.value)


def test_plans_of_schema_1_are_still_read():
    content = document(schema=1)
    del content["picks"]
    assert from_json(json.dumps(content)) == Plan("n", "l1", (Cut("a", "weight", 0.5),))
    assert from_json(json.dumps({**content, "picks": [pick()]})).picks == ()  # that schema knew none


def test_plans_of_schema_2_are_still_read():
    content = document(schema=2, picks=[pick()])
    del content["recovered"]
    plan = Plan("n", "l1", (Cut("a", "weight", 0.5),), (Pick("a", 3, True),))
    assert from_json(json.dumps(content)) == plan
    assert from_json(json.dumps({**content, "recovered": "0" * 64})) == plan  # that schema knew none


@pytest.mark.parametrize("recovered", ["abc", "G" * 64, "../" + "0" * 61, "0" * 65, "0" * 64 + "\n"])
def test_what_is_no_digest(recovered):
    with pytest.raises(PlanError, match="no digest"):
        from_json(json.dumps(document(recovered=recovered)))


def test_recovered_weights_of_nothing():
    with pytest.raises(PlanError, match="removes nothing"):
        from_json(json.dumps(document(cuts=[], recovered="0" * 64)))


@pytest.mark.parametrize("field", ["schema", "network", "criterion", "cuts", "picks", "recovered"])
def test_a_missing_field(field):
    content = document()
    del content[field]
    with pytest.raises(PlanError, match=field):
        from_json(json.dumps(content))


@pytest.mark.parametrize(
    "changes",
    [
        {"network": 3},
        {"network": None},
        {"criterion": ["l1"]},
        {"cuts": {}},
        {"cuts": "a"},
        {"cuts": None},
        {"picks": {}},
        {"picks": 3},
        {"picks": None},
        {"recovered": None},
        {"recovered": 3},
    ],
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


def test_picks():
    plan = from_json(json.dumps(document(cuts=[], picks=[pick(), pick(channel=0, removed=False)])))
    assert plan == Plan("n", "l1", (), (Pick("a", 0, False), Pick("a", 3, True)))
    assert plan.picks[1].channel == 3 and plan.picks[1].removed is True


@pytest.mark.parametrize("entry", [None, 3, "a", [], ["a", 3, True], True], ids=str)
def test_a_pick_that_is_no_object(entry):
    with pytest.raises(PlanError, match=r"pick .* not a JSON object"):
        from_json(json.dumps(document(picks=[entry])))


@pytest.mark.parametrize(
    "channel",
    [
        "true",
        "false",
        "null",
        '"3"',
        "3.0",
        "1e3",
        "NaN",
        "Infinity",
        "[3]",
        "{}",
        "-1",
        "-0.0",
        "1000000",
        "9" * 4000,
    ],
)
def test_a_channel_that_is_none(channel):
    text = json.dumps(document(picks=[pick(channel="HERE")])).replace('"HERE"', channel)
    with pytest.raises(PlanError, match=r"a: .* is no channel; give a whole number from 0") as caught:
        from_json(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("removed", [1, 0, None, "true", [True], 1.0], ids=str)
def test_a_pick_that_is_neither_removed_nor_kept(removed):
    with pytest.raises(PlanError, match="a, channel 3: removed is"):
        from_json(json.dumps(document(picks=[pick(removed=removed)])))


@pytest.mark.parametrize("field", ["target", "channel", "removed"])
def test_a_pick_without_a_field(field):
    entry = pick()
    del entry[field]
    with pytest.raises(PlanError, match="channel" if field == "channel" else field):
        from_json(json.dumps(document(picks=[entry])))


@pytest.mark.parametrize("target", [None, 3, ["a"], True], ids=str)
def test_a_pick_of_no_name(target):
    with pytest.raises(PlanError, match="no valid 'target'"):
        from_json(json.dumps(document(picks=[pick(target=target)])))


@pytest.mark.parametrize("removed", [True, False])
def test_a_channel_picked_twice(removed):
    with pytest.raises(PlanError, match="picks channel 3 of a twice"):
        from_json(json.dumps(document(picks=[pick(), pick(channel=2), pick(removed=removed)])))


def test_too_many_picks():
    picks = [pick(channel=c) for c in range(MAX_PICKS + 1)]
    with pytest.raises(PlanError, match="5,001 picks; at most 5,000"):
        from_json(json.dumps(document(picks=picks)))
    plan = from_json(json.dumps(document(picks=picks[:-1])))
    assert len(plan.picks) == MAX_PICKS
    assert from_json(to_json(plan)) == plan, "what is written can be read"


def test_a_long_name_is_cut_short_in_the_refusal():
    with pytest.raises(PlanError) as caught:
        from_json(json.dumps(document(picks=[pick(target="x" * 100_000, channel=-1)])))
    assert len(str(caught.value)) < 300
