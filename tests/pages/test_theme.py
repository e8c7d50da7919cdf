"""How numbers and changes are written, and when a change is called better or worse."""

import math

import pytest

from analysis.measure.quality import Interval
from analysis.tasks import ACCURACY, CALIBRATION_ERROR, LOSS, MSE, R2
from ui import theme


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.98214, ACCURACY, "98.2%"),
        (0.86149, R2, "0.861"),
        (0.0, LOSS, "0.000"),
        (3e-9, LOSS, "0.000"),
        (0.00042, MSE, "0.00042"),
        (-12.345, R2, "-12.3"),
        (1234567.8, MSE, "1,234,568"),
        (math.nan, R2, "unknown"),
    ],
)
def test_numbers_are_short_and_never_hide_a_small_value(value, metric, text):
    assert theme.number(value, metric) == text


def test_changes_carry_their_sign_and_unit():
    assert theme.delta(-0.0123, ACCURACY) == "-1.2 points"
    assert theme.delta(0.0123, LOSS) == "+0.012"
    assert theme.delta(math.nan, R2) == "unknown"
    assert theme.change_interval(Interval(0, -0.02, 0.004), ACCURACY) == "-2.0 to +0.4 points"
    assert theme.change_interval(Interval(0, -0.02, 0.004), LOSS) == "-0.020 to +0.004"
    assert theme.change_interval(Interval(math.nan, math.nan, math.nan), R2) == "unknown"
    assert theme.interval(Interval(0.98, 0.965, 0.991), ACCURACY) == "96.5 to 99.1%"


@pytest.mark.parametrize(
    ("low", "value", "high", "metric", "verdict", "colour"),
    [
        (0.01, 0.02, 0.03, ACCURACY, "better", "normal"),
        (-0.03, -0.02, -0.01, ACCURACY, "worse", "normal"),
        (0.01, 0.02, 0.03, LOSS, "worse", "inverse"),
        (-0.03, -0.02, -0.01, CALIBRATION_ERROR, "better", "inverse"),
        (-0.01, 0.02, 0.05, ACCURACY, "", "off"),
        (0.0001, 0.0002, 0.0003, ACCURACY, "", "off"),  # shown as +0.0 points
        (math.nan, math.nan, math.nan, R2, "", "off"),
    ],
)
def test_a_change_is_judged_only_if_its_interval_leaves_out_zero(low, value, high, metric, verdict, colour):
    change = Interval(value, low, high)
    assert theme.verdict(change, metric) == verdict
    assert theme.delta_look(change, metric)["delta_color"] == colour


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "-100%"), (1, "-99.9%"), (4, "-99.6%"), (400, "-60%"), (1000, "+0%"), (1100, "+10%")],
)
def test_what_is_left_of_a_cost_is_never_shown_as_nothing(value, text):
    assert theme.saving_look(value, 1000)["delta"] == text
