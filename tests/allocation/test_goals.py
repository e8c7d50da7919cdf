"""Goals: read, checked, and said in words."""

import math

import pytest

from analysis.allocation.goals import GOALS, Goal, in_words, read_goal
from analysis.errors import PlanError


@pytest.mark.parametrize("kind", GOALS)
def test_a_goal_is_read_from_its_kind_and_value(kind):
    assert read_goal(f" {kind} =0.25") == Goal(kind, 0.25)


@pytest.mark.parametrize(
    "text", ["", "macs", "macs=", "macs=half", "=0.5", "size=0.5", "macs=nan", "floor=inf"]
)
def test_what_is_no_goal_is_refused_with_the_kinds_there_are_or_the_remedy(text):
    with pytest.raises(PlanError, match=r"kinds: macs|Known: macs|give a number"):
        read_goal(text)


@pytest.mark.parametrize("value", [0, -0.5, 1.01, 50])
def test_a_cost_is_a_share(value):
    with pytest.raises(PlanError, match="above 0 and up to 1"):
        Goal("macs", value)


def test_a_floor_may_be_below_zero_but_not_above_one():
    assert Goal("floor", -0.5).value == -0.5
    with pytest.raises(PlanError, match="at most 1"):
        Goal("floor", 95)


def test_a_goal_in_words_names_its_cost_and_number():
    assert Goal("macs", 0.5).words() == "at most 50% of the dense network's MACs"
    assert (
        Goal("best-bytes", 0.125).words() == "at most 12.5% of the dense network's bytes in the best encoding"
    )
    assert Goal("floor", 0.97).words() == "a headline metric of at least 0.97"
    assert in_words("latency") == "latency"


def test_zeros_move_only_what_skips_them():
    moved = {kind for kind in GOALS if not Goal(kind, 0.5).unmoved_by("weight")}
    assert moved == {"connections", "best-bytes", "floor"}
    assert not any(Goal(kind, 0.5).unmoved_by("channel") for kind in GOALS)


def test_an_integer_is_a_value():
    assert isinstance(Goal("macs", 1).value, float) and math.isclose(Goal("macs", 1).value, 1.0)
